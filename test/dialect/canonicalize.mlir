// RUN: kforge-opt %s --canonicalize --cse | FileCheck %s

// A bias of zeros adds nothing.
// CHECK-LABEL: @zero_bias
// CHECK: transformer.linear %{{.*}}, %{{.*}} : tensor<4x64xf32>, tensor<2x64xf32> -> tensor<4x2xf32>
func.func @zero_bias(%x: tensor<4x64xf32>, %w: tensor<2x64xf32>) -> tensor<4x2xf32> {
  %b = arith.constant dense<0.0> : tensor<2xf32>
  %y = transformer.linear %x, %w bias %b : tensor<4x64xf32>, tensor<2x64xf32>, tensor<2xf32> -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// CHECK-LABEL: @other_bias
// CHECK: transformer.linear %{{.*}}, %{{.*}} bias %{{.*}} : tensor<4x64xf32>, tensor<2x64xf32>, tensor<2xf32> -> tensor<4x2xf32>
func.func @other_bias(%x: tensor<4x64xf32>, %w: tensor<2x64xf32>) -> tensor<4x2xf32> {
  %b = arith.constant dense<[0.0, 1.0]> : tensor<2xf32>
  %y = transformer.linear %x, %w bias %b : tensor<4x64xf32>, tensor<2x64xf32>, tensor<2xf32> -> tensor<4x2xf32>
  return %y : tensor<4x2xf32>
}

// A transposed operand is the flag toggled.
// CHECK-LABEL: @transposed
// CHECK-SAME: (%[[A:.*]]: tensor<2x4x8xf32>, %[[B:.*]]: tensor<2x8x4xf32>)
// CHECK: transformer.matmul %[[A]], %[[B]] : tensor<2x4x8xf32>, tensor<2x8x4xf32> -> tensor<2x4x4xf32>
// CHECK: transformer.matmul %[[B]], %[[B]] {transpose_a} : tensor<2x8x4xf32>, tensor<2x8x4xf32> -> tensor<2x4x4xf32>
func.func @transposed(%a: tensor<2x4x8xf32>, %b: tensor<2x8x4xf32>) -> (tensor<2x4x4xf32>, tensor<2x4x4xf32>) {
  %empty = tensor.empty() : tensor<2x4x8xf32>
  %t = linalg.transpose ins(%b : tensor<2x8x4xf32>) outs(%empty : tensor<2x4x8xf32>) permutation = [0, 2, 1]
  %0 = transformer.matmul %a, %t {transpose_b} : tensor<2x4x8xf32>, tensor<2x4x8xf32> -> tensor<2x4x4xf32>
  %1 = transformer.matmul %t, %b : tensor<2x4x8xf32>, tensor<2x8x4xf32> -> tensor<2x4x4xf32>
  return %0, %1 : tensor<2x4x4xf32>, tensor<2x4x4xf32>
}

// Other axes are no flag.
// CHECK-LABEL: @other_axes
// CHECK: %[[T:.*]] = linalg.transpose
// CHECK: transformer.matmul %[[T]], %{{.*}} : tensor<8x2x4xf32>, tensor<8x4x2xf32> -> tensor<8x2x2xf32>
func.func @other_axes(%a: tensor<2x8x4xf32>, %b: tensor<8x4x2xf32>) -> tensor<8x2x2xf32> {
  %empty = tensor.empty() : tensor<8x2x4xf32>
  %t = linalg.transpose ins(%a : tensor<2x8x4xf32>) outs(%empty : tensor<8x2x4xf32>) permutation = [1, 0, 2]
  %0 = transformer.matmul %t, %b : tensor<8x2x4xf32>, tensor<8x4x2xf32> -> tensor<8x2x2xf32>
  return %0 : tensor<8x2x2xf32>
}

// A query scaled by a constant is a larger scale: 1/sqrt(16) * 2, and 0.1 * 2.
// CHECK-LABEL: @scaled_query
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x4x16xf32>, %[[K:.*]]: tensor<1x8x2x16xf32>)
// CHECK-NOT: arith.mulf
// CHECK: transformer.attention %[[Q]], %[[K]], %[[K]] {scale = 5.000000e-01 : f32}
// CHECK: transformer.attention %[[Q]], %[[K]], %[[K]] {causal, scale = 2.000000e-01 : f32}
func.func @scaled_query(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>) -> (tensor<1x4x4x16xf32>, tensor<1x4x4x16xf32>) {
  %two = arith.constant dense<2.0> : tensor<1x4x4x16xf32>
  %0 = arith.mulf %q, %two : tensor<1x4x4x16xf32>
  %1 = arith.mulf %two, %q : tensor<1x4x4x16xf32>
  %2 = transformer.attention %0, %k, %k : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  %3 = transformer.attention %1, %k, %k {causal, scale = 0.1 : f32} : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return %2, %3 : tensor<1x4x4x16xf32>, tensor<1x4x4x16xf32>
}

