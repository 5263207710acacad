// How compiling grows with the ops of a function: its rows, and what is wrong with an option. No figure is checked.
// RUN: kforge-run bench compile --ops 100,205 | FileCheck %s
// RUN: kforge-run bench compile --ops 40 --cpu-features sse2 --repetitions 2 --json | FileCheck %s --check-prefix=JSON
// RUN: not kforge-run bench compile --ops 0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not kforge-run bench compile --target gpu 2>&1 | FileCheck %s --check-prefix=GPU

// CHECK: | function {{.*}}| ops {{.*}}| s {{.*}}| ops/s
// CHECK: | layers {{.*}}| 100 |
// CHECK: | layers {{.*}}| 210 |
// CHECK: | elementwise | 100 |
// CHECK: | elementwise | 205 |

// JSON: {"function":"layers","ops":40,"seconds":{{[0-9.e-]+}},"ops_per_second":{{[0-9.]+}}}
// JSON: {"function":"elementwise","ops":40,

// ZERO: 0 is not in 1..=10000000
// GPU: bench compile times the pipeline of a CPU; leave --target out
