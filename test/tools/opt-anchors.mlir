// Pipelines are of modules. Anywhere else they are an error, not nothing.
// RUN: not kforge-opt %s --pass-pipeline='builtin.module(func.func(kforge-fuse))' 2>&1 | FileCheck %s --check-prefix=NESTED
// RUN: not kforge-opt %s --no-implicit-module --kforge-fuse 2>&1 | FileCheck %s --check-prefix=TOP
// RUN: not kforge-opt %s --pass-pipeline='builtin.module(func.func(kforge-cpu{target=avx2}))' 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: not kforge-opt %s --pass-pipeline='builtin.module(func.func(kforge-llvm))' 2>&1 | FileCheck %s --check-prefix=LLVM
// RUN: not kforge-opt %s --pass-pipeline='any(kforge-fuse)' 2>&1 | FileCheck %s --check-prefix=ANY
// RUN: kforge-opt %s --pass-pipeline='builtin.module(kforge-fuse)' | FileCheck %s --check-prefix=FUSED
// RUN: kforge-opt %s --no-implicit-module --outline-groups | FileCheck %s --check-prefix=FUSED

// A pass of another op does not run either.
// RUN: not kforge-opt %s --pass-pipeline='builtin.module(func.func(select-kernels))' 2>&1 | FileCheck %s --check-prefix=PASS
// RUN: not kforge-opt %s --pass-pipeline='builtin.module(fuse-qkv)' 2>&1 | FileCheck %s --check-prefix=FUNCTION

// NESTED: the pipeline 'kforge-fuse' runs on builtin.module, not on func.func; use it as --kforge-fuse on a module, or as --pass-pipeline='builtin.module(kforge-fuse)'
// TOP: the pipeline 'kforge-fuse' runs on builtin.module, not on func.func
// CPU: the pipeline 'kforge-cpu' runs on builtin.module, not on func.func
// LLVM: the pipeline 'kforge-llvm' runs on builtin.module, not on func.func
// ANY: the pipeline 'kforge-fuse' runs on builtin.module, not on any
// FUSED: transformer.fused
// PASS: Can't add pass 'select-kernels' restricted to 'builtin.module' on a PassManager intended to run on 'func.func', did you intend to nest?
// FUNCTION: Can't add pass 'fuse-qkv' restricted to 'func.func' on a PassManager intended to run on 'builtin.module', did you intend to nest?

func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.silu %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}
