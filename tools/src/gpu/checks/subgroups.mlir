// In each thread the sum over its subgroup, which subgroup of the workgroup that is, and the number of its neighbour.
module attributes {transformer.target = "gpu"} {
  gpu.module @kernels {
    gpu.func @subgroups(%x: memref<?xi32>, %sums: memref<?xi32>, %ids: memref<?xi32>, %neighbours: memref<?xi32>, %tasks: index)
        kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
      %item = gpu.global_id x
      %v = memref.load %x[%item] : memref<?xi32>
      %sum = gpu.subgroup_reduce add %v : (i32) -> i32
      memref.store %sum, %sums[%item] : memref<?xi32>
      %id = gpu.subgroup_id : index
      %id32 = arith.index_cast %id : index to i32
      memref.store %id32, %ids[%item] : memref<?xi32>
      %one = arith.constant 1 : i32
      %width = arith.constant 2 : i32
      %item32 = arith.index_cast %item : index to i32
      %neighbour, %valid = gpu.shuffle xor %item32, %one, %width : i32
      memref.store %neighbour, %neighbours[%item] : memref<?xi32>
      gpu.return
    }
  }
  func.func @main(%x: memref<4x256xi32>) -> (memref<4x256xi32>, memref<4x256xi32>, memref<4x256xi32>) {
    %tasks = arith.constant 4 : index
    %sums = memref.alloc() : memref<4x256xi32>
    %ids = memref.alloc() : memref<4x256xi32>
    %neighbours = memref.alloc() : memref<4x256xi32>
    transformer.launch @subgroups tasks(%tasks) scalars() buffers(%x, %sums, %ids, %neighbours : memref<4x256xi32>, memref<4x256xi32>, memref<4x256xi32>, memref<4x256xi32>) access [0, 1, 1, 1] {summary = "check"}
    return %sums, %ids, %neighbours : memref<4x256xi32>, memref<4x256xi32>, memref<4x256xi32>
  }
}
