// What has no WGSL is an error at the op, with what to use instead.
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel no_size 2>&1 | FileCheck %s --check-prefix=NO-SIZE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel no_threads 2>&1 | FileCheck %s --check-prefix=NO-THREADS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel wide_integer 2>&1 | FileCheck %s --check-prefix=WIDE-INTEGER
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel wide_argument 2>&1 | FileCheck %s --check-prefix=WIDE-ARGUMENT
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel half_argument 2>&1 | FileCheck %s --check-prefix=HALF-ARGUMENT
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel double_memory 2>&1 | FileCheck %s --check-prefix=DOUBLE-MEMORY
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel bfloat_memory 2>&1 | FileCheck %s --check-prefix=BFLOAT-MEMORY
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel byte_memory 2>&1 | FileCheck %s --check-prefix=BYTE-MEMORY
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel packed_memory 2>&1 | FileCheck %s --check-prefix=PACKED-MEMORY
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel bit_memory 2>&1 | FileCheck %s --check-prefix=BIT-MEMORY
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel three_lanes 2>&1 | FileCheck %s --check-prefix=THREE-LANES
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel eight_lanes 2>&1 | FileCheck %s --check-prefix=EIGHT-LANES
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel two_dimensions 2>&1 | FileCheck %s --check-prefix=TWO-DIMENSIONS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel scalable 2>&1 | FileCheck %s --check-prefix=SCALABLE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel inner_size 2>&1 | FileCheck %s --check-prefix=INNER-SIZE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel dynamic_stride 2>&1 | FileCheck %s --check-prefix=DYNAMIC-STRIDE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel too_large 2>&1 | FileCheck %s --check-prefix=TOO-LARGE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel wrong_space 2>&1 | FileCheck %s --check-prefix=WRONG-SPACE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel heap 2>&1 | FileCheck %s --check-prefix=HEAP
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel private_size 2>&1 | FileCheck %s --check-prefix=PRIVATE-SIZE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel alias 2>&1 | FileCheck %s --check-prefix=ALIAS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel memory_result 2>&1 | FileCheck %s --check-prefix=MEMORY-RESULT
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel strided_dim 2>&1 | FileCheck %s --check-prefix=STRIDED-DIM
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel dim_axis 2>&1 | FileCheck %s --check-prefix=DIM-AXIS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel large_index 2>&1 | FileCheck %s --check-prefix=LARGE-INDEX
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel calls 2>&1 | FileCheck %s --check-prefix=CALLS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel jumps 2>&1 | FileCheck %s --check-prefix=JUMPS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel parallel 2>&1 | FileCheck %s --check-prefix=PARALLEL
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel vector_load 2>&1 | FileCheck %s --check-prefix=VECTOR-LOAD
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel part_of_row 2>&1 | FileCheck %s --check-prefix=PART-OF-ROW
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel matrix_of_rows 2>&1 | FileCheck %s --check-prefix=MATRIX-OF-ROWS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel power 2>&1 | FileCheck %s --check-prefix=POWER
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel away_from_zero 2>&1 | FileCheck %s --check-prefix=AWAY-FROM-ZERO
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel ceiling 2>&1 | FileCheck %s --check-prefix=CEILING
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel bytes 2>&1 | FileCheck %s --check-prefix=BYTES
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel one_byte 2>&1 | FileCheck %s --check-prefix=ONE-BYTE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel wide_cast 2>&1 | FileCheck %s --check-prefix=WIDE-CAST
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel uneven_cast 2>&1 | FileCheck %s --check-prefix=UNEVEN-CAST
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel workgroup_reduce 2>&1 | FileCheck %s --check-prefix=WORKGROUP-REDUCE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel clusters 2>&1 | FileCheck %s --check-prefix=CLUSTERS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel prints 2>&1 | FileCheck %s --check-prefix=PRINTS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel filled_matrix 2>&1 | FileCheck %s --check-prefix=FILLED-MATRIX
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel oblong_matrix 2>&1 | FileCheck %s --check-prefix=OBLONG-MATRIX
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel matrix_of_others 2>&1 | FileCheck %s --check-prefix=MATRIX-OF-OTHERS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel bit_argument 2>&1 | FileCheck %s --check-prefix=BIT-ARGUMENT
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel numbered_space 2>&1 | FileCheck %s --check-prefix=NUMBERED-SPACE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel shared_alloca 2>&1 | FileCheck %s --check-prefix=SHARED-ALLOCA
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel numbered_private 2>&1 | FileCheck %s --check-prefix=NUMBERED-PRIVATE
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel toward_zero 2>&1 | FileCheck %s --check-prefix=TOWARD-ZERO
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel transposed_factor 2>&1 | FileCheck %s --check-prefix=TRANSPOSED-FACTOR
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel table_columns 2>&1 | FileCheck %s --check-prefix=TABLE-COLUMNS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel empty_table 2>&1 | FileCheck %s --check-prefix=EMPTY-TABLE

