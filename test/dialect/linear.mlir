// RUN: kforge-opt %s --verify-roundtrip | kforge-opt | FileCheck %s
// RUN: kforge-opt %s --emit-bytecode | kforge-opt | FileCheck %s

// CHECK-LABEL: @types
// CHECK-SAME: !transformer.quant<q4_0, 2x32>
// CHECK-SAME: !transformer.quant<q4_1, 0x64>
// CHECK-SAME: !transformer.quant<q5_0, 576x576>
// CHECK-SAME: !transformer.quant<q5_1, 1x32>
// CHECK-SAME: !transformer.quant<q8_0, 49152x576>
// CHECK-SAME: !transformer.quant<q4_k, 576x1536>
// CHECK-SAME: !transformer.quant<q5_k, 1x256>
// CHECK-SAME: !transformer.quant<q6_k, 3x0>
// CHECK-SAME: !transformer.quant<iq4_nl, 5x32>
// CHECK-SAME: !transformer.quant<iq4_xs, 5x256>
// CHECK-SAME: !transformer.quant<mxfp4, 5x32>
// CHECK-SAME: !transformer.quant<q2_k, 5x256>
// CHECK-SAME: !transformer.quant<q3_k, 5x256>
func.func private @types(!transformer.quant<q4_0, 2x32>, !transformer.quant<q4_1, 0x64>, !transformer.quant<q5_0, 576x576>,
                         !transformer.quant<q5_1, 1x32>, !transformer.quant<q8_0, 49152x576>, !transformer.quant<q4_k, 576x1536>,
                         !transformer.quant<q5_k, 1x256>, !transformer.quant<q6_k, 3x0>, !transformer.quant<iq4_nl, 5x32>, !transformer.quant<iq4_xs, 5x256>,
                         !transformer.quant<mxfp4, 5x32>,
                         !transformer.quant<q2_k, 5x256>,
                         !transformer.quant<q3_k, 5x256>)

// CHECK-LABEL: @embedding
// CHECK: transformer.embedding %{{.*}}, %{{.*}} : tensor<1x?xi32>, !transformer.quant<q8_0, 49152x576> -> tensor<1x?x576xf32>
func.func @embedding(%ids: tensor<1x?xi32>, %table: !transformer.quant<q8_0, 49152x576>) -> tensor<1x?x576xf32> {
  %x = transformer.embedding %ids, %table : tensor<1x?xi32>, !transformer.quant<q8_0, 49152x576> -> tensor<1x?x576xf32>
  return %x : tensor<1x?x576xf32>
}

// CHECK-LABEL: @embedding_f16
// CHECK: transformer.embedding %{{.*}}, %{{.*}} : tensor<i32>, tensor<8x64xf16> -> tensor<64xf16>
func.func @embedding_f16(%id: tensor<i32>, %table: tensor<8x64xf16>) -> tensor<64xf16> {
  %x = transformer.embedding %id, %table : tensor<i32>, tensor<8x64xf16> -> tensor<64xf16>
  return %x : tensor<64xf16>
}

// CHECK-LABEL: @linear
// CHECK: transformer.linear %{{.*}}, %{{.*}} : tensor<1x?x64xf32>, tensor<128x64xf32> -> tensor<1x?x128xf32>
// CHECK: transformer.linear %{{.*}}, %{{.*}} bias %{{.*}} {transformer.group = 3 : i64} : tensor<1x?x64xf32>, !transformer.quant<q4_0, 128x64>, tensor<128xf32> -> tensor<1x?x128xf32>
func.func @linear(%x: tensor<1x?x64xf32>, %w: tensor<128x64xf32>, %q: !transformer.quant<q4_0, 128x64>, %b: tensor<128xf32>)
    -> (tensor<1x?x128xf32>, tensor<1x?x128xf32>) {
  %y = transformer.linear %x, %w : tensor<1x?x64xf32>, tensor<128x64xf32> -> tensor<1x?x128xf32>
  %z = transformer.linear %x, %q bias %b {transformer.group = 3 : i64}
    : tensor<1x?x64xf32>, !transformer.quant<q4_0, 128x64>, tensor<128xf32> -> tensor<1x?x128xf32>
  return %y, %z : tensor<1x?x128xf32>, tensor<1x?x128xf32>
}

// CHECK-LABEL: @matmul
// CHECK: transformer.matmul %{{.*}}, %{{.*}} {transpose_b} : tensor<9x?x64xf32>, tensor<9x?x64xf32> -> tensor<9x?x?xf32>
// CHECK: transformer.matmul %{{.*}}, %{{.*}} {transpose_a} : tensor<9x?x64xf32>, tensor<9x?x64xf32> -> tensor<9x64x64xf32>
// CHECK: transformer.matmul %{{.*}}, %{{.*}} {transpose_a, transpose_b} : tensor<4x8xbf16>, tensor<2x4xbf16> -> tensor<8x2xbf16>
func.func @matmul(%q: tensor<9x?x64xf32>, %k: tensor<9x?x64xf32>, %a: tensor<4x8xbf16>, %b: tensor<2x4xbf16>)
    -> (tensor<9x?x?xf32>, tensor<9x64x64xf32>, tensor<8x2xbf16>) {
  %0 = transformer.matmul %q, %k {transpose_b} : tensor<9x?x64xf32>, tensor<9x?x64xf32> -> tensor<9x?x?xf32>
  %1 = transformer.matmul %q, %k {transpose_a} : tensor<9x?x64xf32>, tensor<9x?x64xf32> -> tensor<9x64x64xf32>
  %2 = transformer.matmul %a, %b {transpose_a, transpose_b} : tensor<4x8xbf16>, tensor<2x4xbf16> -> tensor<8x2xbf16>
  return %0, %1, %2 : tensor<9x?x?xf32>, tensor<9x64x64xf32>, tensor<8x2xbf16>
}
