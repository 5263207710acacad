// The machine's roofs, over a footprint that fits a cache, as only the form of the output is checked.
// RUN: kforge-run roofline --threads 1 --bytes 1000003 --json | FileCheck %s
// RUN: not kforge-run roofline --bytes 0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not kforge-run roofline --bytes 18446744073709551615 2>&1 | FileCheck %s --check-prefix=MEMORY
// RUN: not kforge-run roofline --target reference 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not kforge-run roofline --cpu-features sse2 2>&1 | FileCheck %s --check-prefix=FEATURES

// CHECK: "cpu": "{{.+}}"
// CHECK: "features": [
// CHECK: "read_bytes": 1000003
// CHECK: "results": [
// CHECK: "threads": 1,
// CHECK: "f32_gflops": {{[1-9]}}
// CHECK: "f32_instruction": "{{.+}}"
// CHECK: "int8_gops": {{[1-9]}}
// CHECK: "int8_instruction": "{{.+}}"
// CHECK: "read_gb_s": {{[0-9]*[1-9.]}}
// CHECK: "read_pattern": "{{[0-9]}} stream{{.*}} pages"
// CHECK-NOT: "threads"

// ZERO: error: invalid value '0' for '--bytes <N>': 0 is not in 1..
// MEMORY: kforge-run: --bytes 18446744073709551615 is too much for this machine's memory; give at most {{[0-9]+}}
// TARGET: kforge-run: roofline measures a CPU or a GPU; give --target cpu or gpu
// FEATURES: kforge-run: roofline takes the best of every instruction set that this machine has; leave --cpu-features out
