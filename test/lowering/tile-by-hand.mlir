// A tile is what the kernel's loops are made of. Edit it and they change; nothing else has to be told.
// RUN: kforge-opt %s --lower-to-launches --canonicalize --cse | FileCheck %s --check-prefixes=GEMV16,GEMV
// RUN: sed 's/"gemv", tile = .16./"gemv", tile = [32]/' %s | kforge-opt --lower-to-launches --canonicalize --cse | FileCheck %s --check-prefixes=GEMV32,GEMV
// RUN: sed 's/"gemv", tile = .16./"gemm", tile = [8, 4, 16]/' %s | kforge-opt --lower-to-launches --canonicalize --cse | FileCheck %s --check-prefix=GEMM8
// RUN: sed 's/"gemv", tile = .16./"gemm", tile = [6, 2, 32]/' %s | kforge-opt --lower-to-launches --canonicalize --cse | FileCheck %s --check-prefix=GEMM6
// RUN: sed 's/"gemv", tile = .16./"gemm", tile = [8, 4, 16, 32]/' %s | kforge-opt --lower-to-launches --canonicalize --cse | FileCheck %s --check-prefix=DEEP
// RUN: sed 's/"gemv", tile = .16./"gemv", tile = [48, 16, 2]/' %s | kforge-opt --lower-to-launches --canonicalize --cse | FileCheck %s --check-prefix=STRIPS

// GEMV: transformer.launch @gemv_0
// GEMM8: transformer.launch @gemm_0
// GEMM6: transformer.launch @gemm_0

// Sixteen columns: four tasks, one accumulator, eight products a step of k.
// GEMV16: func.func private @gemv_0
// GEMV16: scf.for %{{.*}} to %c64 step %c8 iter_args(%{{[^,]*}}) -> (vector<16xf32>)
// GEMV16-COUNT-8: math.fma
// GEMV16-NOT: math.fma
// GEMV16: return

// Thirty-two: two accumulators, sixteen products.
// GEMV32: func.func private @gemv_0
// GEMV32: scf.for %{{.*}} to %c64 step %c8 iter_args(%{{[^,]*}}, %{{[^,]*}}) -> (vector<16xf32>, vector<16xf32>)
// GEMV32-COUNT-16: math.fma
// GEMV32-NOT: math.fma
// GEMV32: return

// Four rows in registers: the row loop steps by four, sixteen products a step of four k, once for full tiles and once for
// the edge.
// GEMM8: func.func private @gemm_0
// GEMM8: scf.for %{{.*}} step %c4 {
// GEMM8: scf.if
// GEMM8: scf.for %{{.*}} = %c0 to %c64 step %c4 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// GEMM8-COUNT-16: math.fma
// GEMM8: scf.if
// GEMM8: scf.for %{{.*}} = %c0 to %c64 step %c4 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// GEMM8-COUNT-16: math.fma
// GEMM8-NOT: math.fma
// GEMM8: return

// Two rows of two column groups, the same again.
// GEMM6: func.func private @gemm_0
// GEMM6: scf.for %{{.*}} step %c2 {
// GEMM6: scf.if
// GEMM6: scf.for %{{.*}} = %c0 to %c64 step %c4 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// GEMM6-COUNT-16: math.fma
// GEMM6: scf.if
// GEMM6: scf.for %{{.*}} = %c0 to %c64 step %c4 iter_args({{.*}}) -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// GEMM6-COUNT-16: math.fma
// GEMM6-NOT: math.fma
// GEMM6: return

// Two blocks of 32 columns of K: the sums wait in memory between them, and an epilogue of its own stores them.
// DEEP: func.func private @gemm_0
// DEEP: %alloca = memref.alloca() {{.*}} : memref<2x4x16xf32>
// DEEP: scf.for %{{.*}} = %c0 to %c32 step %c4 iter_args
// DEEP: vector.store %{{.*}}, %alloca[
// DEEP: vector.load %alloca[
// DEEP: scf.for %{{.*}} = %c0 to %c32 step %c4 iter_args
// DEEP: vector.store %{{.*}}, %alloca[
// DEEP: vector.load %alloca[
// DEEP: vector.store %{{.*}}, %arg4

// A task of three strips of sixteen columns, each asking for weights two blocks ahead.
// STRIPS: func.func private @gemv_0
// STRIPS: scf.for
// STRIPS: scf.for %{{.*}} to %c64 step %c8 iter_args(%{{[^,]*}}) -> (vector<16xf32>)
// STRIPS-COUNT-8: memref.prefetch
// STRIPS-COUNT-8: math.fma
// STRIPS-NOT: math.fma
// STRIPS: return

module attributes {transformer.target = "avx2"} {
func.func @f(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.fused(%a = %x : tensor<1x64xf32>, %b = %w : tensor<64x64xf32>) -> tensor<1x64xf32>
      kernel #transformer.kernel<"gemv", tile = [16]> attributes {transformer.layouts = ["row_major", "rows16"]} {
    %1 = transformer.linear %a, %b : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
    transformer.yield %1 : tensor<1x64xf32>
  }
  return %0 : tensor<1x64xf32>
}
}
