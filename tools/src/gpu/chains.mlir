// Chains of multiply-adds, in registers alone: as many a second as this GPU does at most.
module attributes {transformer.target = "gpu"} {
  gpu.module @kernels {
    gpu.func @chains(%y: memref<?xvector<4xf32>>, %steps: index, %tasks: index) kernel
        attributes {known_block_size = array<i32: 256, 1, 1>} {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c256 = arith.constant 256 : index
      %task = gpu.block_id x
      %thread = gpu.thread_id x
      %first = arith.muli %task, %c256 : index
      %item = arith.addi %first, %thread : index
      // Nothing that a compiler could know.
      %word = arith.index_cast %thread : index to i32
      %start = arith.sitofp %word : i32 to f32
      %x = vector.broadcast %start : f32 to vector<4xf32>
      %k1 = arith.constant dense<1.0> : vector<4xf32>
      %x1 = arith.addf %x, %k1 : vector<4xf32>
      %k2 = arith.constant dense<2.0> : vector<4xf32>
      %x2 = arith.addf %x, %k2 : vector<4xf32>
      %k3 = arith.constant dense<3.0> : vector<4xf32>
      %x3 = arith.addf %x, %k3 : vector<4xf32>
      %k4 = arith.constant dense<4.0> : vector<4xf32>
      %x4 = arith.addf %x, %k4 : vector<4xf32>
      %k5 = arith.constant dense<5.0> : vector<4xf32>
      %x5 = arith.addf %x, %k5 : vector<4xf32>
      %k6 = arith.constant dense<6.0> : vector<4xf32>
      %x6 = arith.addf %x, %k6 : vector<4xf32>
      %k7 = arith.constant dense<7.0> : vector<4xf32>
      %x7 = arith.addf %x, %k7 : vector<4xf32>
      %s:8 = scf.for %i = %c0 to %steps step %c1 iter_args(%a0 = %x, %a1 = %x1, %a2 = %x2, %a3 = %x3, %a4 = %x4, %a5 = %x5, %a6 = %x6, %a7 = %x7) -> (vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>) {
        %b0 = math.fma %a0, %x, %x1 : vector<4xf32>
        %b1 = math.fma %a1, %x, %x1 : vector<4xf32>
        %b2 = math.fma %a2, %x, %x1 : vector<4xf32>
        %b3 = math.fma %a3, %x, %x1 : vector<4xf32>
        %b4 = math.fma %a4, %x, %x1 : vector<4xf32>
        %b5 = math.fma %a5, %x, %x1 : vector<4xf32>
        %b6 = math.fma %a6, %x, %x1 : vector<4xf32>
        %b7 = math.fma %a7, %x, %x1 : vector<4xf32>
        scf.yield %b0, %b1, %b2, %b3, %b4, %b5, %b6, %b7 : vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>
      }
      %t1 = arith.addf %s#0, %s#1 : vector<4xf32>
      %t2 = arith.addf %t1, %s#2 : vector<4xf32>
      %t3 = arith.addf %t2, %s#3 : vector<4xf32>
      %t4 = arith.addf %t3, %s#4 : vector<4xf32>
      %t5 = arith.addf %t4, %s#5 : vector<4xf32>
      %t6 = arith.addf %t5, %s#6 : vector<4xf32>
      %t7 = arith.addf %t6, %s#7 : vector<4xf32>
      memref.store %t7, %y[%item] : memref<?xvector<4xf32>>
      gpu.return
    }
  }
  func.func @main() -> memref<1056x1024xf32> {
    %tasks = arith.constant 1056 : index
    %steps = arith.constant 1024 : index
    %y = memref.alloc() : memref<1056x1024xf32>
    transformer.launch @chains tasks(%tasks) scalars(%steps) buffers(%y : memref<1056x1024xf32>) access [1] {summary = "multiply-adds"}
    return %y : memref<1056x1024xf32>
  }
}
