// A weight that an adapter does not bind at once lies in several buffers: here forty rows, 4096 bytes for each sixteen, in
// three pieces. A workgroup's sixteen rows are in one of them.
// RUN: kforge-opt %s --kforge-gpu=target=gpu+bindings8x6000 | FileCheck %s
// RUN: kforge-opt %s --kforge-gpu=target=gpu+bindings8x6000 | kforge-translate --mlir-to-wgsl - | FileCheck %s --check-prefix=WGSL
// RUN: kforge-opt %s --kforge-gpu | kforge-translate --mlir-to-wgsl - | FileCheck %s --check-prefix=WHOLE

// CHECK: transformer.target = "gpu+256x16384+bindings8x6000"
// CHECK: gpu.func @gemv_0(%[[X:arg[0-9]+]]: memref<{{[^,]*}}>, %[[A:arg[0-9]+]]: memref<?xvector<4xf32>>, %[[B:arg[0-9]+]]: memref<?xvector<4xf32>>, %[[C:arg[0-9]+]]: memref<?xvector<4xf32>>, %{{arg[0-9]+}}: memref<?xf32>, %{{.*}}: index)
// CHECK: scf.index_switch
// CHECK: case 0 {
// CHECK: memref.load %[[A]]
// CHECK: case 1 {
// CHECK: memref.load %[[B]]
// CHECK: default {
// CHECK: memref.load %[[C]]
// CHECK-LABEL: func.func @linear
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<1x64xf32>, %[[W:[a-z0-9]+]]: memref<40x64xf32>
// CHECK: transformer.launch @gemv_0 tasks(%{{.*}}) buffers(%[[X]], %[[W]], %{{.*}}) access [0, 0, 1]

// WGSL: @group(0) @binding(1) var<storage, read> [[W0:[a-z0-9_]+]]: array<vec4<f32>>;
// WGSL: @group(0) @binding(2) var<storage, read> [[W1:[a-z0-9_]+]]: array<vec4<f32>>;
// WGSL: @group(0) @binding(3) var<storage, read> [[W2:[a-z0-9_]+]]: array<vec4<f32>>;
// WGSL: switch
// WGSL: case 0i: {
// WGSL: [[W0]][
// WGSL: case 1i: {
// WGSL: [[W1]][
// WGSL: default: {
// WGSL: [[W2]][

// WHOLE-NOT: @binding(4)
// WHOLE-NOT: switch

func.func @linear(%x: tensor<1x64xf32>, %w: tensor<40x64xf32>) -> tensor<1x40xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<40x64xf32> -> tensor<1x40xf32>
  return %0 : tensor<1x40xf32>
}
