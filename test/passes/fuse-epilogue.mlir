// RUN: kforge-opt %s --fuse-epilogue | FileCheck %s
// RUN: kforge-opt %s --fuse-epilogue --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: fuse-epilogue
// STATS-NEXT: (S) 7 fused

// CHECK-LABEL: @residual
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: arith.addf {{.*}} {transformer.group = 0 : i64}
func.func @residual(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = arith.addf %0, %x : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

// A chain, behind a matmul too.
// CHECK-LABEL: @chain
// CHECK: transformer.matmul {{.*}} {transformer.group = 0 : i64}
// CHECK: arith.mulf {{.*}} {transformer.group = 0 : i64}
// CHECK: transformer.gelu {{.*}}transformer.group = 0 : i64
// CHECK: arith.negf {{.*}} {transformer.group = 0 : i64}
func.func @chain(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>, %s: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = transformer.matmul %a, %b : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
  %1 = arith.mulf %s, %0 : tensor<4x4xf32>
  %2 = transformer.gelu %1 : tensor<4x4xf32>
  %3 = arith.negf %2 : tensor<4x4xf32>
  return %3 : tensor<4x4xf32>
}

// A product by itself uses it twice, and no other op does.
// CHECK-LABEL: @square
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: arith.mulf {{.*}} {transformer.group = 0 : i64}
func.func @square(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = arith.mulf %0, %0 : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

// Two products meet: the later one takes the sum.
// CHECK-LABEL: @two_products
// CHECK: transformer.linear
// CHECK-NOT: transformer.group
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: arith.addf {{.*}} {transformer.group = 0 : i64}
func.func @two_products(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>, %v: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.linear %x, %v : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %2 = arith.addf %0, %1 : tensor<1x64xf32>
  return %2 : tensor<1x64xf32>
}

// The product is needed as such.
// CHECK-LABEL: @used_elsewhere
// CHECK-NOT: transformer.group
// CHECK: return
func.func @used_elsewhere(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.silu %0 : tensor<1x64xf32>
  return %0, %1 : tensor<1x64xf32>, tensor<1x64xf32>
}

// What the op needs besides is computed too late, or the op reads whole rows.
// CHECK-LABEL: @not_ready
// CHECK-NOT: transformer.group
// CHECK: return
func.func @not_ready(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.softmax %x : tensor<1x64xf32>
  %2 = arith.addf %0, %1 : tensor<1x64xf32>
  %3 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %4 = transformer.softmax %3 : tensor<1x64xf32>
  return %2, %4 : tensor<1x64xf32>, tensor<1x64xf32>
}

// A norm whose result is added to a stream.
// CHECK-LABEL: @norm
// CHECK: transformer.rms_norm {{.*}}transformer.group = 0 : i64
// CHECK: arith.addf {{.*}} {transformer.group = 0 : i64}
func.func @norm(%x: tensor<?x64xf32>, %y: tensor<?x64xf32>, %g: tensor<64xf32>) -> tensor<?x64xf32> {
  %0 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>
  %1 = arith.addf %0, %y : tensor<?x64xf32>
  return %1 : tensor<?x64xf32>
}
