// Functions that WGSL has under its own names.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: fn functions(
  gpu.func @functions(%a: f32 loc("a"), %i: i32 loc("i"), %o: memref<64xf32>, %p: memref<64xi32>, %q: memref<64xvector<4xf32>>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    // CHECK: let v0 = exp(arguments.a);
    %0 = math.exp %a : f32
    // CHECK-NEXT: let v1 = exp2(v0);
    %1 = math.exp2 %0 : f32
    // CHECK-NEXT: let v2 = log(v1);
    %2 = math.log %1 : f32
    // CHECK-NEXT: let v3 = log2(v2);
    %3 = math.log2 %2 : f32
    // CHECK-NEXT: let v4 = sqrt(v3);
    %4 = math.sqrt %3 : f32
    // CHECK-NEXT: let v5 = inverseSqrt(v4);
    %5 = math.rsqrt %4 : f32
    // CHECK-NEXT: let v6 = fma(v5, v4, v3);
    %6 = math.fma %5, %4, %3 : f32
    // CHECK-NEXT: let v7 = abs(v6);
    %7 = math.absf %6 : f32
    // CHECK-NEXT: let v8 = tanh(clamp(v7, f32(-10.0), f32(10.0)));
    %8 = math.tanh %7 : f32
    // CHECK-NEXT: let v9 = floor(v8);
    %9 = math.floor %8 : f32
    // CHECK-NEXT: let v10 = ceil(v9);
    %10 = math.ceil %9 : f32
    // CHECK-NEXT: let v11 = trunc(v10);
    %11 = math.trunc %10 : f32
    // CHECK-NEXT: let v12 = round(v11);
    %12 = math.roundeven %11 : f32
    // CHECK-NEXT: let v13 = sin(v12);
    %13 = math.sin %12 : f32
    // CHECK-NEXT: let v14 = cos(v13);
    %14 = math.cos %13 : f32
    // CHECK-NEXT: let v15 = tan(v14);
    %15 = math.tan %14 : f32
    // CHECK-NEXT: let v16 = atan2(v15, v14);
    %16 = math.atan2 %15, %14 : f32
    memref.store %16, %o[%c0] : memref<64xf32>
    // CHECK: let v17 = abs(arguments.i);
    %17 = math.absi %i : i32
    // CHECK-NEXT: let v18 = countLeadingZeros(v17);
    %18 = math.ctlz %17 : i32
    // CHECK-NEXT: let v19 = countTrailingZeros(v18);
    %19 = math.cttz %18 : i32
    // CHECK-NEXT: let v20 = countOneBits(v19);
    %20 = math.ctpop %19 : i32
    memref.store %20, %p[%c0] : memref<64xi32>
    // CHECK: let v21 = arg4[0];
    %21 = memref.load %q[%c0] : memref<64xvector<4xf32>>
    // CHECK-NEXT: let v22 = tanh(clamp(v21, vec4<f32>(-10.0), vec4<f32>(10.0)));
    %22 = math.tanh %21 : vector<4xf32>
    // CHECK-NEXT: let v23 = sqrt(v22);
    %23 = math.sqrt %22 : vector<4xf32>
    memref.store %23, %q[%c0] : memref<64xvector<4xf32>>
    gpu.return
  }
}
