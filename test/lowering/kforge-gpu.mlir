// A module on a GPU: kernels in a gpu.module, a function of launches that name them. What an adapter lacks is not in the
// text.
// RUN: kforge-opt %s --kforge-gpu | FileCheck %s
// RUN: kforge-opt %S/../../examples/block.mlir --kforge-gpu | FileCheck %s --check-prefix=BLOCK
// RUN: kforge-opt %s --kforge-gpu=target=gpu+f16+subgroups8+1024x32768 | FileCheck %s --check-prefix=ADAPTER
// RUN: kforge-opt %s --kforge-gpu=target=gpu+f16 | kforge-translate --mlir-to-wgsl - | FileCheck %s --check-prefix=HALVES
// RUN: kforge-opt %s --kforge-gpu | kforge-translate --mlir-to-wgsl - | FileCheck %s --check-prefix=WORDS

// CHECK: module attributes {transformer.target = "gpu+256x16384"} {
// CHECK: gpu.module @kernels {
// CHECK: gpu.func @[[GEMV:gemv_[0-9]+]](%{{.*}}: memref<?x{{.*}}f32>>, {{.*}}: index) workgroup(
// CHECK-SAME: kernel attributes {known_block_size = array<i32: {{[0-9]+}}, 1, 1>}
// CHECK: gpu.barrier
// CHECK: gpu.return
// CHECK: gpu.func @[[WIDEN:elementwise_[0-9]+]](%{{.*}}: memref<?xi32>, %{{.*}}: memref<?xf32>,
// CHECK-LABEL: func.func @linear
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<1x64xf32>, %[[W:[a-z0-9]+]]: memref<{{.*}}xf32> {transformer.layout = "rows16"}
// CHECK: transformer.launch @[[GEMV]] tasks(%{{.*}}) buffers(%[[X]], %[[W]], %{{.*}}) access [0, 0, 1]{{.*}}summary = "linear"}
// CHECK-LABEL: func.func @widen
// CHECK: transformer.launch @[[WIDEN]] tasks(

// Parts of a row each give their best, which a second launch ranks; where one part is a row, it is done.
// CHECK-LABEL: func.func @choose
// CHECK-SAME: %[[X:[a-z0-9]+]]: memref<?x5000xf32>
// CHECK: %[[BEST:[a-z0-9_]+]] = memref.alloc(%{{.*}}){{.*}} : memref<?x8xf32>
// CHECK: transformer.launch @[[PART:top_k_[0-9]+]] tasks(%{{.*}}) buffers(%[[X]], %{{.*}}, %{{.*}}, %[[BEST]] : {{.*}}) access [0, 1, 1, 1]{{.*}}summary = "top 4"}
// CHECK: transformer.launch @[[PART]]_fold tasks(%{{.*}}) buffers(%[[X]], %{{.*}}, %{{.*}}, %[[BEST]] : {{.*}}) access [0, 1, 1, 0]{{.*}}summary = "top 4 of parts"}
// CHECK-NEXT: return
// CHECK-LABEL: func.func @argmax
// CHECK: transformer.launch @top_k_{{[0-9]+}} tasks(%{{.*}}) buffers(%{{.*}}, %{{.*}} : memref<2x512xf32>, memref<2x1xi32>) access [0, 1]{{.*}}summary = "argmax"}
// CHECK-NEXT: return

// BLOCK: gpu.module @kernels {
// BLOCK: gpu.func @[[NORM:rowwise_[0-9]+]](
// BLOCK: gpu.func @[[QKV:gemm_[0-9]+]](
// BLOCK: gpu.func @[[ROPE:rope_[0-9]+]](
// BLOCK: gpu.func @[[ATTENTION:attention_[0-9]+]](
// BLOCK: math.exp
// BLOCK: gpu.func @[[OUTPUT:gemm_[0-9]+]](
// BLOCK-LABEL: func.func @main
// BLOCK: transformer.launch @[[NORM]] {{.*}}summary = "rms_norm"}
// BLOCK: transformer.launch @[[QKV]] {{.*}}summary = "linear x3"}
// BLOCK: transformer.launch @[[ROPE]] {{.*}}summary = "rope x2+kv_update x2"}
// BLOCK: transformer.launch @[[ATTENTION]] {{.*}}summary = "attention"}
// BLOCK: transformer.launch @[[OUTPUT]] {{.*}}summary = "linear+addf"}
// BLOCK: transformer.launch @[[NORM]] {{.*}}summary = "rms_norm"}

// ADAPTER: transformer.target = "gpu+f16+subgroups8+1024x32768"
// ADAPTER: gpu.func @elementwise_{{[0-9]+}}(%{{.*}}: memref<?xf16>, %{{.*}}: memref<?xf32>,

// HALVES: // Kernel gemv_0.
// HALVES: // Kernel elementwise_1; needs f16.
// HALVES: enable f16;
// HALVES: array<f16>

// WORDS: // Kernel elementwise_1; needs packed halves.
// WORDS-NOT: f16
// WORDS: unpack2x16float(
// WORDS-NOT: f16

func.func @linear(%x: tensor<1x64xf32>, %w: tensor<32x64xf32>) -> tensor<1x32xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<32x64xf32> -> tensor<1x32xf32>
  return %0 : tensor<1x32xf32>
}

func.func @widen(%x: tensor<?x6xf16>) -> tensor<?x6xf32> {
  %0 = arith.extf %x : tensor<?x6xf16> to tensor<?x6xf32>
  return %0 : tensor<?x6xf32>
}

func.func @choose(%x: tensor<?x5000xf32>) -> (tensor<?x4xf32>, tensor<?x4xi32>) {
  %0, %1 = transformer.top_k %x : tensor<?x5000xf32> -> tensor<?x4xf32>, tensor<?x4xi32>
  return %0, %1 : tensor<?x4xf32>, tensor<?x4xi32>
}

func.func @argmax(%x: tensor<2x512xf32>) -> tensor<2x1xi32> {
  %0, %1 = transformer.top_k %x : tensor<2x512xf32> -> tensor<2x1xf32>, tensor<2x1xi32>
  return %1 : tensor<2x1xi32>
}
