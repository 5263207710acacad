// RUN: kforge-opt %s --verify-roundtrip | kforge-opt | FileCheck %s

// CHECK-LABEL: @mlp
// CHECK: transformer.mlp %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, !transformer.quant<q4_1, 64x128>
// CHECK: transformer.mlp %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {activation = "gelu"} : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, !transformer.quant<q4_1, 64x128>
func.func @mlp(%x: tensor<4x64xf32>, %g: tensor<128x64xf32>, %d: !transformer.quant<q4_1, 64x128>) -> tensor<4x64xf32> {
  %0 = transformer.mlp %x, %g, %g, %d : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, !transformer.quant<q4_1, 64x128>
  %1 = transformer.mlp %0, %g, %g, %d {activation = "gelu"} : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, !transformer.quant<q4_1, 64x128>
  return %1 : tensor<4x64xf32>
}

// CHECK-LABEL: @decoder_block
// CHECK: transformer.decoder_block %{{.*}} attn(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) mlp(%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}) cache(%{{.*}}, %{{.*}}) at %{{.*}} lengths %{{.*}} {
// CHECK-SAME: heads = 4 : i64, kv_heads = 2 : i64, rope_base = 1.000000e+04 : f32, rope_mode = "interleaved", window = 64 : i64}
// CHECK-SAME: cache(tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>) at tensor<1xi32> lengths tensor<1xi32>
func.func @decoder_block(%x: tensor<1x?x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %gate: tensor<128x64xf32>,
                         %down: tensor<64x128xf32>, %k: tensor<1x128x2x16xf32>, %v: tensor<1x128x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x?x64xf32> {
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wk, %wq) mlp(%n, %gate, %gate, %down) cache(%k, %v) at %at lengths %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "interleaved", rope_base = 1.0e4 : f32, window = 64 : i64}
    : tensor<1x?x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>)
      cache(tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>) at tensor<1xi32> lengths tensor<1xi32>
  return %y#0 : tensor<1x?x64xf32>
}

// CHECK-LABEL: @fused
// CHECK: transformer.fused(%{{.*}} = %{{.*}} : tensor<1x64xf32>, %{{.*}} = %{{.*}} : tensor<128x64xf32>) -> tensor<1x128xf32> kernel #transformer.kernel<"gemv", tile = [32]> attributes {transformer.layouts = ["row_major", "rows16"]} {
// CHECK-NEXT: %[[Y:.*]] = transformer.linear
// CHECK-NEXT: transformer.yield %[[Y]] : tensor<1x128xf32>
// CHECK: transformer.fused() {
// CHECK-NEXT: transformer.yield
// CHECK: transformer.fused(%{{.*}} = %{{.*}} : tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) kernel #transformer.kernel<"elementwise"> {
func.func @fused(%x: tensor<1x64xf32>, %w: tensor<128x64xf32>) -> tensor<1x128xf32> {
  %y = transformer.fused(%a = %x : tensor<1x64xf32>, %b = %w : tensor<128x64xf32>) -> tensor<1x128xf32>
      kernel #transformer.kernel<"gemv", tile = [32]> attributes {transformer.layouts = ["row_major", "rows16"]} {
    %0 = transformer.linear %a, %b : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
    transformer.yield %0 : tensor<1x128xf32>
  }
  transformer.fused() {
    transformer.yield
  }
  %z:2 = transformer.fused(%a = %x : tensor<1x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) kernel #transformer.kernel<"elementwise"> {
    transformer.yield %a, %a : tensor<1x64xf32>, tensor<1x64xf32>
  }
  return %y : tensor<1x128xf32>
}

// CHECK-LABEL: @launch
// CHECK: transformer.check "index" buffers(%{{.*}} : memref<1x?xi32>) sizes(%{{.*}})
// CHECK: transformer.check "position" buffers(%{{.*}}, %{{.*}} : memref<1xi32>, memref<1xi32>) sizes(%{{.*}}, %{{.*}})
// CHECK: transformer.check "blocks" buffers(%{{.*}}, %{{.*}} : memref<1x?xi32>, memref<1xi32>) sizes(%{{.*}}, %{{.*}}, %{{.*}})
// CHECK: transformer.check "same" sizes(%{{.*}}, %{{.*}})
// CHECK: transformer.launch @kernel tasks(%{{.*}}) scalars(%{{.*}}) buffers(%{{.*}}, %{{.*}} : memref<1x?xi32>, memref<1xi32>) access [0, 2]
// CHECK: transformer.launch @kernel tasks(%{{.*}}) access []
func.func @launch(%n: index, %ids: memref<1x?xi32>, %at: memref<1xi32>) {
  transformer.check "index" buffers(%ids : memref<1x?xi32>) sizes(%n)
  transformer.check "position" buffers(%at, %at : memref<1xi32>, memref<1xi32>) sizes(%n, %n)
  transformer.check "blocks" buffers(%ids, %at : memref<1x?xi32>, memref<1xi32>) sizes(%n, %n, %n)
  transformer.check "same" sizes(%n, %n)
  transformer.launch @kernel tasks(%n) scalars(%n) buffers(%ids, %at : memref<1x?xi32>, memref<1xi32>) access [0, 2]
  transformer.launch @kernel tasks(%n) access []
  return
}
