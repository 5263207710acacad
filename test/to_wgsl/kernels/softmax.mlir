// Softmax of each row of 576 columns, one workgroup a row: maximum, sum and quotient, reduced through workgroup memory.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

// CHECK: // Kernel softmax.
// CHECK: let [[BITS:v.*]] = 0xff800000u;
// CHECK-NEXT: let [[INF:v.*]] = bitcast<f32>([[BITS]]);
// CHECK: var [[MAX:v.*]] = [[INF]];
// CHECK: exp(
// CHECK: loop {
// CHECK: if !({{v.*}}) {
// CHECK-NEXT: break;
// CHECK: workgroupBarrier();

gpu.module @kernels {
  gpu.func @softmax(%x: memref<?x576xf32>, %y: memref<?x576xf32>)
      workgroup(%partial: memref<64xf32, #gpu.address_space<workgroup>> loc("partial"))
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c32 = arith.constant 32 : index
    %c64 = arith.constant 64 : index
    %c576 = arith.constant 576 : index
    %zero = arith.constant 0.0 : f32
    %minus_infinity = arith.constant 0xFF800000 : f32
    %row = gpu.block_id x
    %t = gpu.thread_id x

    %my_max = scf.for %i = %t to %c576 step %c64 iter_args(%m = %minus_infinity) -> (f32) {
      %v = memref.load %x[%row, %i] : memref<?x576xf32>
      %n = arith.maximumf %m, %v : f32
      scf.yield %n : f32
    }
    memref.store %my_max, %partial[%t] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    scf.while (%half = %c32) : (index) -> index {
      %more = arith.cmpi sgt, %half, %c0 : index
      scf.condition(%more) %half : index
    } do {
    ^bb0(%half: index):
      %mine = arith.cmpi slt, %t, %half : index
      scf.if %mine {
        %other = arith.addi %t, %half : index
        %a = memref.load %partial[%t] : memref<64xf32, #gpu.address_space<workgroup>>
        %b = memref.load %partial[%other] : memref<64xf32, #gpu.address_space<workgroup>>
        %m = arith.maximumf %a, %b : f32
        memref.store %m, %partial[%t] : memref<64xf32, #gpu.address_space<workgroup>>
      }
      gpu.barrier
      %next = arith.shrui %half, %c1 : index
      scf.yield %next : index
    }
    %max = memref.load %partial[%c0] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier

    %my_sum = scf.for %i = %t to %c576 step %c64 iter_args(%s = %zero) -> (f32) {
      %v = memref.load %x[%row, %i] : memref<?x576xf32>
      %d = arith.subf %v, %max : f32
      %e = math.exp %d : f32
      memref.store %e, %y[%row, %i] : memref<?x576xf32>
      %n = arith.addf %s, %e : f32
      scf.yield %n : f32
    }
    memref.store %my_sum, %partial[%t] : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    scf.while (%half = %c32) : (index) -> index {
      %more = arith.cmpi sgt, %half, %c0 : index
      scf.condition(%more) %half : index
    } do {
    ^bb0(%half: index):
      %mine = arith.cmpi slt, %t, %half : index
      scf.if %mine {
        %other = arith.addi %t, %half : index
        %a = memref.load %partial[%t] : memref<64xf32, #gpu.address_space<workgroup>>
        %b = memref.load %partial[%other] : memref<64xf32, #gpu.address_space<workgroup>>
        %s = arith.addf %a, %b : f32
        memref.store %s, %partial[%t] : memref<64xf32, #gpu.address_space<workgroup>>
      }
      gpu.barrier
      %next = arith.shrui %half, %c1 : index
      scf.yield %next : index
    }
    %sum = memref.load %partial[%c0] : memref<64xf32, #gpu.address_space<workgroup>>
    scf.for %i = %t to %c576 step %c64 {
      %e = memref.load %y[%row, %i] : memref<?x576xf32>
      %p = arith.divf %e, %sum : f32
      memref.store %p, %y[%row, %i] : memref<?x576xf32>
    }
    gpu.return
  }
}
