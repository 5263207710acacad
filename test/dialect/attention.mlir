// RUN: kforge-opt %s --verify-roundtrip | kforge-opt | FileCheck %s

// CHECK-LABEL: @rope
// CHECK: transformer.rope %{{.*}} at %{{.*}} {base = 1.000000e+05 : f32, mode = "interleaved"} : tensor<1x?x9x64xf32>, tensor<1xi32>
// CHECK: transformer.rope %{{.*}} at %{{.*}} lengths %{{.*}} {base = 1.000000e+04 : f32, freq_divisors = array<f32: 1.000000e+00, 8.000000e+00>, mode = "half"} : tensor<1x2x9x4xf32>, tensor<1xi32>, tensor<1xi32>
func.func @rope(%q: tensor<1x?x9x64xf32>, %k: tensor<1x2x9x4xf32>, %at: tensor<1xi32>) -> (tensor<1x?x9x64xf32>, tensor<1x2x9x4xf32>) {
  %0 = transformer.rope %q at %at {mode = "interleaved", base = 1.0e5 : f32} : tensor<1x?x9x64xf32>, tensor<1xi32>
  %1 = transformer.rope %k at %at lengths %at {mode = "half", base = 1.0e4 : f32, freq_divisors = array<f32: 1.0, 8.0>}
    : tensor<1x2x9x4xf32>, tensor<1xi32>, tensor<1xi32>
  return %0, %1 : tensor<1x?x9x64xf32>, tensor<1x2x9x4xf32>
}

// CHECK-LABEL: @attention
// CHECK: transformer.attention %{{.*}}, %{{.*}}, %{{.*}} : tensor<2x4x9x64xf32>, tensor<2x?x3x64xf32>, tensor<2x?x3x64xf32>
// CHECK: transformer.attention %{{.*}}, %{{.*}}, %{{.*}} at %{{.*}} {causal, scale = 1.250000e-01 : f32, softcap = 5.000000e+01 : f32, window = 128 : i64} : tensor<2x4x9x64xf32>, tensor<2x?x3x64xf32>, tensor<2x?x3x64xf32>, tensor<2xi32>
// CHECK: transformer.attention %{{.*}}, %{{.*}}, %{{.*}} at %{{.*}} lengths %{{.*}} blocks %{{.*}} {causal} : tensor<2x4x9x64xf32>, tensor<?x16x3x64xf32>, tensor<?x16x3x64xf32>, tensor<2xi32>, tensor<2xi32> blocks tensor<2x8xi32>
// CHECK: transformer.attention %{{.*}}, %{{.*}}, %{{.*}} at %{{.*}} blocks %{{.*}} : tensor<2x4x9x64xf32>, tensor<?x16x3x64xf32>, tensor<?x16x3x64xf32>, tensor<2xi32> blocks tensor<2x8xi32>
func.func @attention(%q: tensor<2x4x9x64xf32>, %k: tensor<2x?x3x64xf32>, %pages: tensor<?x16x3x64xf32>, %at: tensor<2xi32>,
                     %table: tensor<2x8xi32>) -> tensor<2x4x9x64xf32> {
  %0 = transformer.attention %q, %k, %k : tensor<2x4x9x64xf32>, tensor<2x?x3x64xf32>, tensor<2x?x3x64xf32>
  %1 = transformer.attention %0, %k, %k at %at {causal, scale = 0.125 : f32, window = 128 : i64, softcap = 50.0 : f32}
    : tensor<2x4x9x64xf32>, tensor<2x?x3x64xf32>, tensor<2x?x3x64xf32>, tensor<2xi32>
  %2 = transformer.attention %1, %pages, %pages at %at lengths %at blocks %table {causal}
    : tensor<2x4x9x64xf32>, tensor<?x16x3x64xf32>, tensor<?x16x3x64xf32>, tensor<2xi32>, tensor<2xi32> blocks tensor<2x8xi32>
  %3 = transformer.attention %2, %pages, %pages at %at blocks %table
    : tensor<2x4x9x64xf32>, tensor<?x16x3x64xf32>, tensor<?x16x3x64xf32>, tensor<2xi32> blocks tensor<2x8xi32>
  return %3 : tensor<2x4x9x64xf32>
}

// CHECK-LABEL: @kv_update
// CHECK: transformer.kv_update %{{.*}}, %{{.*}} at %{{.*}} : tensor<1x?x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32>
// CHECK: transformer.kv_update %{{.*}}, %{{.*}} at %{{.*}} lengths %{{.*}} blocks %{{.*}} : tensor<5x16x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32>, tensor<1xi32> blocks tensor<1x2xi32>
// CHECK: transformer.kv_update %{{.*}}, %{{.*}} at %{{.*}} blocks %{{.*}} : tensor<5x16x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32> blocks tensor<1x2xi32>
func.func @kv_update(%cache: tensor<1x?x3x64xf32>, %pages: tensor<5x16x3x64xf32>, %rows: tensor<1x?x3x64xf32>, %at: tensor<1xi32>,
                     %table: tensor<1x2xi32>) -> (tensor<1x?x3x64xf32>, tensor<5x16x3x64xf32>) {
  %0 = transformer.kv_update %cache, %rows at %at : tensor<1x?x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32>
  %1 = transformer.kv_update %pages, %rows at %at lengths %at blocks %table
    : tensor<5x16x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32>, tensor<1xi32> blocks tensor<1x2xi32>
  %2 = transformer.kv_update %1, %rows at %at blocks %table : tensor<5x16x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32> blocks tensor<1x2xi32>
  return %0, %2 : tensor<1x?x3x64xf32>, tensor<5x16x3x64xf32>
}
