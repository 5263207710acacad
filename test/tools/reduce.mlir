// The reducer knows the dialect: everything goes that the test does not need.
// RUN: echo '#!/bin/sh' > %t.sh
// RUN: echo 'grep -q transformer.gelu "$1" && exit 1; exit 0' >> %t.sh
// RUN: chmod +x %t.sh
// RUN: kforge-reduce %s --reduction-tree='traversal-mode=0 test=%t.sh' | FileCheck %s

// CHECK-NOT: @unneeded
// CHECK: func.func @needed
// CHECK: transformer.gelu
// CHECK-NOT: @unneeded

func.func @unneeded_before(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.silu %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

func.func @needed(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.gelu %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}

func.func @unneeded_after(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.softmax %x : tensor<4xf32>
  return %0 : tensor<4xf32>
}
