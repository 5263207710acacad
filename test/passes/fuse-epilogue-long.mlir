// A chain of 100 ops is not all in one kernel: a group ends at 64 ops, and the rest are kernels of their own.
// RUN: { echo 'func.func @f(%%x: tensor<1x64xf32>, %%w: tensor<64x64xf32>) -> tensor<1x64xf32> {'; \
// RUN:   echo '%%y0 = transformer.linear %%x, %%w : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>'; \
// RUN:   for i in $(seq 100); do echo "%%y$i = transformer.silu %%y$((i - 1)) : tensor<1x64xf32>"; done; \
// RUN:   echo 'return %%y100 : tensor<1x64xf32> }'; } > %t.mlir
// RUN: kforge-opt %t.mlir --fuse-epilogue --outline-groups --mlir-pass-statistics 2>&1 | FileCheck %s

// CHECK: (S) 63 fused
// CHECK: (S) 38 outlined
// CHECK-NEXT: (S) 101 ops
