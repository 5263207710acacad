// Where a thread is, and what subgroups exchange.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: @workgroup_size(8, 4, 2)
  // CHECK: fn ids(@builtin(local_invocation_id) thread_id: vec3<u32>, @builtin(workgroup_id) block_id: vec3<u32>, @builtin(num_workgroups) grid_dim: vec3<u32>, @builtin(global_invocation_id) global_id: vec3<u32>) {
  gpu.func @ids(%o: memref<64xi32>) kernel attributes {known_block_size = array<i32: 8, 4, 2>} {
    %c0 = arith.constant 0 : index
    // CHECK-NEXT: let v0 = i32(thread_id.x);
    %t = gpu.thread_id x
    // CHECK-NEXT: let v1 = i32(block_id.y);
    %b = gpu.block_id y
    // CHECK-NEXT: let v2 = i32(grid_dim.z);
    %g = gpu.grid_dim z
    // CHECK-NEXT: let v3 = i32(global_id.x);
    %i = gpu.global_id x
    // CHECK-NEXT: let v4 = v0 + 4i;
    %d = gpu.block_dim y
    %0 = arith.addi %t, %d : index
    %1 = arith.addi %0, %b : index
    %2 = arith.addi %1, %g : index
    %3 = arith.addi %2, %i : index
    %4 = arith.index_cast %3 : index to i32
    memref.store %4, %o[%c0] : memref<64xi32>
    gpu.return
  }

  // CHECK: // Kernel lanes; needs subgroups.
  // CHECK-LABEL: fn lanes(@builtin(subgroup_invocation_id) lane_id: u32, @builtin(subgroup_id) subgroup_id: u32, @builtin(subgroup_size) subgroup_size: u32, @builtin(num_subgroups) num_subgroups: u32) {
  gpu.func @lanes(%x: memref<64xf32>, %o: memref<64xi32>, %n: i32 loc("n")) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %four = arith.constant 4 : i32
    %width = arith.constant 32 : i32
    // CHECK-NEXT: let v0 = i32(lane_id);
    %l = gpu.lane_id
    // CHECK-NEXT: let v1 = i32(subgroup_id);
    %s = gpu.subgroup_id : index
    // CHECK-NEXT: let v2 = i32(subgroup_size);
    %z = gpu.subgroup_size : index
    // CHECK-NEXT: let v3 = i32(num_subgroups);
    %m = gpu.num_subgroups : index
    // CHECK-NEXT: let v4 = arg0[v0];
    %v = memref.load %x[%l] : memref<64xf32>
    // CHECK-NEXT: let v5 = subgroupShuffleXor(v4, 4u);
    %a, %a_ok = gpu.shuffle xor %v, %four, %width : f32
    // CHECK-NEXT: let v6 = subgroupShuffleDown(v5, u32(arguments.n));
    // CHECK-NEXT: let v7 = (lane_id < 32u) & ((lane_id + u32(arguments.n)) < 32u);
    %b, %b_ok = gpu.shuffle down %a, %n, %width : f32
    // CHECK-NEXT: let v8 = subgroupShuffleUp(v6, 4u);
    // CHECK-NEXT: let v9 = (lane_id < 32u) & (lane_id >= 4u);
    %c, %c_ok = gpu.shuffle up %b, %four, %width : f32
    // CHECK-NEXT: let v10 = subgroupShuffle(v8, 4u);
    // CHECK-NEXT: let v11 = (lane_id < 32u) & (4u < 32u);
    %d, %d_ok = gpu.shuffle idx %c, %four, %width : f32
    %ok0 = arith.andi %b_ok, %c_ok : i1
    %ok = arith.andi %ok0, %d_ok : i1
    // CHECK: let [[S:v.*]] = subgroupAdd(v10);
    %e = gpu.subgroup_reduce add %d : (f32) -> f32
    // CHECK-NEXT: let [[T:v.*]] = subgroupMax([[S]]);
    %f = gpu.subgroup_reduce maximumf %e : (f32) -> f32
    // CHECK-NEXT: let [[I:v.*]] = i32([[T]]);
    %i = arith.fptosi %f : f32 to i32
    // CHECK-NEXT: let [[U:v.*]] = i32(subgroupMin(u32([[I]])));
    %j = gpu.subgroup_reduce minui %i : (i32) -> i32
    // CHECK-NEXT: let [[W:v.*]] = subgroupXor([[U]]);
    %k = gpu.subgroup_reduce xor %j : (i32) -> i32
    // CHECK-NEXT: let {{v.*}} = subgroupBroadcastFirst([[W]]);
    %p = gpu.subgroup_broadcast %k, first_active_lane : i32
    scf.if %ok {
      memref.store %p, %o[%l] : memref<64xi32>
    }
    %q = arith.addi %s, %z : index
    %r = arith.addi %q, %m : index
    %t = arith.index_cast %r : index to i32
    memref.store %t, %o[%c0] : memref<64xi32>
    gpu.return
  }

  // CHECK: // Kernel small_matrices; needs cooperative matrices.
  // CHECK-LABEL: fn small_matrices(
  gpu.func @small_matrices(%a: memref<8x8xf32>, %b: memref<8x8xf32>, %o: memref<8x8xf32>) kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    // CHECK: let v0 = coopLoad<coop_mat8x8<f32, A>>(&arg0[0], 8u);
    %x = gpu.subgroup_mma_load_matrix %a[%c0, %c0] {leadDimension = 8 : index, transpose} : memref<8x8xf32> -> !gpu.mma_matrix<8x8xf32, "AOp">
    // CHECK-NEXT: let v1 = coopLoadT<coop_mat8x8<f32, B>>(&arg1[0], 8u);
    %y = gpu.subgroup_mma_load_matrix %b[%c0, %c0] {leadDimension = 8 : index} : memref<8x8xf32> -> !gpu.mma_matrix<8x8xf32, "BOp">
    %z = gpu.subgroup_mma_constant_matrix %zero : !gpu.mma_matrix<8x8xf32, "COp">
    // CHECK-NEXT: let v2 = coopMultiplyAdd(v0, v1, coop_mat8x8<f32, C>());
    %d = gpu.subgroup_mma_compute %x, %y, %z : !gpu.mma_matrix<8x8xf32, "AOp">, !gpu.mma_matrix<8x8xf32, "BOp"> -> !gpu.mma_matrix<8x8xf32, "COp">
    // CHECK-NEXT: coopStore(v2, &arg2[0], 8u);
    gpu.subgroup_mma_store_matrix %d, %o[%c0, %c0] {leadDimension = 8 : index, transpose} : !gpu.mma_matrix<8x8xf32, "COp">, memref<8x8xf32>
    gpu.return
  }
}
