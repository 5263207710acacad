// RUN: kforge-opt %s --lower-to-launches --canonicalize | FileCheck %s
// RUN: kforge-opt %s --lower-to-launches --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: lower-to-launches
// STATS-NEXT: (S) 8 kernels
// STATS-NEXT: (S) 10 launches

module attributes {transformer.target = "avx2"} {

// Equal groups share one kernel.
// CHECK-LABEL: func.func @twice
// CHECK-SAME: (%[[X:.*]]: memref<4x64xf32>) -> memref<4x64xf32>
// CHECK: %[[A:.*]] = memref.alloc() : memref<4x64xf32>
// CHECK: transformer.launch @[[SILU:elementwise_0]] tasks(%{{.*}}) buffers(%[[X]], %[[A]] : memref<4x64xf32>, memref<4x64xf32>) access [0, 1]{{.*}}summary = "silu"}
// CHECK: %[[B:.*]] = memref.alloc() : memref<4x64xf32>
// CHECK: transformer.launch @[[SILU]] tasks(%{{.*}}) buffers(%[[A]], %[[B]]
// CHECK: return %[[B]]
func.func @twice(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %0 = transformer.fused(%a = %x : tensor<4x64xf32>) -> tensor<4x64xf32> kernel #transformer.kernel<"elementwise"> {
    %2 = transformer.silu %a : tensor<4x64xf32>
    transformer.yield %2 : tensor<4x64xf32>
  }
  %1 = transformer.fused(%a = %0 : tensor<4x64xf32>) -> tensor<4x64xf32> kernel #transformer.kernel<"elementwise"> {
    %2 = transformer.silu %a : tensor<4x64xf32>
    transformer.yield %2 : tensor<4x64xf32>
  }
  return %1 : tensor<4x64xf32>
}

// Views disappear: the second kernel reads the first one's buffer. Dynamic sizes are computed from the arguments'.
// CHECK-LABEL: func.func @views
// CHECK-SAME: (%[[X:.*]]: memref<1x?x64xf32>
// CHECK: %[[S:.*]] = memref.dim %[[X]], %c1
// CHECK: %[[A:.*]] = memref.alloc(%[[S]]) : memref<1x?x64xf32>
// CHECK: transformer.launch @{{.*}} buffers(%[[X]], %[[A]] :
// CHECK-NOT: expand_shape
// CHECK: %[[B:.*]] = memref.alloc(%[[S]]) : memref<1x?x4x16xf32>
// CHECK: transformer.launch @{{.*}} buffers(%[[A]], %[[B]] : memref<1x?x64xf32>, memref<1x?x4x16xf32>)
func.func @views(%x: tensor<1x?x64xf32>) -> tensor<1x?x4x16xf32> {
  %c1 = arith.constant 1 : index
  %0 = transformer.fused(%a = %x : tensor<1x?x64xf32>) -> tensor<1x?x64xf32> kernel #transformer.kernel<"elementwise"> {
    %2 = transformer.silu %a : tensor<1x?x64xf32>
    transformer.yield %2 : tensor<1x?x64xf32>
  }
  %d = tensor.dim %0, %c1 : tensor<1x?x64xf32>
  %v = tensor.expand_shape %0 [[0], [1], [2, 3]] output_shape [1, %d, 4, 16] : tensor<1x?x64xf32> into tensor<1x?x4x16xf32>
  %1 = transformer.fused(%a = %v : tensor<1x?x4x16xf32>) -> tensor<1x?x4x16xf32> kernel #transformer.kernel<"rowwise"> {
    %2 = transformer.softmax %a : tensor<1x?x4x16xf32>
    transformer.yield %2 : tensor<1x?x4x16xf32>
  }
  return %1 : tensor<1x?x4x16xf32>
}

// A cache is written in place: read and written, no buffer made, the store gone. The caller's position is checked once.
// CHECK: ml_program.global private mutable @cache
ml_program.global private mutable @cache : tensor<1x8x2x16xf32>
// CHECK-LABEL: func.func @in_place
// CHECK: %[[C:.*]] = ml_program.global_load @cache
// CHECK: transformer.check "position" buffers(%{{.*}} : memref<1xi32>) sizes(%c1, %c8)
// CHECK: transformer.launch @{{.*}} buffers(%[[C]], %{{.*}}, %{{.*}}, %[[C]] : {{.*}}) access [0, 0, 0, 2]
// CHECK-NOT: transformer.check
// CHECK-NOT: memref.alloc
// CHECK-NOT: ml_program.global_store
// CHECK: return
func.func @in_place(%u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) {
  %c = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  %0 = transformer.fused(%a = %c : tensor<1x8x2x16xf32>, %b = %u : tensor<1x1x2x16xf32>, %p = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %2 = transformer.kv_update %a, %b at %p : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %2 : tensor<1x8x2x16xf32>
  }
  %1 = transformer.fused(%a = %0 : tensor<1x8x2x16xf32>, %b = %u : tensor<1x1x2x16xf32>, %p = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %2 = transformer.kv_update %a, %b at %p : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %2 : tensor<1x8x2x16xf32>
  }
  ml_program.global_store @cache = %1 : tensor<1x8x2x16xf32>
  return
}

