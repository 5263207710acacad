// An error of a pass has the location of the op it is about, through whatever the op came from.
// RUN: kforge-opt %s --kforge-cpu=target=avx2 --verify-diagnostics

func.func @f(%x: tensor<1x8xf32>, %e: tensor<1x8xi32>) -> tensor<1x8xf32> {
  %0 = transformer.silu %x : tensor<1x8xf32>
  // expected-error @below {{'math.fpowi' op cannot be compiled: 'math.fpowi' has no element-wise kernel}}
  %1 = math.fpowi %0, %e : tensor<1x8xf32>, tensor<1x8xi32>
  return %1 : tensor<1x8xf32>
}
