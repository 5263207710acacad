// WGSL evaluates what it knows and refuses what overflows or divides by zero; MLIR only leaves such a value open, and the
// op may never run. What would be known goes through a `var`.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: fn literals(
  gpu.func @literals(%n: i32 loc("n"), %o: memref<4xi32>, %f: memref<4xf32>, %p: memref<4xvector<4xf32>>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c9 = arith.constant 9 : index
    %zero = arith.constant 0 : i32
    %five = arith.constant 5 : i32
    %forty = arith.constant 40 : i32
    %least = arith.constant -2147483648 : i32
    %large = arith.constant 3.0e38 : f32
    // CHECK: var [[A:v.*]] = 5i;
    // CHECK-NEXT: var [[ZERO:v.*]] = 0i;
    // CHECK-NEXT: let [[DIV:v.*]] = [[A]] / [[ZERO]];
    %0 = arith.divsi %five, %zero : i32
    // CHECK-NEXT: var [[ZERO:v.*]] = 0i;
    // CHECK-NEXT: let {{v.*}} = i32(u32(arguments.n) % u32([[ZERO]]));
    %1 = arith.remui %n, %zero : i32
    // CHECK-NEXT: var [[FORTY:v.*]] = 40i;
    // CHECK-NEXT: let {{v.*}} = arguments.n << u32([[FORTY]]);
    %2 = arith.shli %n, %forty : i32
    // CHECK-NEXT: let {{v.*}} = arguments.n + i32(-2147483648);
    %3 = arith.addi %n, %least : i32
    // CHECK-NEXT: var [[A:v.*]] = 3e38f;
    // CHECK-NEXT: let {{v.*}} = [[A]] * 3e38f;
    %4 = arith.mulf %large, %large : f32
    // CHECK-NEXT: var [[A:v.*]] = 3e38f;
    // CHECK-NEXT: let {{v.*}} = exp([[A]]);
    %5 = math.exp %large : f32
    // CHECK-NEXT: var [[A:v.*]] = 9i;
    // CHECK-NEXT: let {{v.*}} = arg1{{.*}};
    %6 = memref.load %o[%c9] : memref<4xi32>
    // CHECK: let [[NAN:v.*]] = 0x7fc00000u;
    // CHECK-NEXT: let {{v.*}} = bitcast<f32>([[NAN]]);
    %nan = arith.constant 0x7FC00000 : f32
    // CHECK-NEXT: let [[INF:v.*]] = 0x7f800000u;
    // CHECK-NEXT: let {{v.*}} = vec4<f32>(bitcast<f32>([[INF]]));
    %infs = arith.constant dense<0x7F800000> : vector<4xf32>
    // CHECK-NEXT: let [[INF:v.*]] = 0xff800000u;
    // CHECK-NEXT: let {{v.*}} = vec2<f32>(1.0f, bitcast<f32>([[INF]]));
    %some = arith.constant dense<[1.0, 0xFF800000]> : vector<2xf32>
    // CHECK-NEXT: let {{v.*}} = {{v.*}} + vec4<f32>(1.0f, -0.0f, 1e-45f, -3.4028234663852886e38f);
    %each = arith.constant dense<[1.0, -0.0, 1.0e-45, -3.40282347e+38]> : vector<4xf32>
    %7 = arith.addf %infs, %each : vector<4xf32>
    // CHECK-NEXT: let {{v.*}} = {{v.*}}.x;
    %8 = vector.extract %some[0] : f32 from vector<2xf32>
    %s0 = arith.addi %0, %1 : i32
    %s1 = arith.addi %2, %3 : i32
    %s2 = arith.addi %s0, %s1 : i32
    %s3 = arith.addi %s2, %6 : i32
    %t0 = arith.addf %4, %5 : f32
    %t1 = arith.addf %t0, %nan : f32
    %t2 = arith.addf %t1, %8 : f32
    memref.store %s3, %o[%c0] : memref<4xi32>
    memref.store %t2, %f[%c0] : memref<4xf32>
    memref.store %7, %p[%c0] : memref<4xvector<4xf32>>
    gpu.return
  }

  // CHECK-LABEL: fn half_literals(
  gpu.func @half_literals(%o: memref<4xvector<2xf16>>, %i: memref<4xvector<2xi32>>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // CHECK: let [[INF:v.*]] = 0x7f800000u;
    // CHECK-NEXT: let [[A:v.*]] = vec2<f16>(f16(bitcast<f32>([[INF]])));
    %inf = arith.constant dense<0x7C00> : vector<2xf16>
    // CHECK-NEXT: let {{v.*}} = [[A]] + vec2<f16>(0.333251953125h, 5.960464477539063e-8h);
    %each = arith.constant dense<[0.3333, 5.96e-8]> : vector<2xf16>
    %0 = arith.addf %inf, %each : vector<2xf16>
    memref.store %0, %o[%c0] : memref<4xvector<2xf16>>
    // CHECK: arg1[1] = vec2<i32>(i32(-2147483648), 7i);
    %ints = arith.constant dense<[-2147483648, 7]> : vector<2xi32>
    memref.store %ints, %i[%c1] : memref<4xvector<2xi32>>
    gpu.return
  }
}
