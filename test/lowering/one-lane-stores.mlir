// The 17th column of a row is one lane of a masked store: two bytes of bf16, no more, whatever LLVM makes of such a store.
// RUN: kforge-run compile %s --target-triple x86_64-unknown-linux-gnu --cpu-features avx512 --emit asm | FileCheck %s

// CHECK-LABEL: kforge_rowwise_0:
// CHECK: vpmovdw{{.*}}zmm{{.*}}, (
// CHECK-NOT: vmovd{{.*}}xmm{{.*}}, {{[0-9]*}}(
// CHECK: movw{{.*}}, 32(
// CHECK-NEXT: vzeroupper
// CHECK-NEXT: retq

func.func @norm(%x: tensor<?x17xbf16>, %w: tensor<17xf32>) -> tensor<?x17xbf16> {
  %0 = transformer.rms_norm %x, %w {eps = 1.0e-5 : f32} : tensor<?x17xbf16>, tensor<17xf32>
  return %0 : tensor<?x17xbf16>
}
