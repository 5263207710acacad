// A kernel attribute with the empty name is no kernel of ours.
// RUN: not kforge-opt %s --kforge-cpu=target=avx2 2>&1 | FileCheck %s
// RUN: not kforge-opt %s --kforge-gpu 2>&1 | FileCheck %s
// RUN: not kforge-opt %s --lower-to-launches 2>&1 | FileCheck %s

// CHECK: empty-kernel-errors.mlir:[[#@LINE+4]]:8: error: 'transformer.fused' op {{.*}}''
// CHECK-NOT: panicked

func.func @main(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %0 = transformer.fused(%a = %x : tensor<2x4xf32>) -> tensor<2x4xf32> kernel #transformer.kernel<""> {
    %1 = transformer.softmax %a : tensor<2x4xf32>
    transformer.yield %1 : tensor<2x4xf32>
  }
  return %0 : tensor<2x4xf32>
}
