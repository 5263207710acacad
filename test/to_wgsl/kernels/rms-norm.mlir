// RMS norm of each row of 576 columns in f16, read four at a time; one workgroup a row, its sum by subgroups.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

// CHECK: // Kernel rms_norm; needs f16, subgroups.
// CHECK-NEXT: enable f16;
// CHECK: var<storage, read> arg0: array<vec4<f16>>;
// CHECK: inverseSqrt(
// CHECK: vec4<f16>(

gpu.module @kernels {
  gpu.func @rms_norm(%x: memref<?x144xvector<4xf16>>, %weight: memref<144xvector<4xf32>>, %y: memref<?x144xvector<4xf16>>,
                     %eps: f32 loc("eps"))
      workgroup(%sums: memref<64xf32, #gpu.address_space<workgroup>>)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    %c144 = arith.constant 144 : index
    %zero = arith.constant 0.0 : f32
    %columns = arith.constant 576.0 : f32
    %row = gpu.block_id x
    %t = gpu.thread_id x
    %lane = gpu.lane_id
    %subgroup = gpu.subgroup_id : index
    %subgroups = gpu.num_subgroups : index
    %mine = scf.for %i = %t to %c144 step %c64 iter_args(%s = %zero) -> (f32) {
      %h = memref.load %x[%row, %i] : memref<?x144xvector<4xf16>>
      %v = arith.extf %h : vector<4xf16> to vector<4xf32>
      %q = arith.mulf %v, %v : vector<4xf32>
      %n = vector.reduction <add>, %q, %s : vector<4xf32> into f32
      scf.yield %n : f32
    }
    %part = gpu.subgroup_reduce add %mine : (f32) -> f32
    %is_first = arith.cmpi eq, %lane, %c0 : index
    scf.if %is_first {
      memref.store %part, %sums[%subgroup] : memref<64xf32, #gpu.address_space<workgroup>>
    }
    gpu.barrier
    %sum = scf.for %i = %c0 to %subgroups step %c1 iter_args(%s = %zero) -> (f32) {
      %p = memref.load %sums[%i] : memref<64xf32, #gpu.address_space<workgroup>>
      %n = arith.addf %s, %p : f32
      scf.yield %n : f32
    }
    %mean = arith.divf %sum, %columns : f32
    %biased = arith.addf %mean, %eps : f32
    %scale = math.rsqrt %biased : f32
    %scale4 = vector.broadcast %scale : f32 to vector<4xf32>
    scf.for %i = %t to %c144 step %c64 {
      %h = memref.load %x[%row, %i] : memref<?x144xvector<4xf16>>
      %v = arith.extf %h : vector<4xf16> to vector<4xf32>
      %w = memref.load %weight[%i] : memref<144xvector<4xf32>>
      %a = arith.mulf %v, %scale4 : vector<4xf32>
      %b = arith.mulf %a, %w : vector<4xf32>
      %o = arith.truncf %b : vector<4xf32> to vector<4xf16>
      memref.store %o, %y[%row, %i] : memref<?x144xvector<4xf16>>
    }
    gpu.return
  }
}
