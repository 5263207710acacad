// One product with a constant weight: each kernel that there is, checked before it is timed.
// RUN: kforge-run bench matmul --m 7 --n 33 --k 65 --repetitions 2 --threads 2 --json | FileCheck %s
// RUN: kforge-run benchmark-matmul --m 1 --n 20 --k 64 --dtype f16 --kernel parallel -r 1 --threads 2 --json | FileCheck %s --check-prefix=ONE
// RUN: kforge-run bench matmul --m 5 --n 20 --k 64 --dtype bf16 --kernel blocked -r 1 | FileCheck %s --check-prefix=TABLE
// RUN: kforge-run bench matmul --m 2 --n 3 --k 5 --target reference -r 1 --json | FileCheck %s --check-prefix=TARGET
// RUN: kforge-run bench matmul --m 1001 --n 1000 --k 1000 -r 1 2>&1 | FileCheck %s --check-prefix=LARGE

// CHECK: "results": [
// CHECK: "kernel": "reference",
// CHECK-NEXT: "backend": "cpu",
// CHECK-NEXT: "m": 7,
// CHECK-NEXT: "n": 33,
// CHECK-NEXT: "k": 65,
// CHECK-NEXT: "dtype": "f32",
// CHECK-NEXT: "weight": null,
// CHECK-NEXT: "threads": 1,
// CHECK-NEXT: "repetitions": 2,
// CHECK-NEXT: "gflops": {{[0-9]}}
// CHECK-NEXT: "median_us": {{[0-9]}}
// CHECK-NEXT: "min_us": {{[0-9]}}
// CHECK-NEXT: "max_us": {{[0-9]}}
// CHECK-NEXT: "max_abs_error": {{[0-9]}}
// CHECK: "kernel": "blocked",
// CHECK: "threads": 1,
// CHECK: "kernel": "parallel",
// CHECK: "threads": 2,
// CHECK: "kernel": "tuned",
// CHECK-NOT: "kernel"

// ONE-NOT: "blocked"
// ONE: "kernel": "parallel",
// ONE: "dtype": "f16",
// ONE-NOT: "kernel"

// TABLE: | kernel {{.*}}| GFLOP/s | median us |
// TABLE: | blocked | cpu | 5 x 20 x 64 | bf16  | 1

// TARGET: "kernel": "reference",
// TARGET-NOT: "kernel"

// LARGE: kforge-run: the reference is left out, as it is slow; --kernel reference measures it
// LARGE-NOT: | reference
// LARGE: | blocked
// LARGE: | parallel
