// A function on a GPU, which a software one may be: its results are the reference's. --target auto takes no software GPU,
// and where there is none the CPU; both are said.
// RUN: kforge-run %s --target gpu --input random:1:5x64 --input random:2:3x64 --compare reference 2>&1 | FileCheck %s
// RUN: kforge-run %s --target gpu --fuse none --input random:1:5x64 --input random:2:3x64 --compare cpu 2>&1 | FileCheck %s
// RUN: kforge-run %s --target auto --input random:1:5x64 --input random:2:3x64 --compare gpu 2>&1 | FileCheck %s
// RUN: kforge-run inspect %s --target gpu | FileCheck %s --check-prefix=INSPECT
// RUN: kforge-run generate --model random:tiny --target gpu --prompt-ids 1,2,3 --max-tokens 4 2>&1 \
// RUN:   | FileCheck %s --check-prefix=GENERATE

// RUN: kforge-run bench suite --target gpu --quick --filter norm/1x576 --output %t.json | FileCheck %s --check-prefix=SUITE
// RUN: kforge-run bench suite --target gpu --quick --filter top_k | FileCheck %s --check-prefix=CHOICE
// RUN: kforge-run bench suite --from %t.json --baseline %t.json | FileCheck %s --check-prefix=SAME
// RUN: kforge-run bench matmul --target gpu --m 5 --n 33 --k 64 -r 1 --weight q4_1 | FileCheck %s --check-prefix=MATMUL
// RUN: kforge-run roofline --target gpu --bytes 1000000 | FileCheck %s --check-prefix=ROOF

// CHOICE: top_k/1of49152
// CHOICE: top_k/64of49152
// SUITE: | norm/1x576 |
// SUITE: f32 peak {{[0-9]+}} GFLOP/s (fma){{$}}
// SAME: no row is slower beyond the noise
// MATMUL: | reference | cpu {{.*}}| f32 x q4_1 |
// MATMUL: | gpu {{.*}}| f32 x q4_1 |
// MATMUL: | tuned {{.*}}| f32 x q4_1 |
// ROOF: f32 {{[0-9]+}} GFLOP/s; copies of {{[0-9.]+}} MB at {{[0-9.]+}} GB/s, read and written
// CHECK: sizes = [5, 3]
// CHECK: result 0: max abs {{.*}} over 15 elements
// CHECK-NOT: outside
// INSPECT: main(tensor<s0x64xf32>, tensor<s1x64xf32>) -> (tensor<s0xs1xf32>)
// INSPECT: rowwise_0 {{.*}} softmax
// INSPECT: matmul_1 {{.*}} ceil(s0 / {{[0-9]+}})
// GENERATE: prompt 3 tokens at {{[0-9.]+}}/s, 3 decoded at {{[0-9.]+}}/s

func.func @main(%x: tensor<?x64xf32>, %y: tensor<?x64xf32>) -> tensor<?x?xf32> {
  %0 = transformer.softmax %x : tensor<?x64xf32>
  %1 = transformer.matmul %0, %y {transpose_b} : tensor<?x64xf32>, tensor<?x64xf32> -> tensor<?x?xf32>
  return %1 : tensor<?x?xf32>
}