// CHECK-LABEL: func.func @embedding
// CHECK: transformer.check "index" buffers(%{{.*}} : memref<?xi32>) sizes(%c32)
func.func @embedding(%ids: tensor<?xi32>, %t: tensor<32x64xf32>) -> tensor<?x64xf32> {
  %0 = transformer.fused(%a = %ids : tensor<?xi32>, %b = %t : tensor<32x64xf32>) -> tensor<?x64xf32> kernel #transformer.kernel<"embedding"> {
    %2 = transformer.embedding %a, %b : tensor<?xi32>, tensor<32x64xf32> -> tensor<?x64xf32>
    transformer.yield %2 : tensor<?x64xf32>
  }
  return %0 : tensor<?x64xf32>
}

// CHECK-LABEL: func.func @matmul
// CHECK: transformer.launch @matmul_{{[0-9]}} tasks(%{{.*}}) {{.*}}access [0, 0, 1]
func.func @matmul(%a: tensor<4x8xf32>, %b: tensor<8x32xf32>) -> tensor<4x32xf32> {
  %0 = transformer.fused(%x = %a : tensor<4x8xf32>, %y = %b : tensor<8x32xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"matmul", tile = [4, 16]> {
    %2 = transformer.matmul %x, %y : tensor<4x8xf32>, tensor<8x32xf32> -> tensor<4x32xf32>
    transformer.yield %2 : tensor<4x32xf32>
  }
  return %0 : tensor<4x32xf32>
}

// Sizes that only a call knows must be equal; equal ones are not compared.
// CHECK-LABEL: func.func @sum
// CHECK: transformer.check "same" sizes(%{{.*}}, %{{.*}})
// CHECK-NOT: transformer.check
// CHECK: return
func.func @sum(%x: tensor<?x8xf32>, %y: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %0 = transformer.fused(%a = %x : tensor<?x8xf32>, %b = %y : tensor<?x8xf32>) -> tensor<?x8xf32> kernel #transformer.kernel<"elementwise"> {
    %2 = arith.addf %a, %b : tensor<?x8xf32>
    %3 = arith.mulf %2, %a : tensor<?x8xf32>
    transformer.yield %3 : tensor<?x8xf32>
  }
  return %0 : tensor<?x8xf32>
}

// The pages that an attention reads must exist; a window leaves out the oldest.
// CHECK-LABEL: func.func @paged
// CHECK: transformer.check "blocks" buffers(%{{.*}}, %{{.*}} : memref<1x4xi32>, memref<1xi32>) sizes(%c1, %c16, %c8, %c5)
// CHECK-NOT: transformer.check
// CHECK: return
func.func @paged(%q: tensor<1x1x4x16xf32>, %k: tensor<8x16x2x16xf32>, %at: tensor<1xi32>, %t: tensor<1x4xi32>) -> tensor<1x1x4x16xf32> {
  %0 = transformer.fused(%a = %q : tensor<1x1x4x16xf32>, %b = %k : tensor<8x16x2x16xf32>, %p = %at : tensor<1xi32>, %u = %t : tensor<1x4xi32>) -> tensor<1x1x4x16xf32> kernel #transformer.kernel<"attention", tile = [1, 2, 1]> {
    %2 = transformer.attention %a, %b, %b at %p blocks %u {causal, window = 5 : i64} : tensor<1x1x4x16xf32>, tensor<8x16x2x16xf32>, tensor<8x16x2x16xf32>, tensor<1xi32> blocks tensor<1x4xi32>
    transformer.yield %2 : tensor<1x1x4x16xf32>
  }
  return %0 : tensor<1x1x4x16xf32>
}

// A declaration stays.
// CHECK: func.func private @declared(tensor<4xf32>)
// The kernels follow.
// CHECK: func.func private @elementwise_0(%{{.*}}: index, %{{.*}}: index, %{{.*}}: memref<
func.func private @declared(tensor<4xf32>)

}
