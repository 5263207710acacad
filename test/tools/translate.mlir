// kforge-translate: one kernel or all, from a file or standard input, in each language, and what is wrong in one line.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s --check-prefix=ALL
// RUN: kforge-translate --mlir-to-wgsl - --kernel second < %s | FileCheck %s --check-prefix=ONE
// RUN: kforge-translate --mlir-to-wgsl %s --kernel first -o %t.wgsl && FileCheck %s --check-prefix=FIRST < %t.wgsl
// RUN: kforge-translate --mlir-to-wgsl %s --kernel second --emit msl | FileCheck %s --check-prefix=METAL
// RUN: kforge-translate --mlir-to-wgsl %s --kernel second --emit hlsl | FileCheck %s --check-prefix=DIRECTX
// RUN: kforge-translate --mlir-to-wgsl %s --kernel second --emit spirv -o %t.spv && od -A n -t x4 -N 4 %t.spv | FileCheck %s --check-prefix=SPIRV
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel second --emit spirv 2>&1 | FileCheck %s --check-prefix=BINARY
// RUN: not kforge-translate --mlir-to-wgsl %s --emit spirv -o %t.spv 2>&1 | FileCheck %s --check-prefix=SEVERAL
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel third 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel threads --emit msl 2>&1 | FileCheck %s --check-prefix=THREADS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel memory --emit msl 2>&1 | FileCheck %s --check-prefix=MEMORY
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel threads --emit hlsl 2>&1 | FileCheck %s --check-prefix=NUMTHREADS
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel memory --emit hlsl 2>&1 | FileCheck %s --check-prefix=GROUPSHARED
// RUN: not kforge-translate --mlir-to-wgsl %S/run.mlir 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not kforge-translate --mlir-to-wgsl %S/none.mlir 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: echo 'gpu.module @m { gpu.nothing }' | not kforge-translate --mlir-to-wgsl - 2>&1 | FileCheck %s --check-prefix=PARSER
// RUN: not kforge-translate 2>&1 | FileCheck %s --check-prefix=NOTHING
// RUN: not kforge-translate --mlir-to-wgsl %s --kernel second -o %S/none/x 2>&1 | FileCheck %s --check-prefix=OUTPUT

// ALL: // Kernel first.
// ALL: fn first(
// ALL: // -----
// ALL-NEXT: // Kernel second.
// ALL: fn second(
// ALL: // Kernel threads.
// ALL: // Kernel memory.
// ONE-NOT: first
// ONE: fn second(
// FIRST: fn first(
// FIRST-NOT: second
// METAL: kernel void second(
// METAL: device {{.*}}& arg0_ {{\[\[}}buffer(0)]]
// DIRECTX: RWByteAddressBuffer arg0_
// DIRECTX: numthreads(64, 1, 1)
// SPIRV: 07230203
// BINARY: kforge-translate: SPIR-V is binary; name a file with -o
// SEVERAL: kforge-translate: a SPIR-V file holds one kernel; name it with --kernel: first, second, threads, memory
// UNKNOWN: kforge-translate: there is no kernel 'third'; the module has first, second, threads, memory
// THREADS: kforge-translate: @threads has no MSL: a workgroup has 2048 threads, and Metal takes at most 1024
// MEMORY: kforge-translate: @memory has no MSL: a workgroup has 36864 bytes of memory, and Metal takes at most 32768
// NUMTHREADS: kforge-translate: @threads has no HLSL: a workgroup has 2048 threads, and DirectX takes at most 1024
// GROUPSHARED: kforge-translate: @memory has no HLSL: a workgroup has 36864 bytes of memory, and DirectX takes at most 32768
// NONE: kforge-translate: {{.*}}run.mlir has no kernel: no gpu.func with 'kernel' inside a gpu.module
// FILE: kforge-translate: {{.*}}none.mlir cannot be read
// PARSER: {{^}}<stdin>:1:17: error:
// PARSER-NEXT: {{^}}gpu.module @m { gpu.nothing }
// PARSER-NEXT: {{^ +\^}}
// NOTHING: error: the following required arguments were not provided:
// OUTPUT: kforge-translate: {{.*}}x cannot be written

gpu.module @m {
  gpu.func @first(%a: memref<?xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }
  gpu.func @helper() {
    gpu.return
  }
}
gpu.module @n {
  gpu.func @second(%a: memref<?xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %i = gpu.global_id x
    %v = memref.load %a[%i] : memref<?xf32>
    %w = arith.addf %v, %v : f32
    memref.store %w, %a[%i] : memref<?xf32>
    gpu.return
  }
  gpu.func @threads() kernel attributes {known_block_size = array<i32: 64, 32, 1>} {
    gpu.return
  }
  gpu.func @memory(%a: memref<?xf32>) workgroup(%t: memref<96x96xf32, #gpu.address_space<workgroup>>)
      kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %i = gpu.thread_id x
    %v = memref.load %t[%i, %i] : memref<96x96xf32, #gpu.address_space<workgroup>>
    memref.store %v, %a[%i] : memref<?xf32>
    gpu.return
  }
}
