// RUN: kforge-opt %s --fuse-rope-kv | FileCheck %s
// RUN: kforge-opt %s --fuse-rope-kv --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: fuse-rope-kv
// STATS-NEXT: (S) 6 groups

// CHECK-LABEL: @all
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.attention
// CHECK-NOT: transformer.group
// CHECK: return
func.func @all(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x16xf32> {
  %qr = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x4x16xf32>, tensor<1xi32>
  %kr = transformer.rope %k at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x2x16xf32>, tensor<1xi32>
  %k1 = transformer.kv_update %kc, %kr at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k1, %v1 at %at {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x16xf32>
}

// A rotated key that is used elsewhere stays a kernel of its own.
// CHECK-LABEL: @rotated_key_used
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.rope
// CHECK-NOT: transformer.group
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
func.func @rotated_key_used(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>)
    -> (tensor<1x1x4x16xf32>, tensor<1x1x2x16xf32>) {
  %qr = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x4x16xf32>, tensor<1xi32>
  %kr = transformer.rope %k at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x2x16xf32>, tensor<1xi32>
  %k1 = transformer.kv_update %kc, %kr at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k1, %v1 at %at {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o, %kr : tensor<1x1x4x16xf32>, tensor<1x1x2x16xf32>
}

// One rotation alone is no group.
// CHECK-LABEL: @alone
// CHECK-NOT: transformer.group
// CHECK: return
func.func @alone(%q: tensor<1x1x4x16xf32>, %k: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x16xf32> {
  %qr = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x4x16xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k, %k : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return %o : tensor<1x1x4x16xf32>
}

// Keys that serve as values too are one update, no group.
// CHECK-LABEL: @shared_cache
// CHECK-NOT: transformer.group
// CHECK: return
func.func @shared_cache(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x16xf32> {
  %k1 = transformer.kv_update %kc, %k at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %k1 at %at {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x16xf32>
}

// What rounds a row on its way into the cache goes along.
// CHECK-LABEL: @rounded
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.quantize {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.quantize {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.attention
// CHECK-NOT: transformer.group
// CHECK: return
func.func @rounded(%q: tensor<1x1x4x32xf32>, %k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %vc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x32xf32> {
  %qr = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x4x32xf32>, tensor<1xi32>
  %kr = transformer.rope %k at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x2x32xf32>, tensor<1xi32>
  %kq = transformer.quantize %kr : tensor<1x1x2x32xf32>
  %k1 = transformer.kv_update %kc, %kq at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %vq = transformer.quantize %k : tensor<1x1x2x32xf32>
  %v1 = transformer.kv_update %vc, %vq at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k1, %v1 at %at {causal} : tensor<1x1x4x32xf32>, tensor<1x8x2x32xf32>, tensor<1x8x2x32xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x32xf32>
}

// A rounded key that is used elsewhere stays a kernel of its own, and so does the rotation before it.
// CHECK-LABEL: @rounded_key_used
// CHECK: transformer.rope
// CHECK-NOT: transformer.group
// CHECK: transformer.quantize
// CHECK-NOT: transformer.group
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
func.func @rounded_key_used(%q: tensor<1x1x4x32xf32>, %k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %vc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>)
    -> (tensor<1x1x4x32xf32>, tensor<1x1x2x32xf32>) {
  %kr = transformer.rope %k at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x2x32xf32>, tensor<1xi32>
  %kq = transformer.quantize %kr : tensor<1x1x2x32xf32>
  %k1 = transformer.kv_update %kc, %kq at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %k at %at : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v1 at %at {causal} : tensor<1x1x4x32xf32>, tensor<1x8x2x32xf32>, tensor<1x8x2x32xf32>, tensor<1xi32>
  return %o, %kq : tensor<1x1x4x32xf32>, tensor<1x1x2x32xf32>
}

// Norms of heads join the rotations that read them, and the update of values that are not rotated.
// CHECK-LABEL: @norms
// CHECK-COUNT-2: transformer.rms_norm {{.*}}transformer.group = 0 : i64
// CHECK-COUNT-2: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.layer_norm {{.*}}transformer.group = 0 : i64
// CHECK-COUNT-2: transformer.kv_update {{.*}}transformer.group = 0 : i64
func.func @norms(%q: tensor<1x1x4x16xf32>, %k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %g: tensor<16xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x16xf32> {
  %qn = transformer.rms_norm %q, %g {eps = 1.0e-5 : f32} : tensor<1x1x4x16xf32>, tensor<16xf32>
  %kn = transformer.rms_norm %k, %g {eps = 1.0e-5 : f32} : tensor<1x1x2x16xf32>, tensor<16xf32>
  %qr = transformer.rope %qn at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x4x16xf32>, tensor<1xi32>
  %kr = transformer.rope %kn at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x2x16xf32>, tensor<1xi32>
  %vn = transformer.layer_norm %k, %g {eps = 1.0e-5 : f32} : tensor<1x1x2x16xf32>, tensor<16xf32>
  %k1 = transformer.kv_update %kc, %kr at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %v1 = transformer.kv_update %vc, %vn at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k1, %v1 at %at {causal} : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x1x4x16xf32>
}

// A norm that is used elsewhere stays a kernel of its own.
// CHECK-LABEL: @norm_used
// CHECK: transformer.rms_norm
// CHECK-NOT: transformer.group
// CHECK: transformer.rope {{.*}}transformer.group = 0 : i64
// CHECK: transformer.kv_update {{.*}}transformer.group = 0 : i64
func.func @norm_used(%q: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %vc: tensor<1x8x2x16xf32>, %g: tensor<16xf32>, %at: tensor<1xi32>) -> tensor<1x1x2x16xf32> {
  %qn = transformer.rms_norm %q, %g {eps = 1.0e-5 : f32} : tensor<1x1x2x16xf32>, tensor<16xf32>
  %qr = transformer.rope %qn at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x2x16xf32>, tensor<1xi32>
  %k1 = transformer.kv_update %kc, %qn at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %qr, %k1, %vc at %at {causal} : tensor<1x1x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %o : tensor<1x1x2x16xf32>
}
