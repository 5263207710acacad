// Kernels of a gpu.module that is in a module of its own.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

// CHECK: fn outer(
// CHECK: fn inner(
module {
  gpu.module @a {
    gpu.func @outer(%a: memref<?xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
      gpu.return
    }
  }
  module @b {
    gpu.module @c {
      gpu.func @inner(%a: memref<?xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
        gpu.return
      }
    }
  }
}
