// Names of generated kernels for perf, only when asked for.
// RUN: bash -c 'echo $$ > %t.pid; exec env KFORGE_PERF=1 kforge-run %s --input random:1 --output %t.npy'
// RUN: bash -c 'cat /tmp/perf-$(cat %t.pid).map && rm /tmp/perf-$(cat %t.pid).map' | FileCheck %s
// RUN: bash -c 'echo $$ > %t.pid; exec env KFORGE_PERF=0 kforge-run %s --input random:1 --output %t.npy'
// RUN: bash -c '! test -e /tmp/perf-$(cat %t.pid).map'

// CHECK-DAG: {{^[0-9a-f]+ [0-9a-f]+ rowwise_0$}}
// CHECK-DAG: {{^[0-9a-f]+ [0-9a-f]+ kforge_rowwise_0$}}

func.func @main(%x: tensor<2x17xf32>) -> tensor<2x17xf32> {
  %0 = transformer.softmax %x : tensor<2x17xf32>
  return %0 : tensor<2x17xf32>
}
