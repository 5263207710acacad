// Bytecode keeps every op, and says which version of the dialect wrote it. What version 1.0 wrote is read by every later
// one: Inputs/transformer-1.0.mlirbc is this file as that version wrote it.
// RUN: kforge-opt %s > %t.text
// RUN: kforge-opt %s --emit-bytecode | kforge-opt | diff %t.text -
// RUN: kforge-opt %S/Inputs/transformer-1.0.mlirbc | diff %t.text -

ml_program.global private mutable @keys : tensor<1x8x2x32xf32>

func.func @rows(%x: tensor<2x3x64xf32>, %ids: tensor<2x3xi32>, %table: !transformer.quant<q8_0, 100x64>, %g: tensor<64xf32>, %b: tensor<64xf32>,
                %w: !transformer.quant<q4_k, 64x256>, %wide: tensor<2x3x256xf32>)
    -> (tensor<2x3x64xf32>, tensor<2x3x8xf32>, tensor<2x3x8xi32>) {
  %0 = transformer.embedding %ids, %table : tensor<2x3xi32>, !transformer.quant<q8_0, 100x64> -> tensor<2x3x64xf32>
  %1 = transformer.linear %wide, %w bias %b : tensor<2x3x256xf32>, !transformer.quant<q4_k, 64x256>, tensor<64xf32> -> tensor<2x3x64xf32>
  %2 = transformer.rms_norm %0, %g {eps = 1.0e-5 : f32} : tensor<2x3x64xf32>, tensor<64xf32>
  %3 = transformer.layer_norm %1, %g, %b {eps = 1.0e-6 : f32} : tensor<2x3x64xf32>, tensor<64xf32>, tensor<64xf32>
  %4 = transformer.quantize %2 : tensor<2x3x64xf32>
  %5 = transformer.silu %3 : tensor<2x3x64xf32>
  %6 = transformer.gelu %4 {approximate = "tanh"} : tensor<2x3x64xf32>
  %7 = transformer.gelu %5 : tensor<2x3x64xf32>
  %8 = transformer.swiglu %6, %7 : tensor<2x3x64xf32>
  %9 = transformer.matmul %8, %x {transpose_b} : tensor<2x3x64xf32>, tensor<2x3x64xf32> -> tensor<2x3x3xf32>
  %10 = transformer.softmax %9 : tensor<2x3x3xf32>
  %11 = transformer.matmul %10, %x : tensor<2x3x3xf32>, tensor<2x3x64xf32> -> tensor<2x3x64xf32>
  %12, %13 = transformer.top_k %11 : tensor<2x3x64xf32> -> tensor<2x3x8xf32>, tensor<2x3x8xi32>
  return %11, %12, %13 : tensor<2x3x64xf32>, tensor<2x3x8xf32>, tensor<2x3x8xi32>
}

func.func @sequences(%q: tensor<2x3x4x32xf32>, %k: tensor<2x3x2x32xf32>, %cache: tensor<2x8x2x32xf32>, %pages: tensor<5x16x2x32xf32>,
                     %at: tensor<2xi32>, %table: tensor<2x2xi32>) -> (tensor<2x3x4x32xf32>, tensor<2x3x4x32xf32>) {
  %0 = transformer.rope %q at %at lengths %at {mode = "half", base = 1.0e4 : f32} : tensor<2x3x4x32xf32>, tensor<2xi32>, tensor<2xi32>
  %1 = transformer.rope %k at %at {mode = "interleaved", base = 5.0e5 : f32, freq_divisors = array<f32: 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 8.0, 8.0, 8.0, 8.0>}
    : tensor<2x3x2x32xf32>, tensor<2xi32>
  %2 = transformer.kv_update %cache, %1 at %at : tensor<2x8x2x32xf32>, tensor<2x3x2x32xf32>, tensor<2xi32>
  %3 = transformer.kv_update %pages, %k at %at lengths %at blocks %table
    : tensor<5x16x2x32xf32>, tensor<2x3x2x32xf32>, tensor<2xi32>, tensor<2xi32> blocks tensor<2x2xi32>
  %4 = transformer.attention %0, %2, %2 at %at {causal, scale = 0.125 : f32, window = 128 : i64, softcap = 50.0 : f32}
    : tensor<2x3x4x32xf32>, tensor<2x8x2x32xf32>, tensor<2x8x2x32xf32>, tensor<2xi32>
  %5 = transformer.attention %0, %3, %3 at %at lengths %at blocks %table
    : tensor<2x3x4x32xf32>, tensor<5x16x2x32xf32>, tensor<5x16x2x32xf32>, tensor<2xi32>, tensor<2xi32> blocks tensor<2x2xi32>
  return %4, %5 : tensor<2x3x4x32xf32>, tensor<2x3x4x32xf32>
}

func.func @layers(%x: tensor<1x?x128xf32>, %n: tensor<128xf32>, %wq: tensor<128x128xf32>, %wk: tensor<64x128xf32>, %up: tensor<256x128xf32>,
                  %down: tensor<128x256xf32>, %at: tensor<1xi32>) -> tensor<1x?x128xf32> {
  %keys = ml_program.global_load @keys : tensor<1x8x2x32xf32>
  %0:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wk, %wq) mlp(%n, %up, %up, %down) cache(%keys, %keys) at %at lengths %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "interleaved", rope_base = 1.0e4 : f32, window = 64 : i64,
     activation = "gelu", quantize_kv}
    : tensor<1x?x128xf32> attn(tensor<128xf32>, tensor<128x128xf32>, tensor<64x128xf32>, tensor<64x128xf32>, tensor<128x128xf32>)
      mlp(tensor<128xf32>, tensor<256x128xf32>, tensor<256x128xf32>, tensor<128x256xf32>)
      cache(tensor<1x8x2x32xf32>, tensor<1x8x2x32xf32>) at tensor<1xi32> lengths tensor<1xi32>
  %1 = transformer.mlp %0#0, %up, %up, %down : tensor<1x?x128xf32>, tensor<256x128xf32>, tensor<256x128xf32>, tensor<128x256xf32>
  %2 = transformer.fused(%a = %1 : tensor<1x?x128xf32>, %b = %wq : tensor<128x128xf32>) -> tensor<1x?x128xf32>
      kernel #transformer.kernel<"gemm", tile = [128, 8, 48]> attributes {transformer.layouts = ["row_major", "rows16"]} {
    %3 = transformer.linear %a, %b : tensor<1x?x128xf32>, tensor<128x128xf32> -> tensor<1x?x128xf32>
    transformer.yield %3 : tensor<1x?x128xf32>
  }
  return %2 : tensor<1x?x128xf32>
}

func.func @launches(%n: index, %x: memref<4xi32>) {
  transformer.check "index" buffers(%x : memref<4xi32>) sizes(%n)
  transformer.launch @kernel tasks(%n) scalars(%n) buffers(%x, %x : memref<4xi32>, memref<4xi32>) access [0, 1] operations(%n)
  return
}
