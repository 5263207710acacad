// y[M, N] = x[M, K] w[K, N], f16 factors summed in f32 by matrix units: a subgroup makes one 16x16 tile.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s
// RUN: not kforge-translate --mlir-to-wgsl %s --emit msl 2>&1 | FileCheck %s --check-prefix=METAL
// RUN: not kforge-translate --mlir-to-wgsl %s --emit hlsl 2>&1 | FileCheck %s --check-prefix=DIRECTX

// CHECK: // Kernel gemm_matrix; needs f16, cooperative matrices.
// CHECK-NEXT: enable f16;
// CHECK-NEXT: enable wgpu_cooperative_matrix;
// CHECK: var [[ACC:v.*]] = coop_mat16x16<f32, C>();
// CHECK: let [[A:v.*]] = coopLoadT<coop_mat16x16<f16, A>>(&arg0[{{.*}} * 512 + {{.*}}], 512u);
// CHECK-NEXT: let [[B:v.*]] = coopLoadT<coop_mat16x16<f16, B>>(&arg1[{{.*}} * 1024 + {{.*}}], 1024u);
// CHECK-NEXT: let [[D:v.*]] = coopMultiplyAdd([[A]], [[B]], [[ACC]]);
// CHECK-NEXT: [[ACC]] = [[D]];
// CHECK: coopStoreT([[ACC]], &arg2[{{.*}}], 1024u);
// METAL: kforge-translate: @gemm_matrix has no MSL: Metal's matrices are 8x8
// DIRECTX: kforge-translate: @gemm_matrix has no HLSL: it has no cooperative matrices

gpu.module @kernels {
  gpu.func @gemm_matrix(%x: memref<?x512xf16>, %w: memref<512x1024xf16>, %y: memref<?x1024xf32>)
      kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %c512 = arith.constant 512 : index
    %zero = arith.constant 0.0 : f32
    %i = gpu.block_id y
    %j = gpu.block_id x
    %row = arith.muli %i, %c16 : index
    %column = arith.muli %j, %c16 : index
    %none = gpu.subgroup_mma_constant_matrix %zero : !gpu.mma_matrix<16x16xf32, "COp">
    %sum = scf.for %k = %c0 to %c512 step %c16 iter_args(%acc = %none) -> (!gpu.mma_matrix<16x16xf32, "COp">) {
      %a = gpu.subgroup_mma_load_matrix %x[%row, %k] {leadDimension = 512 : index} : memref<?x512xf16> -> !gpu.mma_matrix<16x16xf16, "AOp">
      %b = gpu.subgroup_mma_load_matrix %w[%k, %column] {leadDimension = 1024 : index} : memref<512x1024xf16> -> !gpu.mma_matrix<16x16xf16, "BOp">
      %d = gpu.subgroup_mma_compute %a, %b, %acc : !gpu.mma_matrix<16x16xf16, "AOp">, !gpu.mma_matrix<16x16xf16, "BOp"> -> !gpu.mma_matrix<16x16xf32, "COp">
      scf.yield %d : !gpu.mma_matrix<16x16xf32, "COp">
    }
    gpu.subgroup_mma_store_matrix %sum, %y[%row, %column] {leadDimension = 1024 : index} : !gpu.mma_matrix<16x16xf32, "COp">, memref<?x1024xf32>
    gpu.return
  }
}
