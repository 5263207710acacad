// What is wrong with an option is said, and nothing is run.
// RUN: not kforge-opt %s --fuse-norm=max-rows=many 2>&1 | FileCheck %s --check-prefix=VALUE
// RUN: not kforge-opt %s --fuse-norm=max-rows=-1 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// RUN: not kforge-opt %s --fuse-norm=rows=1 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not kforge-opt %s --kforge-cpu=isa=mmx 2>&1 | FileCheck %s --check-prefix=ISA
// RUN: not kforge-opt %s --kforge-cpu=target=avx2 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not kforge-opt %s --kforge-gpu=adapter=f17 2>&1 | FileCheck %s --check-prefix=ADAPTER
// RUN: not kforge-opt %s --kforge-gpu=adapter=f16+12 2>&1 | FileCheck %s --check-prefix=LIMITS
// RUN: not kforge-opt %s --kforge-gpu=adapter=bindings8 2>&1 | FileCheck %s --check-prefix=BINDINGS
// RUN: not kforge-opt %s --kforge-gpu=isa=avx2 2>&1 | FileCheck %s --check-prefix=GPU
// RUN: not kforge-opt %s --kforge-fuse=isa=avx2 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not kforge-opt %s --fuse-everything 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// VALUE: 'many' value invalid
// NEGATIVE: error: 'func.func' op max-rows must not be negative
// NAME: no such option rows
// ISA: error: 'builtin.module' op unknown instruction set 'mmx'; use host, avx512vnni, avx512, avx2, sse2, neon or gpu
// TARGET: no such option target
// ADAPTER: error: 'builtin.module' op an adapter has no 'f17'; join f16, subgroups32, matrices, limits as 256x16384 and bindings8x134217728 by '+'
// LIMITS: error: 'builtin.module' op an adapter has no '12'; join f16, subgroups32, matrices, limits as 256x16384 and bindings8x134217728 by '+'
// BINDINGS: error: 'builtin.module' op 'bindings8' has no number of buffers and their bytes, as in bindings8x134217728
// GPU: error: bad options of the pipeline: isa=avx2
// NONE: the pipeline takes no options
// UNKNOWN: Unknown command line argument '--fuse-everything'

func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
