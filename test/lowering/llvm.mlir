// Every kernel family down to the LLVM dialect: nothing else is left, and nothing calls a library. An intrinsic that
// code generation would turn into a call to one counts as a call; without FMA or half-precision conversion in hardware
// (sse2) those are such too.
// RUN: kforge-opt %s --kforge-cpu=target=avx512 | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=neon | kforge-opt --kforge-llvm | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=sse2 | kforge-opt --kforge-llvm | FileCheck %s --check-prefixes=CHECK,SSE2

// CHECK-NOT: transformer.target
// CHECK-LABEL: module
// CHECK-NOT: {{(arith|math|vector|memref|scf|cf|func|index|tensor|builtin|ub|ml_program|transformer)[.][a-z_]+[ (]}}
// CHECK-NOT: llvm.call @{{[a-z0-9]+[ (]}}
// CHECK-NOT: llvm.func @{{[a-z0-9]+[ (]}}
// CHECK-NOT: llvm.intr.{{(exp|exp2|exp10|log|log2|log10|sin|cos|tan|tanh|pow|powi|erf)[ (.]}}
// SSE2-NOT: llvm.intr.{{fma|fmuladd}}
// SSE2-NOT: {{llvm.fp(ext|trunc) .*f16}}
// Entries are in reverse order: this is the last.
// CHECK: llvm.func @kforge_gemv_0(%{{.*}}: !llvm.ptr, %{{.*}}: i64)

