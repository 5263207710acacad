// What is no kernel is dropped, whatever uses it: a module's ops may stand in any order. Never is memory touched that is
// gone, so this runs each through all of --kforge-llvm too.
// RUN: kforge-opt %s --split-input-file --kernel-entries | FileCheck %s
// RUN: kforge-opt %s --split-input-file --kforge-llvm | FileCheck %s --check-prefix=LLVM

// CHECK: module {
// CHECK-NEXT: }
// LLVM: module {
// LLVM-NEXT: }
module {
  %a = arith.addi %c0, %c1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
}

// -----

// A kernel returns nothing, and takes indices, then memrefs. A function that launches is none.
// CHECK: module {
// CHECK-NEXT: func.func private @kernel
// CHECK-NEXT: return
// CHECK-NEXT: }
// CHECK-NEXT: func.func @kforge_kernel(
// CHECK-NOT: @kforge_
// CHECK: // {{-----}}
// LLVM: llvm.func @kernel
// LLVM: llvm.func @kforge_kernel
// LLVM-NOT: llvm.func
// LLVM: // {{-----}}
module {
  func.func private @result(%task: index) -> index {
    return %task : index
  }
  func.func private @tensor(%task: index, %x: tensor<4xf32>) {
    return
  }
  func.func private @float(%task: index, %x: f32) {
    return
  }
  func.func private @mixed(%task: index, %x: memref<4xf32>, %n: index) {
    return
  }
  func.func private @no_task() {
    return
  }
  func.func private @launches(%n: index, %x: memref<4xf32>) {
    transformer.launch @kernel tasks(%n) buffers(%x : memref<4xf32>) access [1]
    return
  }
  func.func @public(%task: index) {
    return
  }
  func.func private @kernel(%task: index, %x: memref<4xf32>) {
    return
  }
}

// -----

// A scalar in memory has no sizes.
// CHECK: builtin.unrealized_conversion_cast %{{.*}} : !llvm.struct<(ptr, ptr, i64)> to memref<f32>
// LLVM: llvm.func @kforge_scalar
module {
  func.func private @scalar(%task: index, %x: memref<f32>) {
    return
  }
}
