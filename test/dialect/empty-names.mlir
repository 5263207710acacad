// A global may have the empty name, and one of any bytes.
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | FileCheck %s
// RUN: kforge-run %s --input random:1 --random-globals 1 --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=SAME
// RUN: kforge-run %s --input random:1 --random-globals 1 --target gpu --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=SAME
// RUN: kforge-run %s --input random:1 --global =random:1 --global "\\FFg=random:2" --compare reference --output %t.npy 2>&1 | FileCheck %s --check-prefix=SAME
// RUN: kforge-run inspect %s | FileCheck %s --check-prefix=INSPECT

// MLIR prints the empty name so.
// CHECK: ml_program.global private @<<INVALID EMPTY SYMBOL>>
// CHECK: ml_program.global private @"\FFg"
// SAME: result 0: max abs
// INSPECT: main(tensor<2x4xf32>) -> (tensor<2x4xf32>)

ml_program.global private @""(#ml_program.extern<tensor<4xf32>>) : tensor<4xf32>
ml_program.global private @"\FFg"(#ml_program.extern<tensor<4xf32>>) : tensor<4xf32>
func.func @main(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %g = ml_program.global_load_const @"" : tensor<4xf32>
  %y = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<2x4xf32>, tensor<4xf32>
  %h = ml_program.global_load_const @"\FFg" : tensor<4xf32>
  %z = transformer.rms_norm %y, %h {eps = 1.0e-5 : f32} : tensor<2x4xf32>, tensor<4xf32>
  return %z : tensor<2x4xf32>
}
