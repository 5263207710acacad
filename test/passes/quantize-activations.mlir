// RUN: kforge-opt %s --quantize-activations | FileCheck %s
// RUN: kforge-opt %s --quantize-activations --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: quantize-activations
// STATS-NEXT: (S) 1 quantized

// Layers of one input share the rounded one; a residual keeps the exact one.
// CHECK-LABEL: @shared
// CHECK-SAME: (%[[X:.*]]: tensor<?x64xf32>, %[[W:.*]]: !transformer.quant<q4_1, 64x64>
// CHECK-NEXT: %[[Q:.*]] = transformer.quantize %[[X]] : tensor<?x64xf32>
// CHECK-NEXT: %[[Y:.*]] = transformer.linear %[[Q]], %[[W]]
// CHECK-NEXT: %[[Z:.*]] = transformer.linear %[[Q]],
// CHECK-NEXT: arith.addf %[[X]], %[[Y]]
func.func @shared(%x: tensor<?x64xf32>, %w: !transformer.quant<q4_1, 64x64>, %v: !transformer.quant<q8_0, 64x64>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %y = transformer.linear %x, %w : tensor<?x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<?x64xf32>
  %z = transformer.linear %x, %v : tensor<?x64xf32>, !transformer.quant<q8_0, 64x64> -> tensor<?x64xf32>
  %r = arith.addf %x, %y : tensor<?x64xf32>
  return %r, %z : tensor<?x64xf32>, tensor<?x64xf32>
}

// A weight of floats, and activations that are no f32, stay as they are.
// CHECK-LABEL: @floats
// CHECK-NOT: transformer.quantize
// CHECK: return
func.func @floats(%x: tensor<?x64xf32>, %h: tensor<?x64xf16>, %w: tensor<64x64xf32>, %v: !transformer.quant<q8_0, 64x64>) -> (tensor<?x64xf32>, tensor<?x64xf16>) {
  %y = transformer.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %z = transformer.linear %h, %v : tensor<?x64xf16>, !transformer.quant<q8_0, 64x64> -> tensor<?x64xf16>
  return %y, %z : tensor<?x64xf32>, tensor<?x64xf16>
}
