// What a GPU does not do is said in one line, with exit code 1.
// RUN: not kforge-run %s --target gpu --adapter none-of-these --input random:1 2>&1 | FileCheck %s --check-prefix=ADAPTER
// RUN: not kforge-run %s --target auto --adapter 99 --input random:1 2>&1 | FileCheck %s --check-prefix=NUMBER
// RUN: not kforge-run %s --target gpu --cpu-features avx2 --input random:1 2>&1 | FileCheck %s --check-prefix=FEATURES
// RUN: not kforge-run tune %s --target gpu --cpu-features avx2 2>&1 | FileCheck %s --check-prefix=FEATURES
// RUN: not kforge-run tune %s --target reference 2>&1 | FileCheck %s --check-prefix=TUNE
// RUN: not kforge-run tune %s --target gpu 2>&1 | FileCheck %s --check-prefix=NOTHING
// RUN: not kforge-opt %s --select-kernels="target=gpu+1024x1073741824 mode=tune" 2>&1 | FileCheck %s --check-prefix=MORE
// RUN: not kforge-opt %s --kforge-gpu=target=gpu+1x16384 2>&1 | FileCheck %s --check-prefix=LEAST
// RUN: not kforge-run bench matmul --m 4 --n 4 --k 4 --kernel gpu 2>&1 | FileCheck %s --check-prefix=KERNEL
// RUN: kforge-run emit-mlir --hidden 64 --heads 2 --layers 1 --ffn 64 --vocab 32 --kv-type q8 --phase decode > %t.mlir
// RUN: not kforge-run inspect --target gpu %t.mlir 2>&1 | FileCheck %s --check-prefix=Q8
// RUN: not kforge-run inspect --target auto %s 2>&1 | FileCheck %s --check-prefix=INSPECT
// RUN: not kforge-run compile --target gpu --emit llvm %s 2>&1 | FileCheck %s --check-prefix=COMPILE
// RUN: not kforge-run asm --target gpu %s 2>&1 | FileCheck %s --check-prefix=ASM

// ADAPTER: kforge-run: the GPU: there is no adapter 'none-of-these'; this machine has 0: {{.+}}
// NUMBER: kforge-run: the GPU: there is no adapter '99'; this machine has 0: {{.+}}
// FEATURES: kforge-run: --cpu-features narrows a CPU; leave it out, or take --target cpu
// TUNE: kforge-run: tune measures kernels of the CPU or a GPU; give --target cpu or gpu
// NOTHING: kforge-run: the module has no linear layer whose tile could be chosen
// MORE: error: {{.*}}has {{.*}}, not 1024x1073741824; kernels can use less of it, not more
// LEAST: error: {{.*}}no adapter has 1x16384: WebGPU promises 256x16384, threads and bytes of a workgroup
// KERNEL: kforge-run: --kernel gpu runs on a GPU; add --target gpu
// Q8: which no kernel of a GPU reads; use --kv-type f32 or f16, and --numerics exact
// INSPECT: kforge-run: inspect shows a launch program of the CPU or a GPU; give --target cpu or gpu
// COMPILE: kforge-run: compile makes machine code of a CPU; leave --target out
// ASM: kforge-run: asm shows what is compiled for a CPU; leave --target out

func.func @main(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %0 = arith.addf %x, %x : tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}
