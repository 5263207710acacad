// RUN: kforge-opt %s --outline-groups --select-kernels=target=avx512 --tile | FileCheck %s --check-prefixes=CHECK,AVX512
// RUN: kforge-opt %s --outline-groups --select-kernels=target=avx2 --tile | FileCheck %s --check-prefixes=CHECK,AVX2
// RUN: kforge-opt %s --outline-groups --select-kernels=target=sse2 --tile | FileCheck %s --check-prefixes=CHECK,SSE2
// RUN: kforge-opt %s --outline-groups --select-kernels=target=neon --tile --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: {{^}}tile{{$}}
// STATS-NEXT: (S) 9 tiled

// One row group a register: wide outputs take four where there are registers, eight rows leave room for fewer.
// CHECK-LABEL: @gemv
// AVX512: <"gemv", tile = [32]>
// AVX2: <"gemv", tile = [32]>
// SSE2: <"gemv", tile = [32]>
// AVX512: <"gemv", tile = [64]>
// AVX2: <"gemv", tile = [64]>
// SSE2: <"gemv", tile = [32]>
// AVX512: <"gemv", tile = [48]>
// AVX2: <"gemv", tile = [16]>
// SSE2: <"gemv", tile = [16]>
func.func @gemv(%x: tensor<1x64xf32>, %y: tensor<8x64xf32>, %w: tensor<64x64xf32>, %v: tensor<8192x64xf32>)
    -> (tensor<1x64xf32>, tensor<1x8192xf32>, tensor<8x8192xf32>) {
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
  %1 = transformer.linear %x, %v : tensor<1x64xf32>, tensor<8192x64xf32> -> tensor<1x8192xf32>
  %2 = transformer.linear %y, %v : tensor<8x64xf32>, tensor<8192x64xf32> -> tensor<8x8192xf32>
  return %0, %1, %2 : tensor<1x64xf32>, tensor<1x8192xf32>, tensor<8x8192xf32>
}

// CHECK-LABEL: @gemm
// AVX512: <"gemm", tile = [128, 8, 32]>
// AVX2: <"gemm", tile = [132, 6, 16]>
// SSE2: <"gemm", tile = [129, 3, 16]>
func.func @gemm(%x: tensor<?x64xf32>, %w: tensor<64x64xf32>) -> tensor<?x64xf32> {
  %0 = transformer.linear %x, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  return %0 : tensor<?x64xf32>
}

// Where 32 registers hold three row groups, they do if no columns are left over.
// CHECK-LABEL: @gemm_of_threes
// AVX512: <"gemm", tile = [128, 8, 48]>
// AVX2: <"gemm", tile = [132, 6, 16]>
// SSE2: <"gemm", tile = [129, 3, 16]>
func.func @gemm_of_threes(%x: tensor<?x64xf32>, %w: tensor<192x64xf32>) -> tensor<?x192xf32> {
  %0 = transformer.linear %x, %w : tensor<?x64xf32>, tensor<192x64xf32> -> tensor<?x192xf32>
  return %0 : tensor<?x192xf32>
}

// CHECK-LABEL: @attention
// CHECK: <"attention", tile = [1, 2, 8]>
// CHECK: <"attention", tile = [4, 1, 1]>
// CHECK: <"rowwise">
func.func @attention(%q: tensor<1x1x4x16xf32>, %p: tensor<1x?x4x16xf32>, %k: tensor<1x8x2x16xf32>) -> (tensor<1x1x4x16xf32>, tensor<1x?x4x16xf32>) {
  %0 = transformer.attention %q, %k, %k : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  %1 = transformer.attention %p, %k, %k : tensor<1x?x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  %2 = transformer.softmax %1 : tensor<1x?x4x16xf32>
  return %0, %2 : tensor<1x1x4x16xf32>, tensor<1x?x4x16xf32>
}

// A tile written by hand stays.
// CHECK-LABEL: @by_hand
// CHECK: <"gemv", tile = [16]>
func.func @by_hand(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.fused(%a = %x : tensor<1x64xf32>, %b = %w : tensor<64x64xf32>) -> tensor<1x64xf32> kernel #transformer.kernel<"gemv", tile = [16]> {
    %1 = transformer.linear %a, %b : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
    transformer.yield %1 : tensor<1x64xf32>
  }
  return %0 : tensor<1x64xf32>
}

// A GPU's tiles: by rows and columns of the result, whatever the weight is stored in, and within what the adapter has.
// RUN: kforge-opt %s --outline-groups --select-kernels="target=gpu+f16+subgroups32+matrices+1024x49152" --tile | FileCheck %s --check-prefix=GPU
// RUN: kforge-opt %s --outline-groups --select-kernels="target=gpu+f16+subgroups32+matrices+1024x49152 factors=f16" --tile | FileCheck %s --check-prefix=MMA
// RUN: kforge-opt %s --outline-groups --select-kernels=target=gpu --tile | FileCheck %s --check-prefix=PROMISED
// GPU-LABEL: @prompt
// GPU: <"gemm", tile = [128, 128, 32, 8, 8]>
// GPU: <"gemm", tile = [64, 64, 16, 8, 4]>
// PROMISED-LABEL: @prompt
// PROMISED: <"gemm", tile = [64, 64, 16, 8, 4]>
// PROMISED: <"gemm", tile = [64, 64, 16, 8, 4]>
// MMA-LABEL: @prompt
// MMA: <"mma", tile = [128, 128, 64, 32, 64]>
// MMA: <"mma", tile = [32, 64, 32, 16, 32]>
func.func @prompt(%x: tensor<?x256xf32>, %w: !transformer.quant<q4_k, 4096x256>, %v: tensor<1024x256xf32>)
    -> (tensor<?x4096xf32>, tensor<?x1024xf32>) {
  %0 = transformer.linear %x, %w : tensor<?x256xf32>, !transformer.quant<q4_k, 4096x256> -> tensor<?x4096xf32>
  %1 = transformer.linear %x, %v : tensor<?x256xf32>, tensor<1024x256xf32> -> tensor<?x1024xf32>
  return %0, %1 : tensor<?x4096xf32>, tensor<?x1024xf32>
}
