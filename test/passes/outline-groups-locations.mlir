// A fused op is where all its ops are; an error at it shows the first.
// RUN: kforge-opt %s --outline-groups --mlir-print-debuginfo | FileCheck %s
// RUN: not kforge-opt %s --outline-groups --lower-to-launches 2>&1 | FileCheck %s --check-prefix=ERROR

// ERROR: outline-groups-locations.mlir:24:8: error: 'transformer.fused' op has no kernel; run --select-kernels first
// ERROR-NEXT: %n = transformer.rms_norm

// CHECK: transformer.fused(
// CHECK: transformer.yield
// CHECK-NEXT: } loc(#[[FUSED:loc[0-9]+]])
// CHECK: transformer.fused(
// CHECK: transformer.yield
// CHECK-NEXT: } loc(#[[CHAIN:loc[0-9]+]])
// CHECK: transformer.softmax {{.*}} loc(#[[Y:loc[0-9]+]])
// CHECK-NEXT: transformer.yield
// CHECK-NEXT: } loc(#[[Y]])
// CHECK: #[[NORM:loc[0-9]+]] = loc("{{.*}}outline-groups-locations.mlir":24:8)
// CHECK: #[[LINEAR:loc[0-9]+]] = loc("{{.*}}outline-groups-locations.mlir":25:8)
// CHECK: #[[X:loc[0-9]+]] = loc("x":1:2)
// CHECK: #[[Y]] = loc("y":3:4)
// CHECK: #[[FUSED]] = loc(fused[#[[NORM]], #[[LINEAR]]])
// CHECK: #[[CHAIN]] = loc(fused[#[[X]], #[[Y]]])
func.func @f(%x: tensor<1x64xf32>, %g: tensor<64xf32>, %w: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32, transformer.group = 0 : i64} : tensor<1x64xf32>, tensor<64xf32>
  %y = transformer.linear %n, %w {transformer.group = 0 : i64} : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %a = transformer.silu %y {transformer.group = 1 : i64} : tensor<1x64xf32> loc("x":1:2)
  %b = transformer.silu %a {transformer.group = 1 : i64} : tensor<1x64xf32> loc("y":3:4)
  %c = transformer.softmax %b : tensor<1x64xf32> loc("y":3:4)
  return %c : tensor<1x64xf32>
}
