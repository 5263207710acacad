// What version 1.1 of the dialect added: Inputs/transformer-1.1.mlirbc is this file as that version wrote it.
// RUN: kforge-opt %s > %t.text
// RUN: kforge-opt %s --emit-bytecode | kforge-opt | diff %t.text -
// RUN: kforge-opt %S/Inputs/transformer-1.1.mlirbc | diff %t.text -

func.func @f(%q: tensor<2x3x4x32xf32>, %at: tensor<2xi32>) -> tensor<2x3x4x32xf32> {
  %0 = transformer.rope %q at %at {mode = "half", base = 1.0e4 : f32, dims = 16 : i64, scale = 1.25 : f32} : tensor<2x3x4x32xf32>, tensor<2xi32>
  %1 = transformer.rope %0 at %at {mode = "interleaved", base = 1.0e4 : f32} : tensor<2x3x4x32xf32>, tensor<2xi32>
  %2 = transformer.scale %1 {factor = 12.0 : f32} : tensor<2x3x4x32xf32>
  %3 = transformer.softcap %2 {cap = 30.0 : f32} : tensor<2x3x4x32xf32>
  return %3 : tensor<2x3x4x32xf32>
}
