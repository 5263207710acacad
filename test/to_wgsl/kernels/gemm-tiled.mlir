// y[M, N] = x[M, K] w[K, N] in f32, one 16x16 tile of y a workgroup, both factors by way of workgroup memory; zeros
// stand for what lies beyond an edge.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

// CHECK: // Kernel gemm_tiled.
// CHECK: @group(0) @binding(0) var<storage, read> x: array<f32>;
// CHECK-NEXT: @group(0) @binding(1) var<storage, read> w: array<f32>;
// CHECK-NEXT: @group(0) @binding(2) var<storage, read_write> y: array<f32>;
// CHECK-NEXT: @group(0) @binding(3) var<uniform> arguments: Arguments;
// CHECK-NEXT: var<workgroup> x_tile: array<f32, 256>;
// CHECK-NEXT: var<workgroup> w_tile: array<f32, 256>;
// CHECK: @compute @workgroup_size(16, 16, 1)
// CHECK: for (var {{.*}} = 0i; {{.*}} < arguments.k; {{.*}} += 16i) {
// CHECK: workgroupBarrier();
// CHECK-NOT: storageBarrier
// CHECK: for (var [[I:.*]] = 0i; [[I]] < 16i; [[I]] += 1i) {
// CHECK: fma(
// CHECK: workgroupBarrier();

gpu.module @kernels {
  gpu.func @gemm_tiled(%x: memref<?xf32> loc("x"), %w: memref<?xf32> loc("w"), %y: memref<?xf32> loc("y"),
                       %m: index loc("m"), %n: index loc("n"), %k: index loc("k"))
      workgroup(%x_tile: memref<16x16xf32, #gpu.address_space<workgroup>> loc("x_tile"),
                %w_tile: memref<16x16xf32, #gpu.address_space<workgroup>> loc("w_tile"))
      kernel attributes {known_block_size = array<i32: 16, 16, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0.0 : f32
    %column = gpu.global_id x loc("column")
    %row = gpu.global_id y loc("row")
    %tx = gpu.thread_id x loc("tx")
    %ty = gpu.thread_id y loc("ty")
    %row_inside = arith.cmpi slt, %row, %m : index
    %column_inside = arith.cmpi slt, %column, %n : index
    %sum = scf.for %k0 = %c0 to %k step %c16 iter_args(%outer = %zero) -> (f32) {
      %x_column = arith.addi %k0, %tx : index
      %x_column_inside = arith.cmpi slt, %x_column, %k : index
      %x_inside = arith.andi %row_inside, %x_column_inside : i1
      %x_value = scf.if %x_inside -> (f32) {
        %x_row = arith.muli %row, %k : index
        %at = arith.addi %x_row, %x_column : index
        %value = memref.load %x[%at] : memref<?xf32>
        scf.yield %value : f32
      } else {
        scf.yield %zero : f32
      }
      memref.store %x_value, %x_tile[%ty, %tx] : memref<16x16xf32, #gpu.address_space<workgroup>>
      %w_row = arith.addi %k0, %ty : index
      %w_row_inside = arith.cmpi slt, %w_row, %k : index
      %w_inside = arith.andi %column_inside, %w_row_inside : i1
      %w_value = scf.if %w_inside -> (f32) {
        %w_start = arith.muli %w_row, %n : index
        %at = arith.addi %w_start, %column : index
        %value = memref.load %w[%at] : memref<?xf32>
        scf.yield %value : f32
      } else {
        scf.yield %zero : f32
      }
      memref.store %w_value, %w_tile[%ty, %tx] : memref<16x16xf32, #gpu.address_space<workgroup>>
      gpu.barrier
      %inner = scf.for %i = %c0 to %c16 step %c1 iter_args(%acc = %outer) -> (f32) {
        %a = memref.load %x_tile[%ty, %i] : memref<16x16xf32, #gpu.address_space<workgroup>>
        %b = memref.load %w_tile[%i, %tx] : memref<16x16xf32, #gpu.address_space<workgroup>>
        %next = math.fma %a, %b, %acc : f32
        scf.yield %next : f32
      }
      gpu.barrier
      scf.yield %inner : f32
    }
    %inside = arith.andi %row_inside, %column_inside : i1
    scf.if %inside {
      %y_row = arith.muli %row, %n : index
      %at = arith.addi %y_row, %column : index
      memref.store %sum, %y[%at] : memref<?xf32>
    }
    gpu.return
  }
}
