// The suite of kernels: one row, its report, and what is wrong with an option. No figure is checked.
// RUN: kforge-run bench suite --quick --filter norm/1x576 --threads 2 --output %t/reports/a.json | FileCheck %s --check-prefix=TABLE
// RUN: FileCheck %s < %t/reports/a.json
// RUN: kforge-run benchmark-suite --from %t/reports/a.json --json | FileCheck %s
// RUN: kforge-run bench suite --from %t/reports/a.json --baseline %t/reports/a.json 2>&1 | FileCheck %s --check-prefix=SAME
// RUN: kforge-run bench suite --quick --filter linear/q4_1/1x576x1536 --threads 2 --json | FileCheck %s --check-prefix=LINEAR
// RUN: kforge-run bench suite --quick --filter attention/decode/128 --threads 1 --cpu-features sse2 --json | FileCheck %s --check-prefix=ATTENTION
// RUN: kforge-run bench suite --quick --filter matmul/decoder_mha_qkv --peers=%S/../data/made-up-peer.sh --json 2>&1 | FileCheck %s --check-prefix=PEERS
// RUN: not kforge-run bench suite --filter everything 2>&1 | FileCheck %s --check-prefix=FILTER
// RUN: not kforge-run bench suite --target reference 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not kforge-run bench suite --tolerance 3 2>&1 | FileCheck %s --check-prefix=TOLERANCE
// RUN: not kforge-run bench suite --baseline %t/none.json 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not kforge-run bench suite --baseline %s 2>&1 | FileCheck %s --check-prefix=BASELINE
// RUN: not kforge-run bench suite --quick --filter norm/1x576 --output /dev/null/x.json 2>&1 | FileCheck %s --check-prefix=OUTPUT
// RUN: not kforge-run bench suite --peers=%t-no-python 2>&1 | FileCheck %s --check-prefix=PYTHON
// RUN: not kforge-run bench suite --peers=false 2>&1 | FileCheck %s --check-prefix=IMPORT

// TABLE: | case{{.*}}| median us |{{.*}}MAD | GFLOP/s |{{.*}} GB/s |{{.*}} roof |{{.*}} of it | rms error |
// TABLE: | norm/1x576 |
// TABLE-NOT: norm
// TABLE: 2 of {{[0-9]+}} cores, {{.+}}; f32 peak {{[0-9]+}} GFLOP/s

// CHECK: "schema_version": 1,
// CHECK: "llvm": "22.
// CHECK: "cpu": "{{.+}}",
// CHECK: "threads": 2,
// CHECK: "quick": true,
// CHECK: "complete": true,
// CHECK: "f32_gflops": {{[1-9]}}
// CHECK: "name": "norm/1x576",
// CHECK: "rms_norm"
// CHECK: "median_us": {{[0-9]}}
// CHECK: "mad_us": {{[0-9]}}
// CHECK: "bytes": 4608,
// CHECK: "gflops": null,
// CHECK: "by": "reading",
// CHECK: "elements": 576,
// CHECK-NOT: "name"

// SAME: | norm/1x576 |{{.*}}0.0 % |
// SAME: warning: the baseline was made with --quick: its samples are short
// SAME: no row is slower beyond the noise

// LINEAR: "name": "linear/q4_1/1x576x1536/exact",
// LINEAR: "numerics": "exact",
// LINEAR-NEXT: "kernels": [
// LINEAR-NEXT: "linear{{.*}}"
// LINEAR-NEXT: ],
// LINEAR: "operations": 1769472,
// LINEAR-NEXT: "bytes": 559104,
// LINEAR: "name": "linear/q4_1/1x576x1536/fast",
// LINEAR: "quantize",
// LINEAR-NEXT: "linear{{.*}}"
// LINEAR-NOT: "name"

// ATTENTION: "isa": "sse2"
// ATTENTION: "name": "attention/decode/128",
// ATTENTION: "attention"

// PEERS: made-up-peer.sh has no openblas, xla, iree, onnxruntime, openvino: left out
// PEERS: "name": "matmul/decoder_mha_qkv/64x64x128",
// PEERS: "peers": [
// PEERS: "library": "torch",
// PEERS: "version": "made-up 1",
// PEERS: "median_us": 2.0,
// PEERS: "min_us": 1.0,
// PEERS: "ratio": {{[0-9]}}

// FILTER: kforge-run: --filter everything leaves no case; try matmul, linear/q4_1, attention or norm
// TARGET: kforge-run: bench suite measures a CPU or a GPU; give --target cpu or gpu
// TOLERANCE: error: the following required arguments were not provided:
// TOLERANCE: --baseline <FILE.json>
// NONE: kforge-run: {{.*}}none.json cannot be read
// BASELINE: kforge-run: {{.*}}bench-suite.mlir is no report of bench suite that can be used: expected value at line 1
// OUTPUT: kforge-run: /dev/null cannot be made
// PYTHON: kforge-run: --peers: '{{.*}}-no-python' does not start
// IMPORT: kforge-run: --peers: false can import none of openblas, torch, xla, iree, onnxruntime, openvino; name another with --peers=PYTHON
