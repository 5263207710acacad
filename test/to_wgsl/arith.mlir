// Integers have no sign in MLIR: the op decides, and unsigned ones go through u32.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: fn integers(
  gpu.func @integers(%a: i32 loc("a"), %b: index loc("b"), %o: memref<64xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c3 = arith.constant 3 : i32
    %m1 = arith.constant -1 : i32
    %big = arith.constant 4294967295 : index
    // CHECK: let v0 = arguments.a + 3i;
    %0 = arith.addi %a, %c3 : i32
    // CHECK-NEXT: let v1 = v0 - -1i;
    %1 = arith.subi %0, %m1 : i32
    // CHECK-NEXT: let v2 = v1 * arguments.a;
    %2 = arith.muli %1, %a : i32
    // CHECK-NEXT: let v3 = v2 / arguments.a;
    %3 = arith.divsi %2, %a : i32
    // CHECK-NEXT: let v4 = i32(u32(v3) / u32(arguments.a));
    %4 = arith.divui %3, %a : i32
    // CHECK-NEXT: let v5 = v4 % -1i;
    %5 = arith.remsi %4, %m1 : i32
    // CHECK-NEXT: let v6 = i32(u32(v5) % 4294967295u);
    %6 = arith.remui %5, %m1 : i32
    // CHECK-NEXT: let v7 = v6 & 3i;
    %7 = arith.andi %6, %c3 : i32
    // CHECK-NEXT: let v8 = v7 | v6;
    %8 = arith.ori %7, %6 : i32
    // CHECK-NEXT: let v9 = v8 ^ v7;
    %9 = arith.xori %8, %7 : i32
    // CHECK-NEXT: let v10 = v9 << 3u;
    %10 = arith.shli %9, %c3 : i32
    // CHECK-NEXT: let v11 = v10 >> u32(v9);
    %11 = arith.shrsi %10, %9 : i32
    // CHECK-NEXT: let v12 = i32(u32(v11) >> 3u);
    %12 = arith.shrui %11, %c3 : i32
    // CHECK-NEXT: let v13 = max(v12, v11);
    %13 = arith.maxsi %12, %11 : i32
    // CHECK-NEXT: let v14 = min(v13, 3i);
    %14 = arith.minsi %13, %c3 : i32
    // CHECK-NEXT: let v15 = i32(max(u32(v14), 3u));
    %15 = arith.maxui %14, %c3 : i32
    // CHECK-NEXT: let v16 = i32(min(u32(v15), u32(v14)));
    %16 = arith.minui %15, %14 : i32
    // An index is an i32, and its constants are taken as they are or as 32 bits.
    // CHECK-NEXT: let v17 = v16 + -1i;
    %17 = arith.index_cast %16 : i32 to index
    %18 = arith.addi %17, %big : index
    // CHECK-NEXT: let v18 = v17 < arguments.b;
    %19 = arith.cmpi slt, %18, %b : index
    // CHECK-NEXT: let v19 = u32(v17) < u32(arguments.b);
    %20 = arith.cmpi ult, %18, %b : index
    // CHECK-NEXT: let v20 = u32(v17) >= 0u;
    %21 = arith.cmpi uge, %18, %c0 : index
    // CHECK-NEXT: let v21 = v18 & v19;
    %22 = arith.andi %19, %20 : i1
    // CHECK-NEXT: let v22 = v21 != v20;
    %23 = arith.xori %22, %21 : i1
    // CHECK-NEXT: let v23 = select(3i, v16, v22);
    %24 = arith.select %23, %16, %c3 : i32
    // CHECK-NEXT: let v24 = select(i32(0), i32(1), v22);
    %25 = arith.extui %23 : i1 to i32
    // CHECK-NEXT: let v25 = select(i32(0), i32(-1), v22);
    %26 = arith.extsi %23 : i1 to i32
    // CHECK-NEXT: let v26 = (v25 & 1i) != 0i;
    %27 = arith.trunci %26 : i32 to i1
    // CHECK-NEXT: let v27 = v26 == v22;
    %28 = arith.cmpi eq, %27, %23 : i1
    // CHECK-NEXT: let v28 = select(v23, v24, v27);
    %29 = arith.select %28, %25, %24 : i32
    memref.store %29, %o[%c0] : memref<64xi32>
    gpu.return
  }

  // CHECK-LABEL: fn floats(
  gpu.func @floats(%a: f32 loc("a"), %b: f32 loc("b"), %i: i32 loc("i"), %o: memref<64xf32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %half = arith.constant 0.5 : f32
    %tenth = arith.constant 0.1 : f32
    // CHECK: let v0 = arguments.a + 0.5f;
    %0 = arith.addf %a, %half : f32
    // CHECK-NEXT: let v1 = v0 - 0.1f;
    %1 = arith.subf %0, %tenth : f32
    // CHECK-NEXT: let v2 = v1 * arguments.b;
    %2 = arith.mulf %1, %b : f32
    // CHECK-NEXT: let v3 = v2 / arguments.a;
    %3 = arith.divf %2, %a : f32
    // CHECK-NEXT: let v4 = -v3;
    %4 = arith.negf %3 : f32
    // CHECK-NEXT: let v5 = max(v4, v3);
    %5 = arith.maximumf %4, %3 : f32
    // CHECK-NEXT: let v6 = min(v5, 0.5f);
    %6 = arith.minnumf %5, %half : f32
    // CHECK-NEXT: let v7 = v6 < arguments.a;
    %7 = arith.cmpf olt, %6, %a : f32
    // CHECK-NEXT: let v8 = !(v6 >= arguments.a);
    %8 = arith.cmpf ult, %6, %a : f32
    // CHECK-NEXT: let v9 = (v6 < arguments.a) | (v6 > arguments.a);
    %9 = arith.cmpf one, %6, %a : f32
    // CHECK-NEXT: let v10 = (v6 != v6) | (arguments.a != arguments.a);
    %10 = arith.cmpf uno, %6, %a : f32
    // CHECK-NEXT: let v11 = v7 | v8;
    %11 = arith.ori %7, %8 : i1
    %12 = arith.ori %9, %10 : i1
    %13 = arith.ori %11, %12 : i1
    // CHECK: let v14 = i32(arguments.a);
    %14 = arith.fptosi %a : f32 to i32
    // CHECK-NEXT: let v15 = i32(u32(arguments.a));
    %15 = arith.fptoui %a : f32 to i32
    // CHECK-NEXT: let v16 = f32(v14);
    %16 = arith.sitofp %14 : i32 to f32
    // CHECK-NEXT: let v17 = f32(u32(v15));
    %17 = arith.uitofp %15 : i32 to f32
    // CHECK-NEXT: let v18 = select(f32(0), f32(1), v13);
    %18 = arith.uitofp %13 : i1 to f32
    // CHECK-NEXT: let v19 = bitcast<i32>(v18);
    %19 = arith.bitcast %18 : f32 to i32
    // CHECK-NEXT: let v20 = bitcast<f32>(v19);
    %20 = arith.bitcast %19 : i32 to f32
    // CHECK-NEXT: let v21 = v20 + v16;
    %21 = arith.addf %20, %16 : f32
    memref.store %21, %o[%c0] : memref<64xf32>
    gpu.return
  }

  // CHECK: // Kernel halves; needs f16.
  // CHECK-NEXT: enable f16;
  // CHECK-LABEL: fn halves(
  gpu.func @halves(%x: memref<?xf16>, %y: memref<?xf32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %tenth = arith.constant 0.1 : f16
    %most = arith.constant 65504.0 : f16
    // CHECK: let v0 = arg0[0];
    %0 = memref.load %x[%c0] : memref<?xf16>
    // CHECK-NEXT: let v1 = v0 * 0.0999755859375h;
    %1 = arith.mulf %0, %tenth : f16
    // CHECK-NEXT: let v2 = min(v1, 65504.0h);
    %2 = arith.minimumf %1, %most : f16
    // CHECK-NEXT: let v3 = f32(v2);
    %3 = arith.extf %2 : f16 to f32
    // CHECK-NEXT: let v4 = f16(v3);
    %4 = arith.truncf %3 : f32 to f16
    memref.store %3, %y[%c0] : memref<?xf32>
    memref.store %4, %x[%c0] : memref<?xf16>
    gpu.return
  }
}
