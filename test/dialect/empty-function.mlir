// A function may have the empty name.
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=avx2 --kforge-llvm | FileCheck %s --check-prefix=LLVM
// RUN: kforge-run %s --entry "" --input random:1 --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=SAME
// RUN: kforge-run %s --entry "" --input random:1 --target gpu --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=SAME
// RUN: kforge-run asm %s | FileCheck %s --check-prefix=ASM
// RUN: not kforge-run %s --input random:1 2>&1 | FileCheck %s --check-prefix=OTHER

// MLIR prints the empty name so.
// CHECK: func.func @<<INVALID EMPTY SYMBOL>>(
// LLVM: llvm.func @kforge_rowwise_0(
// SAME: result 0: max abs
// ASM: kforge_rowwise_0 {{.*}}softmax
// OTHER: kforge-run: there is no function 'main'; the module has {{$}}

func.func @""(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %y = transformer.softmax %x : tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
