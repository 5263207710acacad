// What every adapter has: f32, memory of the workgroup, a barrier. y is 3 x + 1/4, x backwards within each workgroup.
module attributes {transformer.target = "gpu"} {
  gpu.module @kernels {
    gpu.func @f32(%x: memref<?xf32>, %y: memref<?xf32>, %tasks: index)
        workgroup(%tile: memref<256xf32, #gpu.address_space<workgroup>>)
        kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
      %c255 = arith.constant 255 : index
      %c256 = arith.constant 256 : index
      %three = arith.constant 3.0 : f32
      %quarter = arith.constant 0.25 : f32
      %task = gpu.block_id x
      %thread = gpu.thread_id x
      %first = arith.muli %task, %c256 : index
      %item = arith.addi %first, %thread : index
      %v = memref.load %x[%item] : memref<?xf32>
      memref.store %v, %tile[%thread] : memref<256xf32, #gpu.address_space<workgroup>>
      gpu.barrier
      %other = arith.subi %c255, %thread : index
      %w = memref.load %tile[%other] : memref<256xf32, #gpu.address_space<workgroup>>
      %z = math.fma %w, %three, %quarter : f32
      memref.store %z, %y[%item] : memref<?xf32>
      gpu.return
    }
  }
  func.func @main(%x: memref<1024x256xf32>) -> memref<1024x256xf32> {
    %tasks = arith.constant 1024 : index
    %y = memref.alloc() : memref<1024x256xf32>
    transformer.launch @f32 tasks(%tasks) scalars() buffers(%x, %y : memref<1024x256xf32>, memref<1024x256xf32>) access [0, 1] {summary = "check"}
    return %y : memref<1024x256xf32>
  }
}
