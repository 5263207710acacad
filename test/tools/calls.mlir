// A function that calls another compiles: the pipelines inline calls first. The layer is used twice, with one weight.
// RUN: kforge-run %s --entry main --input random:1 --random-globals 3 --compare reference
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | FileCheck %s

// CHECK-NOT: func.call
// CHECK-NOT: call @layer
// CHECK: func.func @main
// CHECK-COUNT-2: transformer.launch

ml_program.global private @w(#ml_program.extern<tensor<70x70xf32>>) : tensor<70x70xf32>

func.func private @layer(%x: tensor<3x70xf32>) -> tensor<3x70xf32> {
  %w = ml_program.global_load_const @w : tensor<70x70xf32>
  %y = transformer.linear %x, %w : tensor<3x70xf32>, tensor<70x70xf32> -> tensor<3x70xf32>
  %z = transformer.silu %y : tensor<3x70xf32>
  return %z : tensor<3x70xf32>
}
func.func @main(%x: tensor<3x70xf32>) -> tensor<3x70xf32> {
  %y = call @layer(%x) : (tensor<3x70xf32>) -> tensor<3x70xf32>
  %z = call @layer(%y) : (tensor<3x70xf32>) -> tensor<3x70xf32>
  return %z : tensor<3x70xf32>
}
