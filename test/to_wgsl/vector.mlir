// Lanes, and what lies packed in words.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: fn lanes(
  gpu.func @lanes(%a: f32 loc("a"), %i: index loc("i"), %x: memref<64xvector<4xf32>>, %y: memref<64xvector<2xf32>>, %o: memref<64xf32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0.0 : f32
    // CHECK: let v0 = arg2[0];
    %0 = memref.load %x[%c0] : memref<64xvector<4xf32>>
    // CHECK-NEXT: let v1 = vec4<f32>(arguments.a);
    %1 = vector.broadcast %a : f32 to vector<4xf32>
    // CHECK-NEXT: let v2 = fma(v0, v1, v0);
    %2 = vector.fma %0, %1, %0 : vector<4xf32>
    // CHECK-NEXT: let v3 = v2.z;
    %3 = vector.extract %2[2] : f32 from vector<4xf32>
    // CHECK-NEXT: let v4 = v2[arguments.i];
    %4 = vector.extract %2[%i] : f32 from vector<4xf32>
    // CHECK-NEXT: let v5 = v2.y;
    %5 = vector.extract %2[%c1] : f32 from vector<4xf32>
    // CHECK-NEXT: let v6 = vec4<f32>(v2.x, v2.y, v2.z, v3);
    %6 = vector.insert %3, %2[3] : f32 into vector<4xf32>
    // CHECK-NEXT: var v7 = v6;
    // CHECK-NEXT: v7[arguments.i] = v4;
    %7 = vector.insert %4, %6[%i] : f32 into vector<4xf32>
    // CHECK-NEXT: let v8 = vec2<f32>(v5, 0.0f);
    %8 = vector.from_elements %5, %zero : vector<2xf32>
    // CHECK-NEXT: let v9 = v8.x;
    // CHECK-NEXT: let v10 = v8.y;
    %9:2 = vector.to_elements %8 : vector<2xf32>
    // CHECK-NEXT: let v11 = vec4<f32>(v7.w, v7.z, v6.y, v6.x);
    %10 = vector.shuffle %7, %6 [3, 2, 5, 4] : vector<4xf32>, vector<4xf32>
    // CHECK-NEXT: let v12 = vec2<f32>(v11.z, v11.w);
    %11 = vector.extract_strided_slice %10 {offsets = [2], sizes = [2], strides = [1]} : vector<4xf32> to vector<2xf32>
    memref.store %11, %y[%c0] : memref<64xvector<2xf32>>
    // CHECK: let v13 = v9 + v11.x + v11.y + v11.z + v11.w;
    %12 = vector.reduction <add>, %10, %9#0 : vector<4xf32> into f32
    // CHECK-NEXT: let v14 = max(max(max(v11.x, v11.y), v11.z), v11.w);
    %13 = vector.reduction <maximumf>, %10 : vector<4xf32> into f32
    %14 = arith.addf %12, %13 : f32
    // A vector of one lane is a scalar.
    // CHECK-NEXT: let v15 = v13 + v14;
    // CHECK-NEXT: let v16 = -v15;
    %15 = vector.from_elements %14 : vector<1xf32>
    %16 = arith.negf %15 : vector<1xf32>
    %17 = vector.extract %16[0] : f32 from vector<1xf32>
    // CHECK-NEXT: let v17 = bitcast<vec4<i32>>(v11);
    %18 = vector.bitcast %10 : vector<4xf32> to vector<4xi32>
    // CHECK-NEXT: let v18 = v17 > vec4<i32>(3i);
    %threes = arith.constant dense<3> : vector<4xi32>
    %19 = arith.cmpi sgt, %18, %threes : vector<4xi32>
    // CHECK-NEXT: let v19 = select(v7, v11, v18);
    %20 = arith.select %19, %10, %7 : vector<4xi1>, vector<4xf32>
    memref.store %20, %x[%c0] : memref<64xvector<4xf32>>
    memref.store %17, %o[%c0] : memref<64xf32>
    // CHECK: let [[S:v.*]] = {{v.*}} >> vec4<u32>(3u);
    %21 = arith.shrsi %18, %threes : vector<4xi32>
    // CHECK-NEXT: let [[U:v.*]] = vec4<i32>(vec4<u32>([[S]]) / vec4<u32>(3u));
    %22 = arith.divui %21, %threes : vector<4xi32>
    // CHECK-NEXT: let {{v.*}} = vec4<f32>([[U]]);
    %23 = arith.sitofp %22 : vector<4xi32> to vector<4xf32>
    memref.store %23, %x[%c1] : memref<64xvector<4xf32>>
    gpu.return
  }

  // CHECK: // Kernel packed; needs packed halves.
  // CHECK-LABEL: fn packed(
  gpu.func @packed(%x: memref<64xi32>, %f: memref<64xvector<2xf32>>, %i: memref<64xvector<4xi32>>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %three = arith.constant 3 : i32
    // CHECK: let v0 = arg0[0];
    %0 = memref.load %x[%c0] : memref<64xi32>
    %w = vector.from_elements %0 : vector<1xi32>
    // CHECK-NEXT: let v1 = unpack2x16float(u32(v0));
    %h = vector.bitcast %w : vector<1xi32> to vector<2xf16>
    %hf = arith.extf %h : vector<2xf16> to vector<2xf32>
    memref.store %hf, %f[%c0] : memref<64xvector<2xf32>>
    %b = vector.bitcast %w : vector<1xi32> to vector<4xi8>
    // CHECK: let v2 = unpack4xI8(u32(v0));
    %s = arith.extsi %b : vector<4xi8> to vector<4xi32>
    // CHECK-NEXT: let v3 = vec4<i32>(unpack4xU8(u32(v0)));
    %u = arith.extui %b : vector<4xi8> to vector<4xi32>
    %su = arith.addi %s, %u : vector<4xi32>
    memref.store %su, %i[%c0] : memref<64xvector<4xi32>>
    // CHECK: let [[P:v.*]] = i32(pack2x16float(v1));
    %p = arith.truncf %hf : vector<2xf32> to vector<2xf16>
    %pw = vector.bitcast %p : vector<2xf16> to vector<1xi32>
    %pi = vector.extract %pw[0] : i32 from vector<1xi32>
    // CHECK-NEXT: arg0[1] = [[P]];
    memref.store %pi, %x[%c1] : memref<64xi32>
    // CHECK-NEXT: let [[Q:v.*]] = i32(pack4xI8({{v.*}}));
    %q = arith.trunci %su : vector<4xi32> to vector<4xi8>
    %qw = vector.bitcast %q : vector<4xi8> to vector<1xi32>
    %qi = vector.extract %qw[0] : i32 from vector<1xi32>
    // CHECK-NEXT: arg0[2] = [[Q]];
    memref.store %qi, %x[%c2] : memref<64xi32>
    gpu.return
  }

  // Bytes that are extended for a dot product and nothing else.
  // CHECK-LABEL: fn dots(
  gpu.func @dots(%x: memref<64xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // CHECK: let v0 = arg0[0];
    // CHECK-NEXT: let v1 = arg0[1];
    %0 = memref.load %x[%c0] : memref<64xi32>
    %1 = memref.load %x[%c1] : memref<64xi32>
    %w0 = vector.from_elements %0 : vector<1xi32>
    %w1 = vector.from_elements %1 : vector<1xi32>
    %b0 = vector.bitcast %w0 : vector<1xi32> to vector<4xi8>
    %b1 = vector.bitcast %w1 : vector<1xi32> to vector<4xi8>
    %s0 = arith.extsi %b0 : vector<4xi8> to vector<4xi32>
    %s1 = arith.extsi %b1 : vector<4xi8> to vector<4xi32>
    %p = arith.muli %s0, %s1 : vector<4xi32>
    // CHECK-NEXT: let v2 = dot4I8Packed(u32(v0), u32(v1));
    %d = vector.reduction <add>, %p : vector<4xi32> into i32
    %u0 = arith.extui %b0 : vector<4xi8> to vector<4xi32>
    %u1 = arith.extui %b1 : vector<4xi8> to vector<4xi32>
    %q = arith.muli %u0, %u1 : vector<4xi32>
    // CHECK-NEXT: let v3 = v2 + i32(dot4U8Packed(u32(v0), u32(v1)));
    %e = vector.reduction <add>, %q, %d : vector<4xi32> into i32
    // Of mixed signs there is none: each is extended.
    // CHECK-NEXT: let v4 = unpack4xI8(u32(v0));
    // CHECK-NEXT: let v5 = vec4<i32>(unpack4xU8(u32(v1)));
    %s2 = arith.extsi %b0 : vector<4xi8> to vector<4xi32>
    %u2 = arith.extui %b1 : vector<4xi8> to vector<4xi32>
    // CHECK-NEXT: let v6 = v4 * v5;
    %r = arith.muli %s2, %u2 : vector<4xi32>
    // CHECK-NEXT: let v7 = v3 + v6.x + v6.y + v6.z + v6.w;
    %f = vector.reduction <add>, %r, %e : vector<4xi32> into i32
    memref.store %f, %x[%c0] : memref<64xi32>
    gpu.return
  }

  // Halves that are more than widened are f16.
  // CHECK: // Kernel native_halves; needs f16, packed halves.
  // CHECK-LABEL: fn native_halves(
  gpu.func @native_halves(%x: memref<64xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %0 = memref.load %x[%c0] : memref<64xi32>
    %w = vector.from_elements %0 : vector<1xi32>
    %h = vector.bitcast %w : vector<1xi32> to vector<2xf16>
    // CHECK: let v1 = vec2<f16>(unpack2x16float(u32(v0))) * vec2<f16>(unpack2x16float(u32(v0)));
    %q = arith.mulf %h, %h : vector<2xf16>
    // CHECK-NEXT: let v2 = i32(pack2x16float(vec2<f32>(v1)));
    %qw = vector.bitcast %q : vector<2xf16> to vector<1xi32>
    %qi = vector.extract %qw[0] : i32 from vector<1xi32>
    memref.store %qi, %x[%c0] : memref<64xi32>
    gpu.return
  }

  // Booleans by lanes; WGSL's comparisons do not chain.
  // CHECK-LABEL: fn booleans(
  gpu.func @booleans(%a: memref<4xvector<4xf32>>, %o: memref<4xvector<4xi32>>, %i: index loc("i")) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %v = memref.load %a[%i] : memref<4xvector<4xf32>>
    %true = arith.constant dense<true> : vector<4xi1>
    %some = arith.constant dense<[true, false, true, false]> : vector<4xi1>
    // CHECK: let v1 = (v0 < v0) | (v0 > v0);
    %1 = arith.cmpf one, %v, %v : vector<4xf32>
    // CHECK-NEXT: let v2 = !(v0 >= v0);
    %2 = arith.cmpf ult, %v, %v : vector<4xf32>
    // CHECK-NEXT: let v3 = v1 & v2;
    %3 = arith.andi %1, %2 : vector<4xi1>
    // CHECK-NEXT: let v4 = v3 != vec4<bool>(true);
    %4 = arith.xori %3, %true : vector<4xi1>
    // CHECK-NEXT: let v5 = v4 | vec4<bool>(true, false, true, false);
    %5 = arith.ori %4, %some : vector<4xi1>
    // CHECK-NEXT: let v6 = select(vec4<i32>(0), vec4<i32>(1), v5);
    %6 = arith.extui %5 : vector<4xi1> to vector<4xi32>
    // CHECK-NEXT: let v7 = (v6 & vec4<i32>(1i)) != vec4<i32>(0i);
    %7 = arith.trunci %6 : vector<4xi32> to vector<4xi1>
    // CHECK-NEXT: let v8 = select(vec4<f32>(0), vec4<f32>(1), v7);
    %8 = arith.uitofp %7 : vector<4xi1> to vector<4xf32>
    // CHECK-NEXT: let v9 = vec4<i32>(vec4<u32>(v8));
    %9 = arith.fptoui %8 : vector<4xf32> to vector<4xi32>
    // CHECK-NEXT: let v10 = vec4<f32>(vec4<u32>(v9));
    %10 = arith.uitofp %9 : vector<4xi32> to vector<4xf32>
    // CHECK-NEXT: let v11 = v5.x | v5.y | v5.z | v5.w;
    %11 = vector.reduction <or>, %5 : vector<4xi1> into i1
    // CHECK-NEXT: let v12 = (((v5.x != v5.y) != v5.z) != v5.w);
    %12 = vector.reduction <xor>, %5 : vector<4xi1> into i1
    // CHECK-NEXT: let v13 = select(v8, v10, v11);
    %13 = arith.select %11, %10, %8 : vector<4xf32>
    // CHECK-NEXT: let v14 = v5[arguments.i];
    %14 = vector.extract %5[%i] : i1 from vector<4xi1>
    %15 = arith.andi %14, %12 : i1
    %16 = arith.select %15, %13, %10 : vector<4xf32>
    %17 = arith.bitcast %16 : vector<4xf32> to vector<4xi32>
    memref.store %17, %o[%i] : memref<4xvector<4xi32>>
    gpu.return
  }
}
