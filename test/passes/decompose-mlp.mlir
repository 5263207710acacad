// RUN: kforge-opt %s --decompose-mlp --split-input-file | FileCheck %s
// RUN: kforge-opt %s --decompose-mlp --split-input-file --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: decompose-mlp
// STATS-NEXT: (S) 2 decomposed

// CHECK-LABEL: @silu
// CHECK-SAME: (%[[X:.*]]: tensor<1x?x64xf32>, %[[G:.*]]: tensor<128x64xf32>, %[[U:.*]]: !transformer.quant<q8_0, 128x64>, %[[D:.*]]: tensor<64x128xf32>)
// CHECK-NEXT: %[[GX:.*]] = transformer.linear %[[X]], %[[G]] : tensor<1x?x64xf32>, tensor<128x64xf32> -> tensor<1x?x128xf32>
// CHECK-NEXT: %[[UX:.*]] = transformer.linear %[[X]], %[[U]]
// CHECK-NEXT: %[[H:.*]] = transformer.swiglu %[[GX]], %[[UX]] : tensor<1x?x128xf32>
// CHECK-NEXT: %[[Y:.*]] = transformer.linear %[[H]], %[[D]] : tensor<1x?x128xf32>, tensor<64x128xf32> -> tensor<1x?x64xf32>
// CHECK-NEXT: return %[[Y]]
func.func @silu(%x: tensor<1x?x64xf32>, %g: tensor<128x64xf32>, %u: !transformer.quant<q8_0, 128x64>, %d: tensor<64x128xf32>) -> tensor<1x?x64xf32> {
  %y = transformer.mlp %x, %g, %u, %d : tensor<1x?x64xf32>, tensor<128x64xf32>, !transformer.quant<q8_0, 128x64>, tensor<64x128xf32>
  return %y : tensor<1x?x64xf32>
}

// -----

// CHECK-LABEL: @gelu
// CHECK: %[[G:.*]] = transformer.linear
// CHECK-NEXT: %[[U:.*]] = transformer.linear
// CHECK-NEXT: %[[A:.*]] = transformer.gelu %[[G]] : tensor<4x128xf32>
// CHECK-NEXT: %[[H:.*]] = arith.mulf %[[A]], %[[U]] : tensor<4x128xf32>
// CHECK-NEXT: transformer.linear %[[H]]
func.func @gelu(%x: tensor<4x64xf32>, %g: tensor<128x64xf32>, %d: tensor<64x128xf32>) -> tensor<4x64xf32> {
  %y = transformer.mlp %x, %g, %g, %d {activation = "gelu"} : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>
  return %y : tensor<4x64xf32>
}

// -----

// CHECK-LABEL: @nothing
// CHECK-NEXT: transformer.linear
// CHECK-NEXT: return
func.func @nothing(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>) -> tensor<4x128xf32> {
  %y = transformer.linear %x, %w : tensor<4x64xf32>, tensor<128x64xf32> -> tensor<4x128xf32>
  return %y : tensor<4x128xf32>
}
