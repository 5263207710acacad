// RUN: kforge-opt %s --verify-roundtrip | kforge-opt | FileCheck %s

// CHECK-LABEL: @norms
// CHECK: transformer.rms_norm %{{.*}}, %{{.*}} {eps = 9.99999974E-6 : f32} : tensor<1x?x64xf32>, tensor<64xf32>
// CHECK: transformer.layer_norm %{{.*}}, %{{.*}} {eps = 9.99999974E-6 : f32} : tensor<1x?x64xf32>, tensor<64xf32>
// CHECK: transformer.layer_norm %{{.*}}, %{{.*}}, %{{.*}} {eps = 9.99999974E-6 : f32} : tensor<1x?x64xf32>, tensor<64xf32>, tensor<64xf32>
func.func @norms(%x: tensor<1x?x64xf32>, %g: tensor<64xf32>, %b: tensor<64xf32>) -> tensor<1x?x64xf32> {
  %0 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x?x64xf32>, tensor<64xf32>
  %1 = transformer.layer_norm %0, %g {eps = 1.0e-5 : f32} : tensor<1x?x64xf32>, tensor<64xf32>
  %2 = transformer.layer_norm %1, %g, %b {eps = 1.0e-5 : f32} : tensor<1x?x64xf32>, tensor<64xf32>, tensor<64xf32>
  return %2 : tensor<1x?x64xf32>
}

// CHECK-LABEL: @activations
// CHECK: transformer.softmax %{{.*}} : tensor<4x?xf16>
// CHECK: transformer.gelu %{{.*}} : tensor<4x?xf16>
// CHECK: transformer.gelu %{{.*}} {approximate = "tanh"} : tensor<4x?xf16>
// CHECK: transformer.silu %{{.*}} : tensor<4x?xf16>
// CHECK: transformer.scale %{{.*}} {factor = 1.200000e+01 : f32} : tensor<4x?xf16>
// CHECK: transformer.softcap %{{.*}} {cap = 3.000000e+01 : f32} : tensor<4x?xf16>
// CHECK: transformer.swiglu %{{.*}}, %{{.*}} : tensor<4x?xf16>
func.func @activations(%x: tensor<4x?xf16>) -> tensor<4x?xf16> {
  %0 = transformer.softmax %x : tensor<4x?xf16>
  %1 = transformer.gelu %0 : tensor<4x?xf16>
  %2 = transformer.gelu %1 {approximate = "tanh"} : tensor<4x?xf16>
  %3 = transformer.silu %2 : tensor<4x?xf16>
  %4 = transformer.scale %3 {factor = 1.2e+01 : f32} : tensor<4x?xf16>
  %5 = transformer.softcap %4 {cap = 3.0e+01 : f32} : tensor<4x?xf16>
  %6 = transformer.swiglu %5, %x : tensor<4x?xf16>
  return %6 : tensor<4x?xf16>
}

// CHECK-LABEL: @quantize
// CHECK: transformer.quantize %{{.*}} : tensor<4x?x64xf32>
func.func @quantize(%x: tensor<4x?x64xf32>) -> tensor<4x?x64xf32> {
  %0 = transformer.quantize %x : tensor<4x?x64xf32>
  return %0 : tensor<4x?x64xf32>
}

// CHECK-LABEL: @top_k
// CHECK: %{{.*}}, %{{.*}} = transformer.top_k %{{.*}} : tensor<1x?x64xf16> -> tensor<1x?x8xf16>, tensor<1x?x8xi32>
// CHECK: %{{.*}}, %{{.*}} = transformer.top_k %{{.*}} : tensor<?xf32> -> tensor<1xf32>, tensor<1xi32>
func.func @top_k(%x: tensor<1x?x64xf16>, %y: tensor<?xf32>) -> (tensor<1x?x8xi32>, tensor<1xi32>) {
  %0, %1 = transformer.top_k %x : tensor<1x?x64xf16> -> tensor<1x?x8xf16>, tensor<1x?x8xi32>
  %2, %3 = transformer.top_k %y : tensor<?xf32> -> tensor<1xf32>, tensor<1xi32>
  return %1, %3 : tensor<1x?x8xi32>, tensor<1xi32>
}
