// RUN: kforge-opt %s --fuse-gate-up | FileCheck %s
// RUN: kforge-opt %s --fuse-gate-up --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: fuse-gate-up
// STATS-NEXT: (S) 3 groups

// CHECK-LABEL: @swiglu
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: transformer.swiglu {{.*}} {transformer.group = 0 : i64}
func.func @swiglu(%x: tensor<1x64xf32>, %g: tensor<128x64xf32>, %u: !transformer.quant<q8_0, 128x64>) -> tensor<1x128xf32> {
  %0 = transformer.linear %x, %g : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %1 = transformer.linear %x, %u : tensor<1x64xf32>, !transformer.quant<q8_0, 128x64> -> tensor<1x128xf32>
  %2 = transformer.swiglu %0, %1 : tensor<1x128xf32>
  return %2 : tensor<1x128xf32>
}

// CHECK-LABEL: @gelu
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: transformer.linear {{.*}} {transformer.group = 0 : i64}
// CHECK: transformer.gelu {{.*}}transformer.group = 0 : i64
// CHECK: arith.mulf {{.*}} {transformer.group = 0 : i64}
func.func @gelu(%x: tensor<1x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>) -> tensor<1x128xf32> {
  %0 = transformer.linear %x, %g : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %1 = transformer.linear %x, %u : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %2 = transformer.gelu %0 {approximate = "tanh"} : tensor<1x128xf32>
  %3 = arith.mulf %2, %1 : tensor<1x128xf32>
  return %3 : tensor<1x128xf32>
}

// The activation may be on the second of the two.
// CHECK-LABEL: @silu_second
// CHECK-COUNT-4: transformer.group = 0 : i64
func.func @silu_second(%x: tensor<1x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>) -> tensor<1x128xf32> {
  %0 = transformer.linear %x, %g : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %1 = transformer.linear %x, %u : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %2 = transformer.silu %1 : tensor<1x128xf32>
  %3 = arith.mulf %0, %2 : tensor<1x128xf32>
  return %3 : tensor<1x128xf32>
}

// A projection that is used elsewhere too must be stored.
// CHECK-LABEL: @used_twice
// CHECK-NOT: transformer.group
// CHECK: return
func.func @used_twice(%x: tensor<1x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>) -> (tensor<1x128xf32>, tensor<1x128xf32>) {
  %0 = transformer.linear %x, %g : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %1 = transformer.linear %x, %u : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %2 = transformer.swiglu %0, %1 : tensor<1x128xf32>
  return %2, %0 : tensor<1x128xf32>, tensor<1x128xf32>
}

// CHECK-LABEL: @two_inputs
// CHECK-NOT: transformer.group
// CHECK: return
func.func @two_inputs(%x: tensor<1x64xf32>, %y: tensor<1x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>) -> tensor<1x128xf32> {
  %0 = transformer.linear %x, %g : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %1 = transformer.linear %y, %u : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %2 = transformer.swiglu %0, %1 : tensor<1x128xf32>
  return %2 : tensor<1x128xf32>
}
