// One kernel to read: names, assembly, LLVM IR, MLIR, for this machine and others.
// RUN: kforge-run asm %s | FileCheck %s --check-prefix=NAMES
// RUN: kforge-run asm %s --kernel kforge_gemv_1 --target-triple x86_64-unknown-linux-gnu | FileCheck %s --check-prefix=AVX2
// RUN: kforge-run asm %s --kernel gemv_1 --target-triple x86_64-unknown-linux-gnu --cpu-features avx512 | FileCheck %s --check-prefix=AVX512
// RUN: kforge-run asm %s --kernel gemv_1 --target-triple x86_64-unknown-linux-gnu --cpu-features sse2 | FileCheck %s --check-prefix=SSE2
// RUN: kforge-run asm %s --kernel gemv_1 --target-triple aarch64-unknown-linux-gnu | FileCheck %s --check-prefix=NEON
// RUN: kforge-run asm - --kernel kforge_gemv_1 --llvm --target-triple aarch64-unknown-linux-gnu < %s | FileCheck %s --check-prefix=LLVM
// RUN: kforge-run asm %s --kernel kforge_gemv_1 --mlir | FileCheck %s --check-prefix=MLIR
// RUN: kforge-run asm %s --fuse none | FileCheck %s --check-prefix=APART
// RUN: kforge-run asm --model random:tiny | FileCheck %s --check-prefix=MODEL
// RUN: not kforge-run asm %s --kernel kforge_gemv_7 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not kforge-run asm %s --kernel f 2>&1 | FileCheck %s --check-prefix=FUNCTION
// RUN: not kforge-run asm %s --llvm --mlir 2>&1 | FileCheck %s --check-prefix=BOTH
// RUN: not kforge-run asm 2>&1 | FileCheck %s --check-prefix=NOTHING
// RUN: not kforge-run asm %S/none.mlir 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not kforge-run asm %s --target reference 2>&1 | FileCheck %s --check-prefix=TARGET

// NAMES: kforge_rowwise_0{{.*}}softmax
// NAMES-NEXT: kforge_gemv_1{{.*}}linear+gelu
// NAMES-NOT: kforge

// The other kernel is not there.
// AVX2-NOT: rowwise
// AVX2: gemv_1:
// AVX2: vfmadd{{.*}}%ymm
// AVX2: kforge_gemv_1:
// AVX2-NOT: rowwise
// AVX512: gemv_1:
// AVX512: vfmadd{{.*}}%zmm
// SSE2: gemv_1:
// SSE2-NOT: vfmadd
// SSE2: mulps{{.*}}%xmm
// NEON: gemv_1:
// NEON: fmla{{.*}}.4s

// LLVM-NOT: rowwise
// LLVM: target triple = "aarch64-unknown-linux-gnu"
// LLVM: define void @gemv_1(
// LLVM: define void @kforge_gemv_1(ptr {{.*}}, i64 {{.*}})
// LLVM-NOT: rowwise

// MLIR: func.func private @gemv_1(
// MLIR: vector.load
// MLIR-NOT: func.func

// APART: kforge_gemv_1{{.*}}linear
// APART-NEXT: kforge_elementwise_2{{.*}}gelu

// MODEL: kforge_embedding_0{{.*}}embedding
// MODEL: kforge_gemm_{{[0-9]+}}{{.*}}linear x2+swiglu
// MODEL: kforge_gemv_{{[0-9]+}}{{.*}}norm+linear x2+swiglu

// UNKNOWN: kforge-run: there is no kernel 'kforge_gemv_7'; the module has kforge_rowwise_0, kforge_gemv_1
// FUNCTION: kforge-run: there is no kernel 'f'; the module has kforge_rowwise_0, kforge_gemv_1
// BOTH: error: the argument '--llvm' cannot be used with '--mlir'
// NOTHING: error: the following required arguments were not provided:
// NONE: kforge-run: {{.*}}none.mlir cannot be read
// TARGET: kforge-run: asm shows what is compiled for a CPU; leave --target out

func.func @f(%x: tensor<1x64xf32>, %w: tensor<40x64xf32>) -> tensor<1x40xf32> {
  %0 = transformer.softmax %x : tensor<1x64xf32>
  %1 = transformer.linear %0, %w : tensor<1x64xf32>, tensor<40x64xf32> -> tensor<1x40xf32>
  %2 = transformer.gelu %1 : tensor<1x40xf32>
  return %2 : tensor<1x40xf32>
}
