// Functions of tensors on either target, to standard output as mlir-runner prints, or to a file.
// RUN: kforge-run %s --entry double --input random:1 | FileCheck %s --check-prefix=DOUBLE
// RUN: kforge-run %s --entry double --input random:1 --target reference | FileCheck %s --check-prefix=DOUBLE
// RUN: kforge-run --target reference %s --entry double --input random:1 --output %t.npy
// RUN: kforge-run %s --entry double --input %t.npy | FileCheck %s --check-prefix=AGAIN
// RUN: kforge-run %s --entry gram --input random:2:3x17 --compare reference 2>&1 | FileCheck %s --check-prefix=GRAM
// RUN: not kforge-run %s --entry gram --input random:2:3x17 --compare reference --tolerance 0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: kforge-run inspect %s | FileCheck %s --check-prefix=INSPECT

// DOUBLE: Unranked Memref base@ = {{.*}} rank = 2 offset = 0 sizes = [2, 3] strides = [3, 1] data =
// DOUBLE-NEXT: {{\[\[}}0.266246, {{.*}}]{{,?}}
// AGAIN: {{\[\[}}0.532492,
// GRAM: sizes = [3, 3]
// GRAM: result 0: max abs {{.*}} over 9 elements
// GRAM-NOT: outside
// ZERO: over 9 elements; {{[0-9]+}} outside the tolerance, first at [{{[0-2]}}, {{[0-2]}}]:
// INSPECT: double(tensor<2x3xf32>) -> (tensor<2x3xf32>)
// INSPECT: gram(tensor<s0x17xf32>) -> (tensor<s0xs0xf32>)
// INSPECT: kforge_matmul_1

func.func @double(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %0 = arith.addf %x, %x : tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

func.func @gram(%x: tensor<?x17xf32>) -> tensor<?x?xf32> {
  %0 = transformer.matmul %x, %x {transpose_b} : tensor<?x17xf32>, tensor<?x17xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}
