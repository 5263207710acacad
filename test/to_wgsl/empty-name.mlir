// A kernel may have the empty name; its entry point has one of its own.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s
// RUN: kforge-translate --mlir-to-wgsl %s --kernel "" --emit spirv -o %t.spv

// CHECK: @compute @workgroup_size(1, 1, 1)
// CHECK-NEXT: fn k

gpu.module @m {
  gpu.func @""(%o: memref<4xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %n = arith.constant 7 : i32
    memref.store %n, %o[%c0] : memref<4xi32>
    gpu.return
  }
}
