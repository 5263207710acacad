// RUN: kforge-opt %s --kernel-entries | FileCheck %s
// RUN: kforge-opt %s --kernel-entries --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: kernel-entries
// STATS-NEXT: (S) 1 entries

// Words of the arguments: pointers of the memrefs first, then the scalars.
// CHECK-NOT: transformer.target
// CHECK-NOT: ml_program
// CHECK-NOT: @main
// CHECK: func.func private @copy_0
// CHECK-NOT: @main
// CHECK: func.func @kforge_copy_0(%[[A:.*]]: !llvm.ptr, %[[T:.*]]: i64) {
// CHECK: %[[TASK:.*]] = arith.index_cast %[[T]] : i64 to index
// CHECK: %[[P2:.*]] = llvm.getelementptr %[[A]][2]
// CHECK: %[[N:.*]] = llvm.load %[[P2]] : !llvm.ptr -> i64
// CHECK: %[[ROWS:.*]] = arith.index_cast %[[N]]
// CHECK: %[[P0:.*]] = llvm.getelementptr %[[A]][0]
// CHECK: llvm.load %[[P0]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[X:.*]] = builtin.unrealized_conversion_cast %{{.*}} : !llvm.struct<(ptr, ptr, i64, array<2 x i64>, array<2 x i64>)> to memref<?x64xf32>
// CHECK: llvm.getelementptr %[[A]][1]
// CHECK: %[[Y:.*]] = builtin.unrealized_conversion_cast
// CHECK: call @copy_0(%[[TASK]], %[[ROWS]], %[[X]], %[[Y]])
// CHECK-NOT: @main
module attributes {transformer.target = "avx2"} {
ml_program.global private mutable @cache : tensor<1x8x2x16xf32>
func.func private @declared(index)
func.func private @copy_0(%task: index, %rows: index, %x: memref<?x64xf32>, %y: memref<?x64xf32>) {
  return
}
func.func @main(%n: index, %x: memref<?x64xf32>, %y: memref<?x64xf32>) {
  transformer.launch @copy_0 tasks(%n) scalars(%n) buffers(%x, %y : memref<?x64xf32>, memref<?x64xf32>) access [0, 1]
  return
}
}
