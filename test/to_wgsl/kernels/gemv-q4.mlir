// y[N] = W[N, K] x[K], W in blocks of 32 nibbles: w = d * q + m. A block is a word of two halves, d and m, and four words
// of nibbles; the low nibble of byte i of word j is column 4j + i, the high one column 16 + 4j + i. A subgroup makes one
// row; each lane takes every subgroup_size-th block.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s
// RUN: kforge-translate --mlir-to-wgsl %s --emit msl | FileCheck %s --check-prefix=METAL

// CHECK: // Kernel gemv_q4; needs packed halves, subgroups.
// CHECK-NOT: enable
// CHECK: var<storage, read> scales: array<i32>;
// CHECK: var<storage, read> nibbles: array<vec4<i32>>;
// CHECK: var<storage, read> x: array<vec4<f32>>;
// CHECK: unpack2x16float(u32([[WORD:.*]]));
// CHECK: vec4<i32>(unpack4xU8(u32(
// CHECK: subgroupAdd(
// METAL: simd_sum(

gpu.module @kernels {
  gpu.func @gemv_q4(%scales: memref<?xi32> loc("scales"), %nibbles: memref<?xvector<4xi32>> loc("nibbles"),
                    %x: memref<?xvector<4xf32>> loc("x"), %y: memref<?xf32> loc("y"),
                    %rows: i32 loc("rows"), %blocks: i32 loc("blocks"))
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    %zero = arith.constant 0.0 : f32
    %low_mask = arith.constant 0x0F0F0F0F : i32
    %four = arith.constant 4 : i32
    %lane = gpu.lane_id loc("lane")
    %size = gpu.subgroup_size : index loc("size")
    %subgroup = gpu.subgroup_id : index
    %subgroups = gpu.num_subgroups : index
    %group = gpu.block_id x
    %first = arith.muli %group, %subgroups : index
    %row = arith.addi %first, %subgroup : index loc("row")
    %n = arith.index_cast %rows : i32 to index
    %k = arith.index_cast %blocks : i32 to index
    %inside = arith.cmpi slt, %row, %n : index
    scf.if %inside {
      %start = arith.muli %row, %k : index
      %mine = scf.for %b = %lane to %k step %size iter_args(%acc = %zero) -> (f32) {
        %block = arith.addi %start, %b : index loc("block")
        %word = memref.load %scales[%block] : memref<?xi32>
        %word1 = vector.from_elements %word : vector<1xi32>
        %halves = vector.bitcast %word1 : vector<1xi32> to vector<2xf16>
        %dm = arith.extf %halves : vector<2xf16> to vector<2xf32>
        %d = vector.extract %dm[0] : f32 from vector<2xf32>
        %min = vector.extract %dm[1] : f32 from vector<2xf32>
        %d4 = vector.broadcast %d : f32 to vector<4xf32>
        %m4 = vector.broadcast %min : f32 to vector<4xf32>
        %q = memref.load %nibbles[%block] : memref<?xvector<4xi32>>
        %x_start = arith.muli %b, %c8 : index
        %sum = scf.for %j = %c0 to %c4 step %c1 iter_args(%s = %acc) -> (f32) {
          %w = vector.extract %q[%j] : i32 from vector<4xi32>
          %low_word = arith.andi %w, %low_mask : i32
          %shifted = arith.shrui %w, %four : i32
          %high_word = arith.andi %shifted, %low_mask : i32
          %low1 = vector.from_elements %low_word : vector<1xi32>
          %high1 = vector.from_elements %high_word : vector<1xi32>
          %low_bytes = vector.bitcast %low1 : vector<1xi32> to vector<4xi8>
          %high_bytes = vector.bitcast %high1 : vector<1xi32> to vector<4xi8>
          %low_ints = arith.extui %low_bytes : vector<4xi8> to vector<4xi32>
          %high_ints = arith.extui %high_bytes : vector<4xi8> to vector<4xi32>
          %low = arith.sitofp %low_ints : vector<4xi32> to vector<4xf32>
          %high = arith.sitofp %high_ints : vector<4xi32> to vector<4xf32>
          %low_w = vector.fma %low, %d4, %m4 : vector<4xf32>
          %high_w = vector.fma %high, %d4, %m4 : vector<4xf32>
          %at_low = arith.addi %x_start, %j : index
          %at_high = arith.addi %at_low, %c4 : index
          %x_low = memref.load %x[%at_low] : memref<?xvector<4xf32>>
          %x_high = memref.load %x[%at_high] : memref<?xvector<4xf32>>
          %low_p = arith.mulf %low_w, %x_low : vector<4xf32>
          %p = vector.fma %high_w, %x_high, %low_p : vector<4xf32>
          %t = vector.reduction <add>, %p, %s : vector<4xf32> into f32
          scf.yield %t : f32
        }
        scf.yield %sum : f32
      }
      %total = gpu.subgroup_reduce add %mine : (f32) -> f32
      %is_first = arith.cmpi eq, %lane, %c0 : index
      scf.if %is_first {
        memref.store %total, %y[%row] : memref<?xf32>
      }
    }
    gpu.return
  }
}
