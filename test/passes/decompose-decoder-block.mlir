// RUN: kforge-opt %s --decompose-decoder-block | FileCheck %s
// RUN: kforge-opt %s --decompose-decoder-block --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: decompose-decoder-block
// STATS-NEXT: (S) 3 decomposed

// CHECK-LABEL: @dynamic
// CHECK-SAME: (%[[X:[^:]*]]: tensor<1x?x64xf32>
// CHECK: %[[N:.*]] = transformer.rms_norm %[[X]], %{{.*}} {eps = 9.99999974E-6 : f32}
// CHECK: %[[Q:.*]] = transformer.linear %[[N]], %{{.*}} -> tensor<1x?x64xf32>
// CHECK: %[[S:.*]] = tensor.dim %[[Q]]
// CHECK: %[[QH:.*]] = tensor.expand_shape %[[Q]] {{\[\[}}0], [1], [2, 3]] output_shape [1, %[[S]], 4, 16]
// CHECK: %[[QR:.*]] = transformer.rope %[[QH]] at %[[AT:.*]] {base = 1.000000e+04 : f32, mode = "interleaved"} : tensor<1x?x4x16xf32>
// CHECK: %[[K:.*]] = transformer.linear %[[N]], %{{.*}} -> tensor<1x?x32xf32>
// CHECK: %[[KR:.*]] = transformer.rope {{.*}} : tensor<1x?x2x16xf32>
// CHECK: transformer.linear %[[N]], %{{.*}} -> tensor<1x?x32xf32>
// CHECK: %[[VH:.*]] = tensor.expand_shape
// CHECK: %[[KC:.*]] = transformer.kv_update %{{.*}}, %[[KR]] at %[[AT]] :
// CHECK: %[[VC:.*]] = transformer.kv_update %{{.*}}, %[[VH]] at %[[AT]] :
// CHECK: %[[O:.*]] = transformer.attention %[[QR]], %[[KC]], %[[VC]] at %[[AT]] {causal} :
// CHECK: %[[OM:.*]] = tensor.collapse_shape %[[O]]
// CHECK: %[[OW:.*]] = transformer.linear %[[OM]]
// CHECK: %[[H:.*]] = arith.addf %[[OW]], %[[X]]
// CHECK: %[[M:.*]] = transformer.rms_norm %[[H]]
// CHECK: %[[D:.*]] = transformer.mlp %[[M]]
// CHECK: %[[Y:.*]] = arith.addf %[[D]], %[[H]]
// CHECK: return %[[Y]], %[[KC]], %[[VC]]
func.func @dynamic(%x: tensor<1x?x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: !transformer.quant<q4_1, 32x64>, %gate: tensor<128x64xf32>,
                   %down: tensor<64x128xf32>, %k: tensor<1x128x2x16xf32>, %v: tensor<1x128x2x16xf32>, %at: tensor<1xi32>)
    -> (tensor<1x?x64xf32>, tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>) {
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wk, %wq) mlp(%n, %gate, %gate, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "interleaved", rope_base = 1.0e4 : f32}
    : tensor<1x?x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, !transformer.quant<q4_1, 32x64>, !transformer.quant<q4_1, 32x64>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>)
      cache(tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>) at tensor<1xi32>
  return %y#0, %y#1, %y#2 : tensor<1x?x64xf32>, tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>
}

// Every optional part reaches the op it is for.
// CHECK-LABEL: @optional
// CHECK-NOT: tensor.dim
// CHECK: transformer.rope %{{.*}} at %[[AT:.*]] lengths %[[L:.*]] {base = 5.000000e+05 : f32, freq_divisors = array<f32: 1.000000e+00, 8.000000e+00>, mode = "half"}
// CHECK: transformer.kv_update %{{.*}} at %[[AT]] lengths %[[L]]
// CHECK: transformer.kv_update %{{.*}} at %[[AT]] lengths %[[L]]
// CHECK: transformer.attention %{{.*}} at %[[AT]] lengths %[[L]] {causal, window = 64 : i64}
// CHECK: transformer.mlp {{.*}} {activation = "gelu"}
func.func @optional(%x: tensor<2x1x8xf32>, %n: tensor<8xf32>, %w: tensor<8x8xf32>, %wk: tensor<4x8xf32>, %k: tensor<2x128x1x4xf32>,
                    %at: tensor<2xi32>, %lengths: tensor<2xi32>) -> tensor<2x1x8xf32> {
  %y:3 = transformer.decoder_block %x attn(%n, %w, %wk, %wk, %w) mlp(%n, %w, %w, %w) cache(%k, %k) at %at lengths %lengths
    {heads = 2 : i64, kv_heads = 1 : i64, eps = 1.0e-6 : f32, rope_mode = "half", rope_base = 5.0e5 : f32,
     rope_freq_divisors = array<f32: 1.0, 8.0>, window = 64 : i64, activation = "gelu"}
    : tensor<2x1x8xf32> attn(tensor<8xf32>, tensor<8x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<8x8xf32>)
      mlp(tensor<8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>)
      cache(tensor<2x128x1x4xf32>, tensor<2x128x1x4xf32>) at tensor<2xi32> lengths tensor<2xi32>
  return %y#0 : tensor<2x1x8xf32>
}

// Rows of keys and values are rounded before they enter the caches; queries are not.
// CHECK-LABEL: @quantized
// CHECK: %[[QR:.*]] = transformer.rope {{.*}} : tensor<1x1x2x32xf32>
// CHECK: %[[KR:.*]] = transformer.rope {{.*}} : tensor<1x1x1x32xf32>
// CHECK: %[[VH:.*]] = tensor.expand_shape
// CHECK: %[[KQ:.*]] = transformer.quantize %[[KR]] : tensor<1x1x1x32xf32>
// CHECK: %[[KC:.*]] = transformer.kv_update %{{.*}}, %[[KQ]] at
// CHECK: %[[VQ:.*]] = transformer.quantize %[[VH]] : tensor<1x1x1x32xf32>
// CHECK: %[[VC:.*]] = transformer.kv_update %{{.*}}, %[[VQ]] at
// CHECK: transformer.attention %[[QR]], %[[KC]], %[[VC]] at
// CHECK-NOT: transformer.quantize
// CHECK: return
func.func @quantized(%x: tensor<1x1x64xf32>, %n: tensor<64xf32>, %w: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %k: tensor<1x128x1x32xf32>, %at: tensor<1xi32>)
    -> tensor<1x1x64xf32> {
  %y:3 = transformer.decoder_block %x attn(%n, %w, %wk, %wk, %w) mlp(%n, %w, %w, %w) cache(%k, %k) at %at
    {heads = 2 : i64, kv_heads = 1 : i64, eps = 1.0e-6 : f32, rope_mode = "half", rope_base = 1.0e4 : f32, quantize_kv}
    : tensor<1x1x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<64x64xf32>, tensor<64x64xf32>, tensor<64x64xf32>)
      cache(tensor<1x128x1x32xf32>, tensor<1x128x1x32xf32>) at tensor<1xi32>
  return %y#0 : tensor<1x1x64xf32>
}
