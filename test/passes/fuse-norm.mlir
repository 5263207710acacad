// RUN: kforge-opt %s --fuse-qkv --fuse-norm | FileCheck %s
// RUN: kforge-opt %s --fuse-qkv --fuse-norm --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS
// RUN: kforge-opt %s --pass-pipeline='builtin.module(func.func(fuse-qkv,fuse-norm{max-rows=16}))' | FileCheck %s --check-prefix=MORE

// STATS: fuse-norm
// STATS-NEXT: (S) 4 fused

// CHECK-LABEL: @one
// CHECK: transformer.rms_norm {{.*}}transformer.group = 0 : i64
// CHECK: transformer.linear {{.*}}transformer.group = 0 : i64
func.func @one(%x: tensor<2x4x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>) -> tensor<2x4x128xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<2x4x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<2x4x64xf32>, tensor<128x64xf32> -> tensor<2x4x128xf32>
  return %y : tensor<2x4x128xf32>
}

// All readers are one group already.
// CHECK-LABEL: @group
// CHECK: transformer.layer_norm {{.*}}transformer.group = 0 : i64
// CHECK: transformer.linear {{.*}}transformer.group = 0 : i64
// CHECK: transformer.linear {{.*}}transformer.group = 0 : i64
func.func @group(%x: tensor<1x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>, %v: tensor<64x64xf32>) -> (tensor<1x128xf32>, tensor<1x64xf32>) {
  %n = transformer.layer_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %z = transformer.linear %n, %v : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  return %y, %z : tensor<1x128xf32>, tensor<1x64xf32>
}

// Eight rows are few, nine are not; `max-rows` says how many are.
// CHECK-LABEL: @eight
// CHECK: transformer.rms_norm {{.*}}transformer.group
// CHECK-LABEL: @nine
// CHECK-NOT: transformer.group
// CHECK: return
// MORE-LABEL: @nine
// MORE: transformer.rms_norm {{.*}}transformer.group
func.func @eight(%x: tensor<8x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>) -> tensor<8x128xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<8x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<8x64xf32>, tensor<128x64xf32> -> tensor<8x128xf32>
  return %y : tensor<8x128xf32>
}
func.func @nine(%x: tensor<9x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>) -> tensor<9x128xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<9x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<9x64xf32>, tensor<128x64xf32> -> tensor<9x128xf32>
  return %y : tensor<9x128xf32>
}

// CHECK-LABEL: @dynamic
// CHECK-NOT: transformer.group
// CHECK: return
// MORE-LABEL: @dynamic
// MORE-NOT: transformer.group
// MORE: return
func.func @dynamic(%x: tensor<1x?x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>) -> tensor<1x?x128xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x?x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<1x?x64xf32>, tensor<128x64xf32> -> tensor<1x?x128xf32>
  return %y : tensor<1x?x128xf32>
}

// The normalised rows are needed as such, or are a weight.
// CHECK-LABEL: @used_elsewhere
// CHECK-NOT: transformer.group
// CHECK: return
func.func @used_elsewhere(%x: tensor<1x64xf32>, %g: tensor<64xf32>, %w: tensor<128x64xf32>) -> (tensor<1x128xf32>, tensor<1x64xf32>, tensor<1x1xf32>) {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
  %m = transformer.rms_norm %x, %g {eps = 1.0e-6 : f32} : tensor<1x64xf32>, tensor<64xf32>
  %z = transformer.linear %x, %m : tensor<1x64xf32>, tensor<1x64xf32> -> tensor<1x1xf32>
  return %y, %n, %z : tensor<1x128xf32>, tensor<1x64xf32>, tensor<1x1xf32>
}

// A quantize reads whole rows as the norm does, however many there are.
// CHECK-LABEL: @quantized
// CHECK: transformer.rms_norm {{.*}}transformer.group = 0 : i64
// CHECK: transformer.quantize {{.*}}transformer.group = 0 : i64
// CHECK: transformer.linear
// CHECK-NOT: transformer.group
// CHECK: return
func.func @quantized(%x: tensor<?x64xf32>, %g: tensor<64xf32>, %w: !transformer.quant<q4_1, 64x64>) -> tensor<?x64xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>
  %q = transformer.quantize %n : tensor<?x64xf32>
  %y = transformer.linear %q, %w : tensor<?x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
