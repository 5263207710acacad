// The passes are like upstream's: pipelines nest, IR is printed after each, time is taken, a failure leaves a reproducer.
// RUN: kforge-opt %s --pass-pipeline='builtin.module(func.func(fuse-norm{max-rows=1},outline-groups),select-kernels{target=sse2})' | FileCheck %s --check-prefix=NESTED
// RUN: kforge-opt %s --kforge-fuse --mlir-print-ir-after-all 2>&1 | FileCheck %s --check-prefix=AFTER
// RUN: kforge-opt %s --fuse-norm --outline-groups --mlir-timing 2>&1 | FileCheck %s --check-prefix=TIMING
// RUN: kforge-opt %s --kforge-cpu=target=neon --dump-pass-pipeline 2>&1 | FileCheck %s --check-prefix=DUMP
// RUN: not kforge-opt %s --lower-to-launches --mlir-pass-pipeline-crash-reproducer=%t.mlir 2>&1 | FileCheck %s --check-prefix=ERROR
// RUN: FileCheck %s --check-prefix=REPRODUCER < %t.mlir
// RUN: not kforge-opt --run-reproducer %t.mlir 2>&1 | FileCheck %s --check-prefix=ERROR

// Nine rows are more than one: the norm stays apart.
// NESTED: module attributes {transformer.target = "sse2"}
// NESTED: kernel #transformer.kernel<"rowwise">
// NESTED: kernel #transformer.kernel<"gemm">

// AFTER: IR Dump After decompose-decoder-block
// AFTER: IR Dump After fuse-norm (fuse-norm)
// AFTER: IR Dump After outline-groups (outline-groups)

// TIMING: Execution time report
// TIMING: fuse-norm
// TIMING: outline-groups

// DUMP: func.func(
// DUMP: fuse-norm{max-rows=8}
// DUMP: select-kernels{{.*}}mode=off target=neon
// DUMP: lower-to-launches

// ERROR: error: 'transformer.rms_norm' op is in no 'transformer.fused'; run --outline-groups first
// REPRODUCER: pipeline: "builtin.module(lower-to-launches)"

func.func @f(%x: tensor<9x64xf32>, %g: tensor<64xf32>, %w: tensor<64x64xf32>) -> tensor<9x64xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<9x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<9x64xf32>, tensor<64x64xf32> -> tensor<9x64xf32>
  return %y : tensor<9x64xf32>
}