func.func @gemv_q4_0(%x: tensor<1x64xf32>, %w: !transformer.quant<q4_0, 64x64>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, !transformer.quant<q4_0, 64x64> -> tensor<1x64xf32>
  %1 = transformer.gelu %0 : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

func.func @gemv_q4_1(%x: tensor<1x64xf32>, %w: !transformer.quant<q4_1, 64x64>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<1x64xf32>
  %1 = transformer.gelu %0 : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

func.func @gemv_q5_0(%x: tensor<1x64xf32>, %w: !transformer.quant<q5_0, 64x64>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, !transformer.quant<q5_0, 64x64> -> tensor<1x64xf32>
  %1 = transformer.gelu %0 : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

func.func @gemv_q5_1(%x: tensor<1x64xf32>, %w: !transformer.quant<q5_1, 64x64>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, !transformer.quant<q5_1, 64x64> -> tensor<1x64xf32>
  %1 = transformer.gelu %0 : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

func.func @gemv_q8_0(%x: tensor<1x64xf32>, %w: !transformer.quant<q8_0, 64x64>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, !transformer.quant<q8_0, 64x64> -> tensor<1x64xf32>
  %1 = transformer.gelu %0 : tensor<1x64xf32>
  return %1 : tensor<1x64xf32>
}

func.func @gemv_q4_k(%x: tensor<1x256xf32>, %w: !transformer.quant<q4_k, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<q4_k, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_q5_k(%x: tensor<1x256xf32>, %w: !transformer.quant<q5_k, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<q5_k, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_q6_k(%x: tensor<1x256xf32>, %w: !transformer.quant<q6_k, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<q6_k, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_iq4_nl(%x: tensor<1x64xf32>, %w: !transformer.quant<iq4_nl, 64x64>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, !transformer.quant<iq4_nl, 64x64> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_iq4_xs(%x: tensor<1x256xf32>, %w: !transformer.quant<iq4_xs, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<iq4_xs, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_mxfp4(%x: tensor<1x256xf32>, %w: !transformer.quant<mxfp4, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<mxfp4, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_q2_k(%x: tensor<1x256xf32>, %w: !transformer.quant<q2_k, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<q2_k, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemv_q3_k(%x: tensor<1x256xf32>, %w: !transformer.quant<q3_k, 64x256>) -> tensor<1x64xf32> {
  %0 = transformer.linear %x, %w : tensor<1x256xf32>, !transformer.quant<q3_k, 64x256> -> tensor<1x64xf32>
  return %0 : tensor<1x64xf32>
}

func.func @gemm(%x: tensor<?x64xf32>, %w: !transformer.quant<q4_1, 64x64>, %b: tensor<64xf32>) -> tensor<?x64xf32> {
  %0 = transformer.linear %x, %w bias %b : tensor<?x64xf32>, !transformer.quant<q4_1, 64x64>, tensor<64xf32> -> tensor<?x64xf32>
  %1 = transformer.gelu %0 {approximate = "tanh"} : tensor<?x64xf32>
  return %1 : tensor<?x64xf32>
}

func.func @gemm_half(%x: tensor<?x64xf32>, %h: tensor<64x64xf16>, %b: tensor<64x64xbf16>) -> tensor<?x64xf32> {
  %0 = transformer.linear %x, %h : tensor<?x64xf32>, tensor<64x64xf16> -> tensor<?x64xf32>
  %1 = transformer.linear %0, %b : tensor<?x64xf32>, tensor<64x64xbf16> -> tensor<?x64xf32>
  %2 = transformer.silu %1 : tensor<?x64xf32>
  return %2 : tensor<?x64xf32>
}

func.func @embedding(%i: tensor<?xi32>, %w: !transformer.quant<q4_1, 64x64>) -> tensor<?x64xf32> {
  %0 = transformer.embedding %i, %w : tensor<?xi32>, !transformer.quant<q4_1, 64x64> -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

func.func @norms(%x: tensor<?x64xf32>, %g: tensor<64xf32>) -> tensor<?x64xf32> {
  %0 = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>
  %1 = transformer.layer_norm %0, %g, %g {eps = 1.0e-5 : f32} : tensor<?x64xf32>, tensor<64xf32>, tensor<64xf32>
  %2 = transformer.softmax %1 : tensor<?x64xf32>
  return %2 : tensor<?x64xf32>
}

func.func @elementwise(%x: tensor<?x64xf32>, %y: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %0 = transformer.swiglu %x, %y : tensor<?x64xf32>
  %1 = math.exp %0 : tensor<?x64xf32>
  %2 = math.tanh %1 : tensor<?x64xf32>
  %3 = arith.divf %2, %x : tensor<?x64xf32>
  return %3 : tensor<?x64xf32>
}

func.func @matmul(%a: tensor<4x16xf32>, %b: tensor<4x16xf32>) -> tensor<4x4xf32> {
  %0 = transformer.matmul %a, %b {transpose_b} : tensor<4x16xf32>, tensor<4x16xf32> -> tensor<4x4xf32>
  return %0 : tensor<4x4xf32>
}

func.func @rope_interleaved(%q: tensor<1x?x4x16xf32>, %at: tensor<1xi32>) -> tensor<1x?x4x16xf32> {
  %0 = transformer.rope %q at %at {mode = "interleaved", base = 1.0e5 : f32} : tensor<1x?x4x16xf32>, tensor<1xi32>
  return %0 : tensor<1x?x4x16xf32>
}

func.func @rope_half(%q: tensor<1x?x4x16xf32>, %at: tensor<1xi32>) -> tensor<1x?x4x16xf32> {
  %0 = transformer.rope %q at %at {mode = "half", base = 1.0e5 : f32} : tensor<1x?x4x16xf32>, tensor<1xi32>
  return %0 : tensor<1x?x4x16xf32>
}

func.func @attention(%q: tensor<1x?x4x16xf32>, %k: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x?x4x16xf32> {
  %0 = transformer.attention %q, %k, %k at %at {causal, softcap = 50.0 : f32, window = 4 : i64} : tensor<1x?x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  return %0 : tensor<1x?x4x16xf32>
}

func.func @update(%k: tensor<1x8x2x16xf16>, %u: tensor<1x?x2x16xf16>, %at: tensor<1xi32>) -> tensor<1x8x2x16xf16> {
  %0 = transformer.kv_update %k, %u at %at : tensor<1x8x2x16xf16>, tensor<1x?x2x16xf16>, tensor<1xi32>
  return %0 : tensor<1x8x2x16xf16>
}
