// Products of integers for every block format, down to the LLVM dialect of each instruction set: nothing else is left,
// and nothing calls a library.
// RUN: kforge-opt %s --kforge-cpu=target=avx512+vnni | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=avx512 | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=sse2 | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=neon | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=avx512+vnni | FileCheck %s --check-prefix=VNNI
// RUN: kforge-opt %s --kforge-cpu=target=avx512 | FileCheck %s --check-prefix=AVX512
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | FileCheck %s --check-prefix=AVX2
// RUN: kforge-opt %s --kforge-cpu=target=sse2 | FileCheck %s --check-prefix=PLAIN
// RUN: kforge-opt %s --kforge-cpu=target=neon | FileCheck %s --check-prefix=PLAIN

// CHECK-NOT: transformer.target
// CHECK-LABEL: module
// CHECK-NOT: {{(arith|math|vector|memref|scf|cf|func|index|tensor|builtin|ub|ml_program|transformer)[.][a-z_]+[ (]}}
// CHECK-NOT: llvm.call @{{[a-z0-9]+[ (]}}
// CHECK-NOT: llvm.func @{{[a-z0-9]+[ (]}}
// CHECK-NOT: llvm.intr.{{(exp|exp2|exp10|log|log2|log10|sin|cos|tan|tanh|pow|powi|erf)[ (.]}}
// CHECK: llvm.func @kforge_{{.*}}(%{{.*}}: !llvm.ptr, %{{.*}}: i64)

// VNNI-NOT: pmaddubs
// VNNI: vpdpbusd.512
// VNNI-NOT: pmaddubs
// VNNI: avx512.pshuf.b.512
// VNNI-NOT: pmaddubs
// AVX512-NOT: {{vpdpbusd|avx2}}
// AVX512: avx512.pmaddubs.w.512
// AVX512: avx512.pshuf.b.512
// AVX512-NOT: {{vpdpbusd|avx2}}
// AVX2-NOT: avx512
// AVX2: avx2.pmadd.ub.sw
// AVX2: avx2.psign.b
// AVX2: avx2.pshuf.b
// AVX2-NOT: avx512
// PLAIN-NOT: llvm.call_intrinsic

func.func @q4_0(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q4_0, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q4_0, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q4_0, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q4_1(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q4_1, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q4_1, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q4_1, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q5_0(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q5_0, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q5_0, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q5_0, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q5_1(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q5_1, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q5_1, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q5_1, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q8_0(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q8_0, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q8_0, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q8_0, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q4_k(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q4_k, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q4_k, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q4_k, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q5_k(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q5_k, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q5_k, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q5_k, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q6_k(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q6_k, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q6_k, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q6_k, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @iq4_nl(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<iq4_nl, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<iq4_nl, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<iq4_nl, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @iq4_xs(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<iq4_xs, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<iq4_xs, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<iq4_xs, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q3_k(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q3_k, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q3_k, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q3_k, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @q2_k(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<q2_k, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<q2_k, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<q2_k, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}

func.func @mxfp4(%x: tensor<1x256xf32>, %y: tensor<?x256xf32>, %w: !transformer.quant<mxfp4, 64x256>) -> (tensor<1x64xf32>, tensor<?x64xf32>) {
  %0 = transformer.quantize %x : tensor<1x256xf32>
  %1 = transformer.linear %0, %w : tensor<1x256xf32>, !transformer.quant<mxfp4, 64x256> -> tensor<1x64xf32>
  %2 = transformer.quantize %y : tensor<?x256xf32>
  %3 = transformer.linear %2, %w : tensor<?x256xf32>, !transformer.quant<mxfp4, 64x256> -> tensor<?x64xf32>
  return %1, %3 : tensor<1x64xf32>, tensor<?x64xf32>
}
