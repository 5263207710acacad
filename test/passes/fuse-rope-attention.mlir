// RUN: kforge-opt %s --fuse-rope-kv --fuse-rope-attention | FileCheck %s
// RUN: kforge-opt %s --fuse-rope-attention | FileCheck %s --check-prefix=ALONE
// RUN: kforge-opt %s --fuse-rope-kv --fuse-rope-attention --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: fuse-rope-attention
// STATS-NEXT: (S) 1 fused

// CHECK-LABEL: @step
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.attention {{.*}}transformer.group = 0 : i64
// ALONE-LABEL: @step
// ALONE: transformer.rope {{.*}}transformer.group = 0 : i64
// ALONE: transformer.rope {{.*}}transformer.group = 0 : i64
// ALONE: transformer.kv_update {{.*}}transformer.group = 0 : i64
// ALONE: transformer.kv_update {{.*}}transformer.group = 0 : i64
// ALONE: transformer.attention {{.*}}transformer.group = 0 : i64
func.func @step(%q: tensor<?x1x4x16xf32>, %k: tensor<?x1x2x16xf32>, %kc: tensor<?x8x2x16xf32>, %vc: tensor<?x8x2x16xf32>, %at: tensor<?xi32>)
    -> (tensor<?x1x4x16xf32>, tensor<?x8x2x16xf32>) {
  %qr = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32} : tensor<?x1x4x16xf32>, tensor<?xi32>
  %kr = transformer.rope %k at %at {mode = "half", base = 1.0e4 : f32} : tensor<?x1x2x16xf32>, tensor<?xi32>
  %k1 = transformer.kv_update %kc, %kr at %at : tensor<?x8x2x16xf32>, tensor<?x1x2x16xf32>, tensor<?xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<?x8x2x16xf32>, tensor<?x1x2x16xf32>, tensor<?xi32>
  %o = transformer.attention %qr, %k1, %v1 at %at {causal} : tensor<?x1x4x16xf32>, tensor<?x8x2x16xf32>, tensor<?x8x2x16xf32>, tensor<?xi32>
  return %o, %k1 : tensor<?x1x4x16xf32>, tensor<?x8x2x16xf32>
}

// A rotated query that something else reads stays outside; in one group with the updates it keeps them from the attention.
// CHECK-LABEL: @query_used
// CHECK: transformer.attention
// CHECK-NOT: transformer.group
// CHECK: return
// ALONE-LABEL: @query_used
// ALONE: transformer.rope
// ALONE-NOT: transformer.group
// ALONE: transformer.kv_update {{.*}}transformer.group = 0 : i64
// ALONE: transformer.kv_update {{.*}}transformer.group = 0 : i64
// ALONE: transformer.attention {{.*}}transformer.group = 0 : i64
func.func @query_used(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>)
    -> (tensor<1x1x4x16xf32>, tensor<1x1x4x16xf32>) {
  %qr = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x4x16xf32>, tensor<1xi32>
  %k1 = transformer.kv_update %kc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k1, %v1 at %at {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o, %qr : tensor<1x1x4x16xf32>, tensor<1x1x4x16xf32>
}

// Many rows are a prompt's.
// ALONE-LABEL: @prompt
// ALONE-NOT: transformer.group
// ALONE: return
func.func @prompt(%q: tensor<1x?x4x16xf32>, %k: tensor<1x?x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x?x4x16xf32> {
  %k1 = transformer.kv_update %kc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x?x2x16xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x?x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v1 at %at {causal} : tensor<1x?x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x?x4x16xf32>
}

// An attention from elsewhere on does not end with the new row.
// ALONE-LABEL: @other_positions
// ALONE-NOT: transformer.group
// ALONE: return
func.func @other_positions(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>, %other: tensor<1xi32>)
    -> tensor<1x1x4x16xf32> {
  %k1 = transformer.kv_update %kc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v1 at %other {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x16xf32>
}

// Two sequences may share a block.
// ALONE-LABEL: @blocks
// ALONE-NOT: transformer.group
// ALONE: return
func.func @blocks(%q: tensor<2x1x4x16xf32>, %k: tensor<2x1x2x16xf32>, %kc: tensor<8x4x2x16xf32>, %vc: tensor<8x4x2x16xf32>, %at: tensor<2xi32>, %t: tensor<2x4xi32>)
    -> tensor<2x1x4x16xf32> {
  %k1 = transformer.kv_update %kc, %k at %at blocks %t : tensor<8x4x2x16xf32>, tensor<2x1x2x16xf32>, tensor<2xi32> blocks tensor<2x4xi32>
  %v1 = transformer.kv_update %vc, %k at %at blocks %t : tensor<8x4x2x16xf32>, tensor<2x1x2x16xf32>, tensor<2xi32> blocks tensor<2x4xi32>
  %o = transformer.attention %q, %k1, %v1 at %at blocks %t {causal} : tensor<2x1x4x16xf32>, tensor<8x4x2x16xf32>, tensor<8x4x2x16xf32>, tensor<2xi32> blocks tensor<2x4xi32>
  return %o : tensor<2x1x4x16xf32>
}

// Rows rounded to 8 bits.
// ALONE-LABEL: @rounded
// ALONE-NOT: transformer.group
// ALONE: return
func.func @rounded(%q: tensor<1x1x4x32xf32>, %k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %vc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x32xf32> {
  %kq = transformer.quantize %k : tensor<1x1x2x32xf32>
  %k1 = transformer.kv_update %kc, %kq at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %kq at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v1 at %at {causal} : tensor<1x1x4x32xf32>, tensor<1x8x2x32xf32>, tensor<1x8x2x32xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x32xf32>
}

// Keys that serve as values too are one update.
// ALONE-LABEL: @shared_cache
// ALONE-NOT: transformer.group
// ALONE: return
func.func @shared_cache(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x16xf32> {
  %k1 = transformer.kv_update %kc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %k1 at %at {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x16xf32>
}