// Neither a scale that differs by element nor one rounded to f16 can move.
// CHECK-LABEL: @scaled_otherwise
// CHECK-COUNT-2: arith.mulf
// CHECK-NOT: scale
// CHECK: return
func.func @scaled_otherwise(%q: tensor<1x1x1x2xf32>, %k: tensor<1x8x1x2xf32>, %qh: tensor<1x1x1x2xf16>, %kh: tensor<1x8x1x2xf16>)
    -> (tensor<1x1x1x2xf32>, tensor<1x1x1x2xf16>) {
  %c = arith.constant dense<[[[[2.0, 3.0]]]]> : tensor<1x1x1x2xf32>
  %h = arith.constant dense<2.0> : tensor<1x1x1x2xf16>
  %0 = arith.mulf %q, %c : tensor<1x1x1x2xf32>
  %1 = arith.mulf %qh, %h : tensor<1x1x1x2xf16>
  %2 = transformer.attention %0, %k, %k : tensor<1x1x1x2xf32>, tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>
  %3 = transformer.attention %1, %kh, %kh : tensor<1x1x1x2xf16>, tensor<1x8x1x2xf16>, tensor<1x8x1x2xf16>
  return %2, %3 : tensor<1x1x1x2xf32>, tensor<1x1x1x2xf16>
}

// Softmax over one element is 1.
// CHECK-LABEL: @unit_softmax
// CHECK: %[[ONE:.*]] = arith.constant dense<1.000000e+00> : tensor<4x1xf32>
// CHECK-NEXT: return %[[ONE]]
func.func @unit_softmax(%x: tensor<4x1xf32>) -> tensor<4x1xf32> {
  %y = transformer.softmax %x : tensor<4x1xf32>
  return %y : tensor<4x1xf32>
}

// CHECK-LABEL: @other_softmax
// CHECK: transformer.softmax %{{.*}} : tensor<4x2xf32>
// CHECK: transformer.softmax %{{.*}} : tensor<?x1xf32>
func.func @other_softmax(%x: tensor<4x2xf32>, %y: tensor<?x1xf32>) -> (tensor<4x2xf32>, tensor<?x1xf32>) {
  %0 = transformer.softmax %x : tensor<4x2xf32>
  %1 = transformer.softmax %y : tensor<?x1xf32>
  return %0, %1 : tensor<4x2xf32>, tensor<?x1xf32>
}

// Equal norms become one.
// CHECK-LABEL: @equal_norms
// CHECK: %[[N:.*]] = transformer.rms_norm
// CHECK-NOT: transformer.rms_norm
// CHECK: return %[[N]], %[[N]]
func.func @equal_norms(%x: tensor<4x64xf32>, %g: tensor<64xf32>) -> (tensor<4x64xf32>, tensor<4x64xf32>) {
  %0 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>
  %1 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>
  return %0, %1 : tensor<4x64xf32>, tensor<4x64xf32>
}

// CHECK-LABEL: @unequal_norms
// CHECK-COUNT-2: transformer.rms_norm
// CHECK: return
func.func @unequal_norms(%x: tensor<4x64xf32>, %g: tensor<64xf32>) -> (tensor<4x64xf32>, tensor<4x64xf32>) {
  %0 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>
  %1 = transformer.rms_norm %x, %g {eps = 1.0e-6 : f32} : tensor<4x64xf32>, tensor<64xf32>
  return %0, %1 : tensor<4x64xf32>, tensor<4x64xf32>
}

// A dead op goes: every op of the dialect that computes is pure.
// CHECK-LABEL: @dead
// CHECK-NEXT: return
func.func @dead(%x: tensor<4x64xf32>, %g: tensor<64xf32>, %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  %0 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>
  %1 = transformer.kv_update %c, %c at %at : tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return
}

// A scale must stay finite.
// CHECK-LABEL: @scaled_beyond_f32
// CHECK: %[[S:.*]] = arith.mulf
// CHECK: transformer.attention %[[S]], %{{.*}}, %{{.*}} {scale = 1.000000e+30 : f32}
func.func @scaled_beyond_f32(%q: tensor<1x1x1x2xf32>, %k: tensor<1x8x1x2xf32>) -> tensor<1x1x1x2xf32> {
  %c = arith.constant dense<1.0e30> : tensor<1x1x1x2xf32>
  %s = arith.mulf %q, %c : tensor<1x1x1x2xf32>
  %y = transformer.attention %s, %k, %k {scale = 1.0e30 : f32} : tensor<1x1x1x2xf32>, tensor<1x8x1x2xf32>, tensor<1x8x1x2xf32>
  return %y : tensor<1x1x1x2xf32>
}
