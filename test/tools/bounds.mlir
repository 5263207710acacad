// Numbers out of their bounds are refused before anything is done.
// RUN: not kforge-run %s --ctx 0 2>&1 | FileCheck %s --check-prefix=CTX
// RUN: not kforge-run %s --tolerance nan 2>&1 | FileCheck %s --check-prefix=TOLERANCE
// RUN: not kforge-run %s --tolerance -1 2>&1 | FileCheck %s --check-prefix=TOLERANCE
// RUN: not kforge-run %s --random-globals -1 2>&1 | FileCheck %s --check-prefix=SEED
// RUN: not kforge-run %s --input random:1:9223372036854775807x9223372036854775807 2>&1 | FileCheck %s --check-prefix=DIMS
// RUN: not kforge-run %s --input random:1:100000000x1000000 --target reference 2>&1 | FileCheck %s --check-prefix=DIMS
// RUN: not kforge-run %s --input random:1:18446744073709551616 2>&1 | FileCheck %s --check-prefix=DIM
// RUN: not kforge-run %s --threads 65536 2>&1 | FileCheck %s --check-prefix=THREADS
// RUN: not kforge-run %s --tuning incremental --tuning-budget 99999y 2>&1 | FileCheck %s --check-prefix=BUDGET
// RUN: not kforge-run tune %s --budget 99999y 2>&1 | FileCheck %s --check-prefix=BUDGET
// RUN: not kforge-run generate --prompt a --max-tokens 18446744073709551615 2>&1 | FileCheck %s --check-prefix=TOKENS
// RUN: not kforge-run generate --prompt a --ctx 0 2>&1 | FileCheck %s --check-prefix=CTX
// RUN: not kforge-run generate --prompt a --temperature nan 2>&1 | FileCheck %s --check-prefix=HEAT
// RUN: not kforge-run generate --prompt a --top-p 1.5 2>&1 | FileCheck %s --check-prefix=SHARE
// RUN: not kforge-run generate --prompt a --min-p -0.1 2>&1 | FileCheck %s --check-prefix=SHARE
// RUN: not kforge-run generate --prompt a --repeat-penalty 0 2>&1 | FileCheck %s --check-prefix=PENALTY
// RUN: not kforge-run bench model -p 4294967296 2>&1 | FileCheck %s --check-prefix=PROMPT
// RUN: not kforge-run bench model --model random:tiny -p 999999 -n 0 2>&1 | FileCheck %s --check-prefix=LONG
// RUN: not kforge-run bench suite --baseline x.json --tolerance nan 2>&1 | FileCheck %s --check-prefix=TOLERANCE
// RUN: not kforge-run verify --reference x.json --gap inf 2>&1 | FileCheck %s --check-prefix=GAP
// RUN: not kforge-run emit-mlir --hidden 0 2>&1 | FileCheck %s --check-prefix=HIDDEN
// RUN: not kforge-run emit-mlir --layers 100000 2>&1 | FileCheck %s --check-prefix=LAYERS
// RUN: not kforge-run emit-mlir --heads 4 --kv-heads 3 2>&1 | FileCheck %s --check-prefix=HEADS

// CTX: error: invalid value '0' for '--ctx <{{.*}}>': 0 is not in 1..
// TOLERANCE: error: invalid value '{{nan|-1}}' for '--tolerance <{{.*}}>': it must be at least 0 and finite
// SEED: error: {{.*}}'-1'
// DIMS: kforge-run: input 0: a tensor of [{{.*}}] is too large for this machine's memory; give at most {{[0-9]+}} elements
// DIM: kforge-run: input 0: '18446744073709551616' is no size
// THREADS: error: invalid value '65536' for '--threads <THREADS>': 65536 is not in 0..=1024
// BUDGET: error: invalid value '{{.*}}y' for '{{.*}}budget <TIME>': it must be at most a year
// TOKENS: error: invalid value '18446744073709551615' for '--max-tokens <MAX_TOKENS>': 18446744073709551615 is not in 0..=2147483647
// HEAT: error: invalid value 'nan' for '--temperature <TEMPERATURE>': it must be at least 0 and finite
// SHARE: error: invalid value '{{.*}}' for '--{{.*}}-p <{{.*}}>': it must be at least 0 and at most 1
// PENALTY: error: invalid value '0' for '--repeat-penalty <REPEAT_PENALTY>': it must be more than 0 and finite
// PROMPT: error: invalid value '4294967296' for '--prompt <PROMPT>': 4294967296 is not in 0..=2147483647
// LONG: kforge-run: the longest test takes 1000000 tokens, but the model was made for {{[0-9]+}}; lower -p, -n or -d
// GAP: error: invalid value 'inf' for '--gap <GAP>': it must be at least 0 and finite
// HIDDEN: error: invalid value '0' for '--hidden <HIDDEN>': 0 is not in 1..=2147483647
// LAYERS: error: invalid value '100000' for '--layers <LAYERS>': 100000 is not in 1..=10000
// HEADS: kforge-run: --heads 4 must be a multiple of --kv-heads 3

func.func @main(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %0 = transformer.softmax %x : tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}
