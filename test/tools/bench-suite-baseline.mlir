// A made-up report against versions of itself: a regression fails, noise passes, and what cannot be compared is named.
// RUN: kforge-run bench suite --from %S/../data/bench-suite.json --baseline %S/../data/bench-suite.json | FileCheck %s --check-prefix=SAME
// RUN: sed 's/"median_us": 100.0, "mad_us": 0.5, "min_us": 99.0/"median_us": 120.0, "mad_us": 0.5, "min_us": 119.0/' %S/../data/bench-suite.json > %t-slow.json
// RUN: not kforge-run bench suite --from %t-slow.json --baseline %S/../data/bench-suite.json 2>&1 | FileCheck %s --check-prefix=SLOW
// RUN: kforge-run bench suite --from %t-slow.json --baseline %S/../data/bench-suite.json --tolerance 25 | FileCheck %s --check-prefix=TOLERANT
// RUN: kforge-run bench suite --from %S/../data/bench-suite.json --baseline %t-slow.json | FileCheck %s --check-prefix=FAST
// RUN: sed 's/"median_us": 10.0, "mad_us": 2.0/"median_us": 14.0, "mad_us": 2.0/' %S/../data/bench-suite.json > %t-noisy.json
// RUN: kforge-run bench suite --from %t-noisy.json --baseline %S/../data/bench-suite.json | FileCheck %s --check-prefix=NOISE
// RUN: sed 's/"schema_version": 1/"schema_version": 2/' %S/../data/bench-suite.json > %t-version.json
// RUN: not kforge-run bench suite --baseline %t-version.json 2>&1 | FileCheck %s --check-prefix=VERSION
// RUN: not kforge-run bench suite --baseline %S/../data/bench-suite.json --threads 1 --quick --filter norm/1x576 2>&1 | FileCheck %s --check-prefix=MACHINE
// RUN: sed 's/"f32_gflops": 200.0/"f32_gflops": 150.0/; s/norm/other/' %S/../data/bench-suite.json > %t-other.json
// RUN: kforge-run bench suite --from %t-other.json --baseline %S/../data/bench-suite.json 2>&1 | FileCheck %s --check-prefix=OTHER

// SAME: | case{{.*}}| median us |
// SAME: | linear/made-up |
// SAME: | case{{.*}}| baseline us |
// SAME: | linear/made-up |{{.*}} 100.0 |{{.*}} 100.0 |{{.*}}0.0 % |
// SAME: no row is slower beyond the noise

// SLOW: | linear/made-up |{{.*}} 100.0 |{{.*}} 120.0 |{{.*}}20.0 % |{{.*}} 5.0 % | SLOWER |
// SLOW-NOT: SLOWER
// SLOW: kforge-run: slower than the baseline: linear/made-up

// TOLERANT: 20.0 % |
// TOLERANT: no row is slower beyond the noise

// FAST: | linear/made-up |{{.*}}16.7 % |{{.*}}| faster |
// FAST: no row is slower beyond the noise

// NOISE: norm/made-up{{.*}}40.0 %
// NOISE: no row is slower beyond the noise

// VERSION: kforge-run: {{.*}}is no report of bench suite that can be used: it has schema version 2, and this program compares version 1; measure it anew
// MACHINE: kforge-run: the baseline is of another machine (CPU Made-up CPU, here {{.*}}threads 2, here 1); measure one on this

// OTHER-DAG: warning: the f32 peak is 150 GFLOP/s, the baseline's was 200: the machine is busy, or at another clock
// OTHER-DAG: not in the baseline: other/made-up
// OTHER-DAG: only in the baseline: norm/made-up
