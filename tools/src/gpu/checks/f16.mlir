// Halves in memory and in arithmetic: y = x x.
module attributes {transformer.target = "gpu"} {
  gpu.module @kernels {
    gpu.func @f16(%x: memref<?xf16>, %y: memref<?xf16>, %tasks: index)
        kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
      %item = gpu.global_id x
      %v = memref.load %x[%item] : memref<?xf16>
      %z = arith.mulf %v, %v : f16
      memref.store %z, %y[%item] : memref<?xf16>
      gpu.return
    }
  }
  func.func @main(%x: memref<1024xf16>) -> memref<1024xf16> {
    %tasks = arith.constant 4 : index
    %y = memref.alloc() : memref<1024xf16>
    transformer.launch @f16 tasks(%tasks) scalars() buffers(%x, %y : memref<1024xf16>, memref<1024xf16>) access [0, 1] {summary = "check"}
    return %y : memref<1024xf16>
  }
}
