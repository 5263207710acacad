// Every pass is listed, in the order of the pipeline, and in the help with its options.
// RUN: kforge-opt --show-passes | FileCheck %s
// RUN: kforge-opt --help | FileCheck %s --check-prefix=HELP
// RUN: kforge-opt --show-passes=markdown | FileCheck %s --check-prefix=MARKDOWN

// CHECK: --decompose-mlp {{.*}}Spell out transformer.mlp
// CHECK-NEXT: --decompose-decoder-block
// CHECK-NEXT: --quantize-activations
// CHECK-NEXT: --fuse-qkv
// CHECK-NEXT: --fuse-gate-up
// CHECK-NEXT: --fuse-norm
// CHECK-NEXT: --fuse-epilogue
// CHECK-NEXT: --fuse-rope-kv
// CHECK-NEXT: --fuse-rope-attention
// CHECK-NEXT: --outline-constants
// CHECK-NEXT: --outline-groups
// CHECK-NEXT: --select-kernels
// CHECK-NEXT: --tile
// CHECK-NEXT: --lower-to-launches
// CHECK-NEXT: --plan-memory
// CHECK-NEXT: --kernel-entries
// CHECK-NOT: --

// HELP: Available Dialects: {{.*}}transformer
// HELP: --decompose-decoder-block {{.*}}Spell out transformer.decoder_block
// HELP: --fuse-norm
// HELP-NEXT: --max-rows={{.*}}Most rows to normalise again in every task
// HELP: --select-kernels
// HELP-NEXT: --budget=
// HELP-NEXT: --factors=
// HELP-NEXT: --mode={{.*}}What is asked of the tuner: off, cached-only, tune or incremental
// HELP-NEXT: --target={{.*}}What kernels are for: host, an instruction set as avx512+vnni, avx512, avx2, sse2 or neon, or gpu
// HELP-NEXT: --threads=
// A pipeline shows the options that it takes.
// HELP: --kforge-cpu
// HELP-NEXT: --budget=
// HELP-NEXT: --fuse={{.*}}Which ops share a kernel: all, none, or some of qkv,gate-up,norm,epilogue,rope-kv,rope-attention
// HELP-NEXT: --mode=
// HELP-NEXT: --numerics=
// HELP-NEXT: --target={{.*}}What kernels are for
// HELP-NEXT: --threads=
// HELP-NEXT: --kforge-fuse
// HELP-NEXT: --kforge-gpu
// HELP-NEXT: --budget=
// HELP-NEXT: --fuse=
// HELP-NEXT: --mode=
// HELP-NEXT: --numerics=
// HELP-NEXT: --target=
// HELP-NEXT: --threads=
// HELP-NEXT: --kforge-llvm
// HELP: --show-passes{{.*}}List the passes of KernelForge and exit

// MARKDOWN: | `fuse-norm` | `func.func` | {{.*}} | `max-rows` (8): {{.*}} | `fused`: norms grouped |
// MARKDOWN: | `kforge-cpu` | {{.*}} | `target` (host): {{.*}} | `{{.*}}select-kernels{target=host},func.func(tile)
// MARKDOWN: | `kforge-gpu` | {{.*}} | `target` (gpu): {{.*}} | `{{.*}}select-kernels{target=gpu},func.func(tile)
