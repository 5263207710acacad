// y[N] = W[N, K] x[K] in signed bytes, four a word, a row a thread, summed exactly in 32 bits.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

// CHECK-NOT: unpack4x
// CHECK: [[ACC:v.*]] + dot4I8Packed(u32([[W:v.*]]), u32([[X:v.*]]));

gpu.module @kernels {
  gpu.func @gemv_int8(%w: memref<?x16xi32>, %x: memref<16xi32>, %y: memref<?xi32>)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0 : i32
    %row = gpu.global_id x
    %n = memref.dim %w, %c0 : memref<?x16xi32>
    %inside = arith.cmpi slt, %row, %n : index
    scf.if %inside {
      %sum = scf.for %k = %c0 to %c16 step %c1 iter_args(%acc = %zero) -> (i32) {
        %a = memref.load %w[%row, %k] : memref<?x16xi32>
        %b = memref.load %x[%k] : memref<16xi32>
        %a1 = vector.from_elements %a : vector<1xi32>
        %b1 = vector.from_elements %b : vector<1xi32>
        %ab = vector.bitcast %a1 : vector<1xi32> to vector<4xi8>
        %bb = vector.bitcast %b1 : vector<1xi32> to vector<4xi8>
        %ai = arith.extsi %ab : vector<4xi8> to vector<4xi32>
        %bi = arith.extsi %bb : vector<4xi8> to vector<4xi32>
        %p = arith.muli %ai, %bi : vector<4xi32>
        %s = vector.reduction <add>, %p, %acc : vector<4xi32> into i32
        scf.yield %s : i32
      }
      memref.store %sum, %y[%row] : memref<?xi32>
    }
    gpu.return
  }
}
