// Memrefs are flat arrays: bindings in their order, read unless stored to, scalars in one uniform struct after them.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK: struct Arguments {
  // CHECK-NEXT: arg1: i32,
  // CHECK-NEXT: arg3: f32,
  // CHECK-NEXT: size: i32,
  // CHECK-NEXT: }
  // CHECK: @group(0) @binding(0) var<storage, read> arg0: array<vec4<f32>>;
  // CHECK-NEXT: @group(0) @binding(1) var<storage, read_write> arg2: array<f32>;
  // CHECK-NEXT: @group(0) @binding(2) var<storage, read> strided: array<f32, 294>;
  // CHECK-NEXT: @group(0) @binding(3) var<storage, read_write> arg6: array<i32, 1>;
  // CHECK-NEXT: @group(0) @binding(4) var<uniform> arguments: Arguments;
  // CHECK-NEXT: var<workgroup> tile0: array<vec2<f32>, 32>;
  // CHECK-LABEL: fn memory(
  gpu.func @memory(%x: memref<?x8xvector<4xf32>>, %i: index, %y: memref<?x4x16xf32>, %s: f32,
                   %t: memref<3x16xf32, strided<[128, 1], offset: 22>> loc("strided"), %size: i32 loc("size"), %r: memref<i32>)
      workgroup(%tile: memref<4x8xvector<2xf32>, #gpu.address_space<workgroup>>)
      private(%own: memref<2x2xf32, #gpu.address_space<private>>)
      kernel attributes {known_block_size = array<i32: 8, 1, 1>} {
    // CHECK: var v0: array<f32, 4>;
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c3 = arith.constant 3 : index
    // CHECK-NEXT: let v1 = arg0[arguments.arg1 * 8 + 3];
    %0 = memref.load %x[%i, %c3] : memref<?x8xvector<4xf32>>
    // CHECK-NEXT: let v2 = v1.x;
    %e = vector.extract %0[0] : f32 from vector<4xf32>
    // CHECK-NEXT: arg2[arguments.arg1 + 128] = v2;
    // CHECK-NEXT: let v3 = strided[arguments.arg1 * 128 + 25];
    memref.store %e, %y[%c2, %c0, %i] : memref<?x4x16xf32>
    %1 = memref.load %t[%i, %c3] : memref<3x16xf32, strided<[128, 1], offset: 22>>
    // CHECK-NEXT: v0[3] = v3;
    memref.store %1, %own[%c1, %c1] : memref<2x2xf32, #gpu.address_space<private>>
    // CHECK-NEXT: let v4 = v0[arguments.arg1 * 2];
    %2 = memref.load %own[%i, %c0] : memref<2x2xf32, #gpu.address_space<private>>
    // CHECK-NEXT: let v5 = vec2<f32>(v4, arguments.arg3);
    %3 = vector.from_elements %2, %s : vector<2xf32>
    // CHECK-NEXT: tile0[arguments.arg1 * 8 + arguments.arg1] = v5;
    memref.store %3, %tile[%i, %i] : memref<4x8xvector<2xf32>, #gpu.address_space<workgroup>>
    // CHECK-NEXT: let v6 = i32(arrayLength(&arg0) / 8u);
    %d0 = memref.dim %x, %c0 : memref<?x8xvector<4xf32>>
    %d1 = memref.dim %x, %c1 : memref<?x8xvector<4xf32>>
    // CHECK-NEXT: let v7 = i32(arrayLength(&arg2) / 64u);
    %d2 = memref.dim %y, %c0 : memref<?x4x16xf32>
    // CHECK-NEXT: let v8 = v6 + 8i;
    %4 = arith.addi %d0, %d1 : index
    %5 = arith.addi %4, %d2 : index
    %6 = arith.index_cast %5 : index to i32
    // CHECK-NEXT: let v9 = v8 + v7;
    // CHECK-NEXT: arg6[0] = v9;
    memref.store %6, %r[] : memref<i32>
    // CHECK-NEXT: var v10: array<i32, 16>;
    %a = memref.alloca() : memref<16xi32>
    // CHECK-NEXT: v10[arguments.arg1] = arguments.size;
    memref.store %size, %a[%i] : memref<16xi32>
    gpu.return
  }

  // Names come from locations, and stay clear of WGSL's own.
  // CHECK: // Kernel fn.
  // CHECK: var<storage, read_write> array_2: array<i32>;
  // CHECK-NEXT: var<storage, read_write> blk_0_attn_q_weight: array<i32>;
  // CHECK-NEXT: var<storage, read_write> blk_0_attn_q_weight_2: array<i32>;
  // CHECK: fn fn_2(
  gpu.func @fn(%a: memref<?xi32> loc("array"), %b: memref<?xi32> loc("blk.0.attn_q.weight"), %c: memref<?xi32> loc("__blk_0_attn_q_weight")) kernel attributes {known_block_size = array<i32: 8, 1, 1>} {
    %c0 = arith.constant 0 : index
    // CHECK: let thread_id_2 = i32(thread_id.x);
    // CHECK-NEXT: let k0 = thread_id_2 + 1i;
    %t = gpu.thread_id x loc("thread_id")
    %c1 = arith.constant 1 : index
    %n = arith.addi %t, %c1 : index loc("0")
    %i = arith.index_cast %n : index to i32
    memref.store %i, %a[%c0] : memref<?xi32>
    memref.store %i, %b[%c0] : memref<?xi32>
    memref.store %i, %c[%c0] : memref<?xi32>
    gpu.return
  }

  // A buffer that is read and written needs its own barrier, and one that is only read or written does not.
  // CHECK-LABEL: fn both(
  gpu.func @both(%a: memref<?xi32>) kernel attributes {known_block_size = array<i32: 8, 1, 1>} {
    %c0 = arith.constant 0 : index
    %0 = memref.load %a[%c0] : memref<?xi32>
    // CHECK-NOT: workgroupBarrier
    // CHECK: storageBarrier();
    gpu.barrier
    memref.store %0, %a[%c0] : memref<?xi32>
    gpu.return
  }

  // Unless the barrier says which memory it orders.
  // CHECK-LABEL: fn one(
  gpu.func @one(%a: memref<?xi32>) workgroup(%t: memref<8xi32, #gpu.address_space<workgroup>>) kernel
      attributes {known_block_size = array<i32: 8, 1, 1>} {
    %c0 = arith.constant 0 : index
    %0 = memref.load %a[%c0] : memref<?xi32>
    memref.store %0, %t[%c0] : memref<8xi32, #gpu.address_space<workgroup>>
    // CHECK-NOT: storageBarrier
    // CHECK: workgroupBarrier();
    // CHECK-NOT: storageBarrier
    gpu.barrier {address_spaces = [#gpu.address_space<workgroup>]}
    %1 = memref.load %t[%c0] : memref<8xi32, #gpu.address_space<workgroup>>
    memref.store %1, %a[%c0] : memref<?xi32>
    gpu.return
  }

  // A memref of which rows are moved is an array of them, and its scalars are lanes.
  // CHECK: // Kernel rows.
  // CHECK: @group(0) @binding(0) var<storage, read> arg0: array<vec2<f32>>;
  // CHECK-NEXT: @group(0) @binding(1) var<storage, read_write> arg1: array<f32>;
  // CHECK: var<workgroup> tile0: array<vec4<f32>, 16>;
  // CHECK-LABEL: fn rows(
  gpu.func @rows(%x: memref<?x3x2xf32>, %y: memref<?xf32>, %i: index, %j: index)
      workgroup(%t: memref<8x2x4xf32, #gpu.address_space<workgroup>>)
      private(%own: memref<4xi32, #gpu.address_space<private>>) kernel
      attributes {known_block_size = array<i32: 8, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // CHECK: var v0: array<vec4<i32>, 1>;
    // CHECK-NEXT: let v1 = arg0[arguments.arg2 * 3 + 1];
    %0 = vector.load %x[%i, %c1, %c0] : memref<?x3x2xf32>, vector<2xf32>
    // CHECK-NEXT: let v2 = arg0[arguments.arg2 * 3 + arguments.arg3][1];
    %1 = memref.load %x[%i, %j, %c1] : memref<?x3x2xf32>
    // CHECK-NEXT: tile0[arguments.arg2 * 2 + 1][arguments.arg3] = v2;
    memref.store %1, %t[%i, %c1, %j] : memref<8x2x4xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    // CHECK: let v3 = tile0[arguments.arg2 * 2];
    // CHECK-NEXT: tile0[0] = v3;
    %2 = vector.load %t[%i, %c0, %c0] : memref<8x2x4xf32, #gpu.address_space<workgroup>>, vector<4xf32>
    vector.store %2, %t[%c0, %c0, %c0] : memref<8x2x4xf32, #gpu.address_space<workgroup>>, vector<4xf32>
    // CHECK-NEXT: let v4 = v0[0];
    // CHECK-NEXT: v0[0][arguments.arg2] = 1i;
    %3 = vector.load %own[%c0] : memref<4xi32, #gpu.address_space<private>>, vector<4xi32>
    %one = arith.constant 1 : i32
    memref.store %one, %own[%i] : memref<4xi32, #gpu.address_space<private>>
    // CHECK-NEXT: let v5 = i32(arrayLength(&arg0) / 3u);
    %d = memref.dim %x, %c0 : memref<?x3x2xf32>
    // CHECK-NEXT: arg1[v5] = v2;
    memref.store %1, %y[%d] : memref<?xf32>
    gpu.return
  }
}
