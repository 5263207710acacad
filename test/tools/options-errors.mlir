// What is wrong with an option is said, and nothing is run.
// RUN: not kforge-opt %s --fuse-norm=max-rows=many 2>&1 | FileCheck %s --check-prefix=VALUE
// RUN: not kforge-opt %s --fuse-norm=max-rows=-1 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// RUN: not kforge-opt %s --fuse-norm=rows=1 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not kforge-opt %s --kforge-cpu=target=mmx 2>&1 | FileCheck %s --check-prefix=ISA
// RUN: not kforge-opt %s --kforge-cpu=target=gpu 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not kforge-opt %s --kforge-cpu=isa=avx2 2>&1 | FileCheck %s --check-prefix=ISA-OPTION
// RUN: not kforge-opt %s --kforge-cpu=fuse=softmax 2>&1 | FileCheck %s --check-prefix=FUSE
// RUN: not kforge-opt %s --kforge-cpu=numerics=half 2>&1 | FileCheck %s --check-prefix=NUMERICS
// RUN: not kforge-opt %s --kforge-gpu=target=gpu+f17 2>&1 | FileCheck %s --check-prefix=ADAPTER
// RUN: not kforge-opt %s --kforge-gpu=target=gpu+f16+12 2>&1 | FileCheck %s --check-prefix=LIMITS
// RUN: not kforge-opt %s --kforge-gpu=target=gpu+bindings8 2>&1 | FileCheck %s --check-prefix=BINDINGS
// RUN: not kforge-opt %s --kforge-gpu=target=avx2 2>&1 | FileCheck %s --check-prefix=GPU
// RUN: not kforge-opt %s --kforge-fuse=target=avx2 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not kforge-opt %s --fuse-everything 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// VALUE: 'many' value invalid
// NEGATIVE: error: 'func.func' op max-rows must not be negative
// NAME: no such option rows
// ISA: error: the pipeline 'kforge-cpu': unknown target 'mmx'; use host, avx512+vnni, avx512, avx2, sse2, neon, or gpu and what its adapter has, as gpu+f16
// TARGET: error: the pipeline 'kforge-cpu': target=gpu+256x16384 is for --kforge-gpu
// ISA-OPTION: no such option isa
// FUSE: error: the pipeline 'kforge-cpu': there is no fusion 'softmax'; use all, none, or some of qkv,
// NUMERICS: error: the pipeline 'kforge-cpu': unknown numerics 'half'; use exact or fast
// ADAPTER: error: the pipeline 'kforge-gpu': an adapter has no 'f17'; join f16, subgroups32, matrices, limits as 256x16384 and bindings8x134217728 by '+'
// LIMITS: error: the pipeline 'kforge-gpu': an adapter has no '12'; join f16, subgroups32, matrices, limits as 256x16384 and bindings8x134217728 by '+'
// BINDINGS: error: the pipeline 'kforge-gpu': 'bindings8' has no number of buffers and their bytes, as in bindings8x134217728
// GPU: error: the pipeline 'kforge-gpu': target=avx2 is for --kforge-cpu
// NONE: the pipeline takes no options
// UNKNOWN: Unknown command line argument '--fuse-everything'

func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
