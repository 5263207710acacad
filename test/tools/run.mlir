// Functions of tensors on either target, to standard output as mlir-runner prints, or to a file.
// RUN: kforge-run %s --entry double --input random:1 | FileCheck %s --check-prefix=DOUBLE
// RUN: kforge-run %s --entry double --input random:1 --target reference | FileCheck %s --check-prefix=DOUBLE
// RUN: kforge-run --target reference %s --entry double --input random:1 --output %t.npy
// RUN: kforge-run %s --entry double --input %t.npy | FileCheck %s --check-prefix=AGAIN
// RUN: kforge-run %s --entry gram --input random:2:3x17 --compare reference 2>&1 | FileCheck %s --check-prefix=GRAM
// RUN: not kforge-run %s --entry gram --input random:2:3x17 --compare reference --tolerance 0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not kforge-run %s --entry gram --input random:2:3x17 --compare reference --tolerance -1 2>&1 | FileCheck %s --check-prefix=BELOW

// The default tolerance follows from element types, lengths of sums and numerics: right answers of each pass.
// RUN: kforge-run %s --entry half --input random:1:5x64 --input random:2 --input random:3 --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=RIGHT
// RUN: kforge-run %s --entry brain --input random:1:5x64 --input random:2 --input random:3 --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=RIGHT
// RUN: kforge-run %s --entry blocks --input random:1:5x4096 --input random:2 --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=RIGHT
// RUN: kforge-run %s --entry blocks --input random:1:5x4096 --input random:2 --numerics fast --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=RIGHT
// RUN: kforge-run inspect %s | FileCheck %s --check-prefix=INSPECT

// DOUBLE: Unranked Memref base@ = {{.*}} rank = 2 offset = 0 sizes = [2, 3] strides = [3, 1] data =
// DOUBLE-NEXT: {{\[\[}}0.266246, {{.*}}]{{,?}}
// AGAIN: {{\[\[}}0.532492,
// GRAM: sizes = [3, 3]
// GRAM: result 0: max abs {{.*}} over 9 elements
// GRAM-NOT: outside
// ZERO: over 9 elements; {{[0-9]+}} outside the tolerance, first at [{{[0-2]}}, {{[0-2]}}]:
// BELOW: error: invalid value '-1' for '--tolerance <T>':
// RIGHT: result 0: max abs {{.*}} elements{{$}}
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

func.func @half(%x: tensor<?x64xf16>, %w: tensor<96x64xf16>, %b: tensor<96xf16>) -> tensor<?x96xf16> {
  %0 = transformer.linear %x, %w bias %b : tensor<?x64xf16>, tensor<96x64xf16>, tensor<96xf16> -> tensor<?x96xf16>
  %1 = transformer.gelu %0 : tensor<?x96xf16>
  return %1 : tensor<?x96xf16>
}

func.func @brain(%x: tensor<?x64xbf16>, %w: tensor<96x64xbf16>, %b: tensor<96xbf16>) -> tensor<?x96xbf16> {
  %0 = transformer.linear %x, %w bias %b : tensor<?x64xbf16>, tensor<96x64xbf16>, tensor<96xbf16> -> tensor<?x96xbf16>
  %1 = transformer.softmax %0 : tensor<?x96xbf16>
  return %1 : tensor<?x96xbf16>
}

func.func @blocks(%x: tensor<?x4096xf32>, %w: !transformer.quant<q4_k, 96x4096>) -> tensor<?x96xf32> {
  %0 = transformer.linear %x, %w : tensor<?x4096xf32>, !transformer.quant<q4_k, 96x4096> -> tensor<?x96xf32>
  return %0 : tensor<?x96xf32>
}
