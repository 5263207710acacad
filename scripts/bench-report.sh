#!/usr/bin/env bash
# Prints docs/run_summary.md: what the last `make test` ran and the last `make bench` measured, with the commands.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
tests=$target/test-times.tsv
for part in "$tests:test" reports/cpu.json:bench reports/model-exact.md:bench reports/model-fast.md:bench; do
  if [[ ! -s ${part%:*} ]]; then
    echo "bench-report.sh: there is no ${part%:*}; run \`make ${part##*:}\` first" >&2
    exit 1
  fi
done
if grep -q $'\tFAILED$' "$tests"; then
  echo "bench-report.sh: tests failed; mend them and run \`make test\` again" >&2
  exit 1
fi
cat <<END
<!-- Written by \`make bench-report\`. -->

# What was run, and what it gave

## Tests

\`make test\`, on $(date -u -r "$tests" +%Y-%m-%d):

| program | passed | ignored | seconds, summed over tests |
|---|---|---|---|
END
sort -t $'\t' -k 2 "$tests" | awk -F '\t' '
  { split($2, name, ": "); program = name[1]; seconds[program] += $1; count[program, $3]++; total[$3]++; all += $1 }
  END {
    for (program in seconds)
      printf "| %s | %d | %d | %.0f |\n", program, count[program, "ok"], count[program, "ignored"], seconds[program] | "sort"
    close("sort")
    printf "| all | %d | %d | %.0f |\n", total["ok"], total["ignored"], all
  }'
for numerics in exact fast; do
  printf '\n## The default model, %s\n\n`kforge-run bench model -p 128 -n 64 --numerics %s`\n\n' $numerics $numerics
  cat "reports/model-$numerics.md"
done
printf '\n## Single kernels\n\n`kforge-run bench suite --output reports/cpu.json`\n\n'
"$target/release/kforge-run" bench suite --from reports/cpu.json