gpu.module @m {
  func.func private @other()

  // NO-SIZE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' needs its workgroup's size; add 'known_block_size = array<i32: x, y, z>'
  gpu.func @no_size() kernel {
    gpu.return
  }

  // NO-THREADS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' has a 'known_block_size' that is not positive
  gpu.func @no_threads() kernel attributes {known_block_size = array<i32: 64, 0, 1>} {
    gpu.return
  }

  // WIDE-INTEGER: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'arith.extsi' on i64 has no WGSL; use i32 or index
  gpu.func @wide_integer(%n: i32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %a = arith.extsi %n : i32 to i64
    %b = arith.xori %a, %a : i64
    gpu.return
  }

  // WIDE-ARGUMENT: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on i64 has no WGSL; use i32 or index
  gpu.func @wide_argument(%n: i64) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // HALF-ARGUMENT: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' has an argument of type f16; pass i32, index, f32 or a memref
  gpu.func @half_argument(%n: f16) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // DOUBLE-MEMORY: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on f64 has no WGSL; use f32
  gpu.func @double_memory(%a: memref<?xf64>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // BFLOAT-MEMORY: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on bf16 has no WGSL; use f32
  gpu.func @bfloat_memory(%a: memref<?xbf16>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // BYTE-MEMORY: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on i8 has no WGSL; read bytes as vector<4xi8> out of an i32
  gpu.func @byte_memory(%a: memref<?xi8>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // PACKED-MEMORY: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on memref<?xvector<4xi8>> has no WGSL; store an i32 and bitcast it
  gpu.func @packed_memory(%a: memref<?xvector<4xi8>>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // BIT-MEMORY: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on memref<?xi1> has no WGSL; store an i32
  gpu.func @bit_memory(%a: memref<?xi1>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // THREE-LANES: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on memref<?xvector<3xf32>> has no WGSL: an element would take the place of four; use vectors of two or four lanes
  gpu.func @three_lanes(%a: memref<?xvector<3xf32>>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // EIGHT-LANES: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.broadcast' on vector<8xf32> has no WGSL; use a vector of one to four lanes
  gpu.func @eight_lanes(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %v = vector.broadcast %a : f32 to vector<8xf32>
    gpu.return
  }

  // TWO-DIMENSIONS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.broadcast' on vector<2x2xf32> has no WGSL; use a vector of one to four lanes
  gpu.func @two_dimensions(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %v = vector.broadcast %a : f32 to vector<2x2xf32>
    gpu.return
  }

  // SCALABLE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.broadcast' on vector<[4]xf32> has no WGSL; use a vector of one to four lanes
  gpu.func @scalable(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %v = vector.broadcast %a : f32 to vector<[4]xf32>
    gpu.return
  }

  // INNER-SIZE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on memref<4x?xf32> has no WGSL: only the outermost size can be dynamic; flatten it and pass the sizes
  gpu.func @inner_size(%a: memref<4x?xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // DYNAMIC-STRIDE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on memref<4x4xf32, strided<[?, 1]>> has no WGSL; use strides and an offset that are static, and below 2^31
  gpu.func @dynamic_stride(%a: memref<4x4xf32, strided<[?, 1]>>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // TOO-LARGE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' on memref<65536x65536xf32> has no WGSL
  gpu.func @too_large(%a: memref<65536x65536xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // WRONG-SPACE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' has an argument of type memref<4xf32, #gpu.address_space<workgroup>>; leave its memory space out
  gpu.func @wrong_space(%a: memref<4xf32, #gpu.address_space<workgroup>>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // HEAP: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.alloc' has no WGSL; use memref.alloca for private memory, or a workgroup attribution
  gpu.func @heap() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %a = memref.alloc() : memref<4xf32>
    gpu.return
  }

  // PRIVATE-SIZE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.alloca' of memref<?xf32> has no WGSL; private memory has a static size
  gpu.func @private_size(%n: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %a = memref.alloca(%n) : memref<?xf32>
    gpu.return
  }

  // ALIAS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.cast' has no WGSL; fold it into the indices (--fold-memref-alias-ops), or take the other type
  gpu.func @alias(%a: memref<4xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %b = memref.cast %a : memref<4xf32> to memref<?xf32>
    gpu.return
  }

  // MEMORY-RESULT: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'scf.if' on memref<4xf32> has no WGSL; use f32, f16, i32, index, i1, or vectors of them
  gpu.func @memory_result(%a: memref<4xf32>, %n: i32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c = arith.cmpi eq, %n, %n : i32
    %b = scf.if %c -> (memref<4xf32>) {
      scf.yield %a : memref<4xf32>
    } else {
      scf.yield %a : memref<4xf32>
    }
    gpu.return
  }

  // STRIDED-DIM: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.dim' of a strided memref has no WGSL: the array's length does not tell; pass the size as an argument
  gpu.func @strided_dim(%a: memref<?x4xf32, strided<[8, 1]>>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %d = memref.dim %a, %c0 : memref<?x4xf32, strided<[8, 1]>>
    gpu.return
  }

  // DIM-AXIS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.dim' has no WGSL; use a constant axis that the memref has
  gpu.func @dim_axis(%a: memref<?x4xf32>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %d = memref.dim %a, %i : memref<?x4xf32>
    gpu.return
  }

  // LARGE-INDEX: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'arith.constant' 4294967296 does not fit 32 bits, which an index has in WGSL
  gpu.func @large_index() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c = arith.constant 4294967296 : index
    gpu.return
  }

  // CALLS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'func.call' has no WGSL; lower it to arith, math, vector, memref, scf and gpu
  gpu.func @calls() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    func.call @other() : () -> ()
    gpu.return
  }

  // JUMPS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' has several blocks, which WGSL cannot jump between; use scf for branches
  gpu.func @jumps() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    cf.br ^end
  ^end:
    gpu.return
  }

  // PARALLEL: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'scf.parallel' has no WGSL; scf.for, if, while and index_switch have
  gpu.func @parallel(%n: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    scf.parallel (%i) = (%n) to (%n) step (%n) {
      scf.reduce
    }
    gpu.return
  }

  // VECTOR-LOAD: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.load' has no WGSL; move whole innermost rows of two or four scalars, as of memref<?x4xf32> from index 0 on, or load and store elements of a memref of vectors, as memref<?xvector<4xf32>>
  gpu.func @vector_load(%a: memref<64xf32>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %v = vector.load %a[%i] : memref<64xf32>, vector<4xf32>
    gpu.return
  }

  // PART-OF-ROW: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.store' has no WGSL; move whole innermost rows of two or four scalars
  gpu.func @part_of_row(%a: memref<?x4xf32>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %v = vector.load %a[%i, %c0] : memref<?x4xf32>, vector<4xf32>
    vector.store %v, %a[%c0, %i] : memref<?x4xf32>, vector<4xf32>
    gpu.return
  }

  // MATRIX-OF-ROWS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.subgroup_mma_load_matrix' has no WGSL on a memref of which vector.load or vector.store moves rows; use one of vectors
  gpu.func @matrix_of_rows(%a: memref<64x4xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %v = vector.load %a[%c0, %c0] : memref<64x4xf32>, vector<4xf32>
    %m = gpu.subgroup_mma_load_matrix %a[%c0, %c0] {leadDimension = 4 : index} : memref<64x4xf32> -> !gpu.mma_matrix<16x16xf32, "COp">
    gpu.return
  }

  // POWER: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'math.powf' has no WGSL; WGSL's pow has no negative bases: use math.exp2 and math.log2
  gpu.func @power(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = math.powf %a, %a : f32
    gpu.return
  }

  // AWAY-FROM-ZERO: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'math.round' has no WGSL; WGSL rounds halves to even: use math.roundeven
  gpu.func @away_from_zero(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = math.round %a : f32
    gpu.return
  }

  // CEILING: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'arith.ceildivsi' has no WGSL; expand it (--arith-expand)
  gpu.func @ceiling(%a: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %p = arith.ceildivsi %a, %a : index
    gpu.return
  }

  // BYTES: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'arith.addi' has no WGSL on this type; extend it to i32
  gpu.func @bytes(%a: i32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %w = vector.from_elements %a : vector<1xi32>
    %b = vector.bitcast %w : vector<1xi32> to vector<4xi8>
    %c = arith.addi %b, %b : vector<4xi8>
    gpu.return
  }

  // ONE-BYTE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.extract' has no WGSL; extend the bytes to i32 first
  gpu.func @one_byte(%a: i32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %w = vector.from_elements %a : vector<1xi32>
    %b = vector.bitcast %w : vector<1xi32> to vector<4xi8>
    %c = vector.extract %b[0] : i8 from vector<4xi8>
    gpu.return
  }

  // WIDE-CAST: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.bitcast' on vector<2xi64> has no WGSL; use elements of f32, f16, i32, index or i1
  gpu.func @wide_cast(%a: memref<4xvector<4xi32>>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %v = memref.load %a[%i] : memref<4xvector<4xi32>>
    %b = vector.bitcast %v : vector<4xi32> to vector<2xi64>
    gpu.return
  }

  // UNEVEN-CAST: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'vector.bitcast' has no WGSL; cast between i32 and f32, or vector<1xi32> and vector<2xf16> or vector<4xi8>
  gpu.func @uneven_cast(%a: memref<4xvector<2xi32>>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %v = memref.load %a[%i] : memref<4xvector<2xi32>>
    %b = vector.bitcast %v : vector<2xi32> to vector<4xf16>
    gpu.return
  }

  // WORKGROUP-REDUCE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.all_reduce' has no WGSL; reduce each subgroup, and their results through workgroup memory
  gpu.func @workgroup_reduce(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %s = gpu.all_reduce add %a {} : (f32) -> (f32)
    gpu.return
  }

  // CLUSTERS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.subgroup_reduce' has no WGSL; reduce clusters of lanes by gpu.shuffle xor
  gpu.func @clusters(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %s = gpu.subgroup_reduce add %a cluster(size = 4) : (f32) -> f32
    gpu.return
  }

  // PRINTS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.printf' has no WGSL; docs/gpu.md lists what has
  gpu.func @prints() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.printf "x"
    gpu.return
  }

  // FILLED-MATRIX: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.subgroup_mma_constant_matrix' has no WGSL for a value but the constant 0.0; load the matrix
  gpu.func @filled_matrix(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %m = gpu.subgroup_mma_constant_matrix %a : !gpu.mma_matrix<16x16xf32, "COp">
    gpu.return
  }

  // OBLONG-MATRIX: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.subgroup_mma_load_matrix' on !gpu.mma_matrix<16x8xf16, "AOp"> has no WGSL; use a square matrix of 8x8 or 16x16, of f16 or f32
  gpu.func @oblong_matrix(%a: memref<16x16xf16>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %m = gpu.subgroup_mma_load_matrix %a[%i, %i] {leadDimension = 16 : index} : memref<16x16xf16> -> !gpu.mma_matrix<16x8xf16, "AOp">
    gpu.return
  }

  // MATRIX-OF-OTHERS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.subgroup_mma_load_matrix' of f16 has no WGSL on this memref; use elements of f16
  gpu.func @matrix_of_others(%a: memref<16x4xvector<4xf32>>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %m = gpu.subgroup_mma_load_matrix %a[%i, %i] {leadDimension = 16 : index} : memref<16x4xvector<4xf32>> -> !gpu.mma_matrix<16x16xf16, "AOp">
    gpu.return
  }

  // BIT-ARGUMENT: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' has an argument of type i1; pass i32, index, f32 or a memref
  gpu.func @bit_argument(%c: i1) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // NUMBERED-SPACE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' has an argument of type memref<4xf32, 3>; leave its memory space out
  gpu.func @numbered_space(%a: memref<4xf32, 3>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // SHARED-ALLOCA: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.alloca' of memref<64xf32, #gpu.address_space<workgroup>> is private memory; leave its memory space out
  gpu.func @shared_alloca() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %a = memref.alloca() : memref<64xf32, #gpu.address_space<workgroup>>
    gpu.return
  }

  // NUMBERED-PRIVATE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.func' of memref<4xf32, 7> is private memory; leave its memory space out
  gpu.func @numbered_private() private(%a: memref<4xf32, 7>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }

  // TOWARD-ZERO: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'arith.truncf' has no WGSL; round to nearest even, without a rounding mode
  gpu.func @toward_zero(%a: f32) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %h = arith.truncf %a toward_zero : f32 to f16
    gpu.return
  }

  // TRANSPOSED-FACTOR: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'gpu.subgroup_mma_compute' has no WGSL; transpose a factor where it is loaded, by 'transpose'
  gpu.func @transposed_factor(%a: memref<16x16xf16>, %c: memref<16x16xf32>, %i: index) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %x = gpu.subgroup_mma_load_matrix %a[%i, %i] {leadDimension = 16 : index} : memref<16x16xf16> -> !gpu.mma_matrix<16x16xf16, "AOp">
    %y = gpu.subgroup_mma_load_matrix %a[%i, %i] {leadDimension = 16 : index} : memref<16x16xf16> -> !gpu.mma_matrix<16x16xf16, "BOp">
    %z = gpu.subgroup_mma_load_matrix %c[%i, %i] {leadDimension = 16 : index} : memref<16x16xf32> -> !gpu.mma_matrix<16x16xf32, "COp">
    %d = gpu.subgroup_mma_compute %x, %y, %z {a_transpose} : !gpu.mma_matrix<16x16xf16, "AOp">, !gpu.mma_matrix<16x16xf16, "BOp"> -> !gpu.mma_matrix<16x16xf32, "COp">
    gpu.return
  }

  // TABLE-COLUMNS: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.get_global' of memref<2x2xi32, strided<[1, 2]>> has no WGSL; use a table with elements, row by row
  memref.global "private" constant @columns : memref<2x2xi32, strided<[1, 2]>> = dense<[[1, 2], [3, 4]]>
  gpu.func @table_columns() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %t = memref.get_global @columns : memref<2x2xi32, strided<[1, 2]>>
    gpu.return
  }

  // EMPTY-TABLE: {{^.*}}errors.mlir:{{[0-9]+:[0-9]+}}: error: 'memref.get_global' of memref<0xi32> has no WGSL; use a table with elements, row by row
  memref.global "private" constant @nothing : memref<0xi32> = dense<>
  gpu.func @empty_table() kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %t = memref.get_global @nothing : memref<0xi32>
    gpu.return
  }
}
