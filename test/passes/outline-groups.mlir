// RUN: kforge-opt %s --outline-groups | FileCheck %s
// RUN: kforge-opt %s --outline-groups --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: outline-groups
// STATS-NEXT: (S) 12 outlined
// STATS-NEXT: (S) 18 ops

// CHECK-LABEL: @group
// CHECK-SAME: (%[[X:.*]]: tensor<1x64xf32>, %[[G:.*]]: tensor<64xf32>, %[[W:.*]]: tensor<128x64xf32>)
// CHECK-NEXT: %[[Y:[^ ]*]] = transformer.fused(%[[A:[^ ]*]] = %[[X]] : tensor<1x64xf32>, %[[B:[^ ]*]] = %[[G]] : tensor<64xf32>, %[[C:[^ ]*]] = %[[W]] : tensor<128x64xf32>) -> tensor<1x128xf32> {
// CHECK-NEXT: %[[N:.*]] = transformer.rms_norm %[[A]], %[[B]] {eps
// CHECK-NEXT: %[[L:.*]] = transformer.linear %[[N]], %[[C]]
// CHECK-NEXT: transformer.yield %[[L]] : tensor<1x128xf32>
// CHECK-NEXT: }
// CHECK-NEXT: return %[[Y]]
func.func @group(%x: tensor<1x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>) -> tensor<1x128xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32, transformer.group = 7 : i64} : tensor<1x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w {transformer.group = 7 : i64} : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  return %y : tensor<1x128xf32>
}

// Ops left alone become kernels of their own; views, sizes and arithmetic on indices do not.
// CHECK-LABEL: @alone
// CHECK: %[[S:.*]] = transformer.fused({{.*}}) -> tensor<?x64xf32> {
// CHECK-NEXT: math.exp
// CHECK: tensor.dim %[[S]]
// CHECK: arith.addi
// CHECK: tensor.expand_shape %[[S]]
// CHECK: transformer.fused
// CHECK-NEXT: transformer.silu
func.func @alone(%x: tensor<?x64xf32>) -> (tensor<?x4x16xf32>, index) {
  %c0 = arith.constant 0 : index
  %0 = math.exp %x : tensor<?x64xf32>
  %d = tensor.dim %0, %c0 : tensor<?x64xf32>
  %e = arith.addi %d, %d : index
  %v = tensor.expand_shape %0 [[0], [1, 2]] output_shape [%d, 4, 16] : tensor<?x64xf32> into tensor<?x4x16xf32>
  %1 = transformer.silu %v : tensor<?x4x16xf32>
  return %1, %e : tensor<?x4x16xf32>, index
}

// Constants are copied inside; a result that is needed outside too is yielded as well.
// CHECK-LABEL: @constants
// CHECK: %[[R:.*]]:2 = transformer.fused(%[[A:.*]] = %{{.*}} : tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
// CHECK-NEXT: %[[C:.*]] = arith.constant dense<2.000000e+00>
// CHECK-NEXT: %[[M:.*]] = arith.mulf %[[A]], %[[C]]
// CHECK-NEXT: %[[S:.*]] = transformer.silu %[[M]]
// CHECK-NEXT: transformer.yield %[[M]], %[[S]]
// CHECK: return %[[R]]#0, %[[R]]#1
func.func @constants(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %c = arith.constant dense<2.0> : tensor<4xf32>
  %0 = arith.mulf %x, %c {transformer.group = 0 : i64} : tensor<4xf32>
  %1 = transformer.silu %0 {transformer.group = 0 : i64} : tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}

// What the group needs from between its ops is moved up.
// CHECK-LABEL: @between
// CHECK: %[[E:.*]] = transformer.fused
// CHECK-NEXT: math.exp
// CHECK: transformer.fused({{.*}} = %[[E]] : tensor<4xf32>)
// CHECK-NEXT: transformer.silu
// CHECK-NEXT: arith.addf
func.func @between(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.silu %x {transformer.group = 3 : i64} : tensor<4xf32>
  %1 = math.exp %y : tensor<4xf32>
  %2 = arith.addf %0, %1 {transformer.group = 3 : i64} : tensor<4xf32>
  return %2 : tensor<4xf32>
}

// So is what that needs, and a group of which one op is needed: all of it.
// CHECK-LABEL: @needs
// CHECK: %[[V:.*]] = tensor.collapse_shape %arg1
// CHECK: %[[E:.*]]:2 = transformer.fused({{.*}} = %[[V]] : tensor<4xf32>)
// CHECK-NEXT: math.exp
// CHECK-NEXT: transformer.softmax
// CHECK: %[[W:.*]] = transformer.fused({{.*}} = %[[E]]#0 : tensor<4xf32>)
// CHECK-NEXT: transformer.silu
// CHECK-NEXT: arith.addf
// CHECK: return %[[W]], %[[E]]#1
func.func @needs(%x: tensor<4xf32>, %y: tensor<2x2xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = transformer.silu %x {transformer.group = 3 : i64} : tensor<4xf32>
  %v = tensor.collapse_shape %y [[0, 1]] : tensor<2x2xf32> into tensor<4xf32>
  %1 = math.exp %v {transformer.group = 4 : i64} : tensor<4xf32>
  %2 = arith.addf %0, %1 {transformer.group = 3 : i64} : tensor<4xf32>
  %3 = transformer.softmax %1 {transformer.group = 4 : i64} : tensor<4xf32>
  return %2, %3 : tensor<4xf32>, tensor<4xf32>
}

// What is outlined already stays as it is.
// CHECK-LABEL: @fused
// CHECK-COUNT-1: transformer.fused
// CHECK-NOT: transformer.fused
// CHECK: return
func.func @fused(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.fused(%a = %x : tensor<4xf32>) -> tensor<4xf32> {
    %1 = transformer.silu %a : tensor<4xf32>
    transformer.yield %1 : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// CHECK-LABEL: @dead
// CHECK: transformer.fused({{.*}}) {
// CHECK-NEXT: transformer.silu
// CHECK-NEXT: transformer.yield
// CHECK-NEXT: }
func.func @dead(%x: tensor<4xf32>) {
  %0 = transformer.silu %x : tensor<4xf32>
  return
}

func.func private @declared(tensor<4xf32>) -> tensor<4xf32>

// What only a cache update reads is rounded in its region, without any fusion; what others read too is not.
// CHECK-LABEL: @rounded_update
// CHECK: transformer.fused
// CHECK-NEXT: %[[R:.*]] = transformer.quantize
// CHECK-NEXT: transformer.kv_update %{{.*}}, %[[R]] at
// CHECK-NEXT: transformer.yield
// CHECK-LABEL: @rounded_and_returned
// CHECK: transformer.fused
// CHECK-NEXT: transformer.quantize
// CHECK-NEXT: transformer.yield
// CHECK: transformer.fused
// CHECK-NEXT: transformer.kv_update
func.func @rounded_update(%k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x32xf32> {
  %r = transformer.quantize %k : tensor<1x1x2x32xf32>
  %0 = transformer.kv_update %kc, %r at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  return %0 : tensor<1x8x2x32xf32>
}
func.func @rounded_and_returned(%k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>) -> (tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>) {
  %r = transformer.quantize %k : tensor<1x1x2x32xf32>
  %0 = transformer.kv_update %kc, %r at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  return %0, %r : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>
}
