//! A module with kernels of every family, over every element type and several kinds of weights, so that any external
//! symbol that an object may need appears in it.

pub const SPREAD: &str = r#"
ml_program.global private mutable @keys : tensor<1x?x2x17xf16>
ml_program.global private mutable @values : tensor<1x?x2x17xf16>

func.func @attention(%q: tensor<1x?x4x17xf16>, %k: tensor<1x?x2x17xf16>, %v: tensor<1x?x2x17xf16>, %p: tensor<1xi32>) -> tensor<1x?x4x17xf16> {
  %kc = ml_program.global_load @keys : tensor<1x?x2x17xf16>
  %vc = ml_program.global_load @values : tensor<1x?x2x17xf16>
  %kn = transformer.kv_update %kc, %k at %p : tensor<1x?x2x17xf16>, tensor<1x?x2x17xf16>, tensor<1xi32>
  %vn = transformer.kv_update %vc, %v at %p : tensor<1x?x2x17xf16>, tensor<1x?x2x17xf16>, tensor<1xi32>
  ml_program.global_store @keys = %kn : tensor<1x?x2x17xf16>
  ml_program.global_store @values = %vn : tensor<1x?x2x17xf16>
  %y = transformer.attention %q, %kn, %vn at %p {causal, softcap = 5.0 : f32} : tensor<1x?x4x17xf16>, tensor<1x?x2x17xf16>, tensor<1x?x2x17xf16>, tensor<1xi32>
  return %y : tensor<1x?x4x17xf16>
}

ml_program.global private mutable @rounded_keys : tensor<1x?x2x32xf32>
ml_program.global private mutable @rounded_values : tensor<1x?x2x32xf32>

func.func @rounded(%q: tensor<1x1x4x32xf32>, %k: tensor<1x1x2x32xf32>, %v: tensor<1x1x2x32xf32>, %p: tensor<1xi32>) -> tensor<1x1x4x32xf32> {
  %kc = ml_program.global_load @rounded_keys : tensor<1x?x2x32xf32>
  %vc = ml_program.global_load @rounded_values : tensor<1x?x2x32xf32>
  %kr = transformer.quantize %k : tensor<1x1x2x32xf32>
  %vr = transformer.quantize %v : tensor<1x1x2x32xf32>
  %kn = transformer.kv_update %kc, %kr at %p : tensor<1x?x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %vn = transformer.kv_update %vc, %vr at %p : tensor<1x?x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  ml_program.global_store @rounded_keys = %kn : tensor<1x?x2x32xf32>
  ml_program.global_store @rounded_values = %vn : tensor<1x?x2x32xf32>
  %y = transformer.attention %q, %kn, %vn at %p {causal} : tensor<1x1x4x32xf32>, tensor<1x?x2x32xf32>, tensor<1x?x2x32xf32>, tensor<1xi32>
  return %y : tensor<1x1x4x32xf32>
}

func.func @rope(%x: tensor<2x?x3x34xbf16>, %p: tensor<2xi32>) -> tensor<2x?x3x34xbf16> {
  %y = transformer.rope %x at %p {mode = "half", base = 1.0e4 : f32} : tensor<2x?x3x34xbf16>, tensor<2xi32>
  return %y : tensor<2x?x3x34xbf16>
}

func.func @mlp(%x: tensor<?x64xf16>, %g: !transformer.quant<q5_1, 96x64>, %d: tensor<64x96xbf16>) -> tensor<?x64xf16> {
  %y = transformer.mlp %x, %g, %g, %d {activation = "gelu"} : tensor<?x64xf16>, !transformer.quant<q5_1, 96x64>, !transformer.quant<q5_1, 96x64>, tensor<64x96xbf16>
  return %y : tensor<?x64xf16>
}

func.func @gemv(%x: tensor<1x64xf32>, %g: tensor<64xf16>, %w: !transformer.quant<q8_0, 33x64>, %v: !transformer.quant<q4_0, 17x64>) -> (tensor<1x33xf32>, tensor<1x17xf32>) {
  %n = transformer.layer_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x64xf32>, tensor<64xf16>
  %y = transformer.linear %n, %w : tensor<1x64xf32>, !transformer.quant<q8_0, 33x64> -> tensor<1x33xf32>
  %z = transformer.linear %n, %v : tensor<1x64xf32>, !transformer.quant<q4_0, 17x64> -> tensor<1x17xf32>
  return %y, %z : tensor<1x33xf32>, tensor<1x17xf32>
}

func.func @integers(%x: tensor<1x64xf32>, %w: !transformer.quant<q8_0, 33x64>, %v: !transformer.quant<q5_1, 17x64>, %u: !transformer.quant<q4_0, 17x64>) -> (tensor<1x33xf32>, tensor<1x17xf32>, tensor<1x17xf32>) {
  %q = transformer.quantize %x : tensor<1x64xf32>
  %y = transformer.linear %q, %w : tensor<1x64xf32>, !transformer.quant<q8_0, 33x64> -> tensor<1x33xf32>
  %z = transformer.linear %q, %v : tensor<1x64xf32>, !transformer.quant<q5_1, 17x64> -> tensor<1x17xf32>
  %a = transformer.linear %q, %u : tensor<1x64xf32>, !transformer.quant<q4_0, 17x64> -> tensor<1x17xf32>
  return %y, %z, %a : tensor<1x33xf32>, tensor<1x17xf32>, tensor<1x17xf32>
}

func.func @k_quants(%x: tensor<1x256xf32>, %w: !transformer.quant<q4_k, 33x256>, %v: !transformer.quant<q6_k, 17x256>, %u: !transformer.quant<q5_k, 17x256>) -> (tensor<1x33xf32>, tensor<1x17xf32>, tensor<1x17xf32>) {
  %q = transformer.quantize %x : tensor<1x256xf32>
  %y = transformer.linear %q, %w : tensor<1x256xf32>, !transformer.quant<q4_k, 33x256> -> tensor<1x33xf32>
  %z = transformer.linear %q, %v : tensor<1x256xf32>, !transformer.quant<q6_k, 17x256> -> tensor<1x17xf32>
  %a = transformer.linear %x, %u : tensor<1x256xf32>, !transformer.quant<q5_k, 17x256> -> tensor<1x17xf32>
  return %y, %z, %a : tensor<1x33xf32>, tensor<1x17xf32>, tensor<1x17xf32>
}

func.func @rows(%ids: tensor<?xi32>, %table: !transformer.quant<q5_0, 37x64>) -> tensor<?x64xf16> {
  %x = transformer.embedding %ids, %table : tensor<?xi32>, !transformer.quant<q5_0, 37x64> -> tensor<?x64xf16>
  %y = transformer.softmax %x : tensor<?x64xf16>
  return %y : tensor<?x64xf16>
}

func.func @matmul(%a: tensor<?x?xbf16>, %b: tensor<?x?xbf16>) -> tensor<?x?xbf16> {
  %c = transformer.matmul %a, %b {transpose_b} : tensor<?x?xbf16>, tensor<?x?xbf16> -> tensor<?x?xbf16>
  %e = math.exp %c : tensor<?x?xbf16>
  %t = math.tanh %e : tensor<?x?xbf16>
  %f = math.erf %t : tensor<?x?xbf16>
  return %f : tensor<?x?xbf16>
}
"#;
