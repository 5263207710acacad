// Copies of sixteen bytes, four a thread: as many bytes a second as this GPU reads and writes. `WORKGROUPS` is written in.
module attributes {transformer.target = "gpu"} {
  gpu.module @kernels {
    gpu.func @copies(%x: memref<?xvector<4xf32>>, %y: memref<?xvector<4xf32>>, %tasks: index) kernel
        attributes {known_block_size = array<i32: 256, 1, 1>} {
      %c256 = arith.constant 256 : index
      %c512 = arith.constant 512 : index
      %c768 = arith.constant 768 : index
      %c1024 = arith.constant 1024 : index
      %row = gpu.block_id y
      %rows = gpu.grid_dim x
      %before = arith.muli %row, %rows : index
      %block = gpu.block_id x
      %task = arith.addi %before, %block : index
      %own = arith.cmpi slt, %task, %tasks : index
      scf.if %own {
        %thread = gpu.thread_id x
        %first = arith.muli %task, %c1024 : index
        %i0 = arith.addi %first, %thread : index
        %i1 = arith.addi %i0, %c256 : index
        %i2 = arith.addi %i0, %c512 : index
        %i3 = arith.addi %i0, %c768 : index
        %a = memref.load %x[%i0] : memref<?xvector<4xf32>>
        %b = memref.load %x[%i1] : memref<?xvector<4xf32>>
        %c = memref.load %x[%i2] : memref<?xvector<4xf32>>
        %d = memref.load %x[%i3] : memref<?xvector<4xf32>>
        memref.store %a, %y[%i0] : memref<?xvector<4xf32>>
        memref.store %b, %y[%i1] : memref<?xvector<4xf32>>
        memref.store %c, %y[%i2] : memref<?xvector<4xf32>>
        memref.store %d, %y[%i3] : memref<?xvector<4xf32>>
      }
      gpu.return
    }
  }
  func.func @main(%x: memref<WORKGROUPSx4096xf32>) -> memref<WORKGROUPSx4096xf32> {
    %tasks = arith.constant WORKGROUPS : index
    %y = memref.alloc() : memref<WORKGROUPSx4096xf32>
    transformer.launch @copies tasks(%tasks) scalars() buffers(%x, %y : memref<WORKGROUPSx4096xf32>, memref<WORKGROUPSx4096xf32>) access [0, 1] {summary = "copies"}
    return %y : memref<WORKGROUPSx4096xf32>
  }
}
