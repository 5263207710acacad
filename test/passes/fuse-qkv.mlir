// RUN: kforge-opt %s --fuse-qkv | FileCheck %s
// RUN: kforge-opt %s --fuse-qkv --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: fuse-qkv
// STATS-NEXT: (S) 2 groups

// CHECK-LABEL: @qkv
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64} : tensor<1x64xf32>, !transformer.quant<q4_1, 64x64>
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64} : tensor<1x64xf32>, tensor<32x64xf32>
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64} : tensor<1x64xf32>, tensor<32x64xf32>
func.func @qkv(%x: tensor<1x64xf32>, %q: !transformer.quant<q4_1, 64x64>, %k: tensor<32x64xf32>, %v: tensor<32x64xf32>)
    -> (tensor<1x64xf32>, tensor<1x32xf32>, tensor<1x32xf32>) {
  %0 = transformer.linear %x, %q : tensor<1x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<1x64xf32>
  %1 = transformer.linear %x, %k : tensor<1x64xf32>, tensor<32x64xf32> -> tensor<1x32xf32>
  %2 = transformer.linear %x, %v : tensor<1x64xf32>, tensor<32x64xf32> -> tensor<1x32xf32>
  return %0, %1, %2 : tensor<1x64xf32>, tensor<1x32xf32>, tensor<1x32xf32>
}

// A second group gets another number; what is grouped already keeps its own.
// CHECK-LABEL: @numbers
// CHECK: transformer.linear {{.*}} {transformer.group = 4 : i64}
// CHECK: transformer.linear {{.*}} {transformer.group = 5 : i64}
// CHECK: transformer.linear {{.*}} {transformer.group = 5 : i64}
func.func @numbers(%x: tensor<1x64xf32>, %y: tensor<1x64xf32>, %w: tensor<64x64xf32>, %v: tensor<64x64xf32>)
    -> (tensor<1x64xf32>, tensor<1x64xf32>, tensor<1x64xf32>) {
  %0 = transformer.linear %x, %w {transformer.group = 4 : i64} : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.linear %y, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %2 = transformer.linear %y, %v : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  return %0, %1, %2 : tensor<1x64xf32>, tensor<1x64xf32>, tensor<1x64xf32>
}

// Alone, or with different inputs: nothing to share.
// CHECK-LABEL: @apart
// CHECK-NOT: transformer.group
// CHECK: return
func.func @apart(%x: tensor<1x64xf32>, %y: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> (tensor<1x64xf32>, tensor<1x64xf32>) {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.linear %y, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  return %0, %1 : tensor<1x64xf32>, tensor<1x64xf32>
}

// Gate and up are fuse-gate-up's.
// CHECK-LABEL: @gate_up
// CHECK-NOT: transformer.group
// CHECK: return
func.func @gate_up(%x: tensor<1x64xf32>, %g: tensor<64x64xf32>, %u: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %g : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.linear %x, %u : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %2 = transformer.swiglu %0, %1 : tensor<1x64xf32>
  return %2 : tensor<1x64xf32>
}
