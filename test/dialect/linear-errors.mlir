// RUN: kforge-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{a quantised weight has two dimensions, rows x columns}}
func.func private @rank(!transformer.quant<q4_0, 32>)

// -----

// expected-error @below {{unknown block format 'iq3_s'; use q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs or mxfp4}}
func.func private @format(!transformer.quant<iq3_s, 2x256>)

// -----

// expected-error @below {{columns must be a multiple of the block of 32, got 48}}
func.func private @columns(!transformer.quant<q8_0, 2x48>)

// -----

// expected-error @below {{columns must be a multiple of the block of 256, got 288}}
func.func private @columns(!transformer.quant<q4_k, 2x288>)

// -----

func.func @f(%i: tensor<3xi32>, %t: tensor<8x64xf32>) {
  // expected-error @below {{'transformer.embedding' op result must be the ids' shape with a last dimension of 64, but is 'tensor<3x32xf32>'}}
  %y = transformer.embedding %i, %t : tensor<3xi32>, tensor<8x64xf32> -> tensor<3x32xf32>
  return
}

// -----

func.func @f(%i: tensor<3xi32>, %t: !transformer.quant<q4_0, 8x64>) {
  // expected-error @below {{'transformer.embedding' op result must be the ids' shape with a last dimension of 64, but is 'tensor<64xf32>'}}
  %y = transformer.embedding %i, %t : tensor<3xi32>, !transformer.quant<q4_0, 8x64> -> tensor<64xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>, %w: tensor<128x64xf32>) {
  // expected-error @below {{'transformer.linear' op input must have at least one dimension}}
  %y = transformer.linear %x, %w : tensor<f32>, tensor<128x64xf32> -> tensor<128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x32xf32>, %w: tensor<128x64xf32>) {
  // expected-error @below {{'transformer.linear' op input's last dimension (32) must equal the weight's columns (64)}}
  %y = transformer.linear %x, %w : tensor<4x32xf32>, tensor<128x64xf32> -> tensor<4x128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x32xf32>, %w: !transformer.quant<q4_1, 128x64>) {
  // expected-error @below {{'transformer.linear' op input's last dimension (32) must equal the weight's columns (64)}}
  %y = transformer.linear %x, %w : tensor<4x32xf32>, !transformer.quant<q4_1, 128x64> -> tensor<4x128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>) {
  // expected-error @below {{'transformer.linear' op result must be the input's shape with a last dimension of 128, but is 'tensor<4x64xf32>'}}
  %y = transformer.linear %x, %w : tensor<4x64xf32>, tensor<128x64xf32> -> tensor<4x64xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>) {
  // expected-error @below {{'transformer.linear' op result must be the input's shape with a last dimension of 128, but is 'tensor<128xf32>'}}
  %y = transformer.linear %x, %w : tensor<4x64xf32>, tensor<128x64xf32> -> tensor<128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>) {
  // expected-error @below {{'transformer.linear' op result's element type must be the input's, 'f32'}}
  %y = transformer.linear %x, %w : tensor<4x64xf32>, tensor<128x64xf32> -> tensor<4x128xf16>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>, %b: tensor<64xf32>) {
  // expected-error @below {{'transformer.linear' op bias must have 128 elements, but is 'tensor<64xf32>'}}
  %y = transformer.linear %x, %w bias %b : tensor<4x64xf32>, tensor<128x64xf32>, tensor<64xf32> -> tensor<4x128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xi8>, %w: tensor<128x64xf32>) {
  // expected-error @below {{'transformer.linear' op operand #0 must be ranked tensor of 16-bit float or bfloat16 type or 32-bit float values, but got 'tensor<4x64xi8>'}}
  %y = transformer.linear %x, %w : tensor<4x64xi8>, tensor<128x64xf32> -> tensor<4x128xf32>
  return
}

// -----

func.func @f(%a: tensor<4xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{'transformer.matmul' op a, b and the result must have one rank of at least 2}}
  %y = transformer.matmul %a, %b : tensor<4xf32>, tensor<4xf32> -> tensor<4xf32>
  return
}

// -----

func.func @f(%a: tensor<2x4x8xf32>, %b: tensor<8x4xf32>) {
  // expected-error @below {{'transformer.matmul' op a, b and the result must have one rank of at least 2}}
  %y = transformer.matmul %a, %b : tensor<2x4x8xf32>, tensor<8x4xf32> -> tensor<2x4x4xf32>
  return
}

// -----

func.func @f(%a: tensor<2x4x8xf32>, %b: tensor<3x8x4xf32>) {
  // expected-error @below {{'transformer.matmul' op dimension 0 of a, b and the result must be equal}}
  %y = transformer.matmul %a, %b : tensor<2x4x8xf32>, tensor<3x8x4xf32> -> tensor<2x4x4xf32>
  return
}

// -----

func.func @f(%a: tensor<2x4x8xf32>, %b: tensor<2x8x4xf32>) {
  // expected-error @below {{'transformer.matmul' op dimension 0 of a, b and the result must be equal}}
  %y = transformer.matmul %a, %b : tensor<2x4x8xf32>, tensor<2x8x4xf32> -> tensor<3x4x4xf32>
  return
}

// -----

func.func @f(%a: tensor<4x8xf32>, %b: tensor<4x8xf32>) {
  // expected-error @below {{'transformer.matmul' op contracted dimensions differ: 8 and 4}}
  %y = transformer.matmul %a, %b : tensor<4x8xf32>, tensor<4x8xf32> -> tensor<4x4xf32>
  return
}

// -----

func.func @f(%a: tensor<8x4xf32>, %b: tensor<4x8xf32>) {
  // expected-error @below {{'transformer.matmul' op contracted dimensions differ: 8 and 4}}
  %y = transformer.matmul %a, %b {transpose_a} : tensor<8x4xf32>, tensor<4x8xf32> -> tensor<4x4xf32>
  return
}

// -----

func.func @f(%a: tensor<4x8xf32>, %b: tensor<2x8xf32>) {
  // expected-error @below {{'transformer.matmul' op result must end in 4 x 2, but is 'tensor<4x8xf32>'}}
  %y = transformer.matmul %a, %b {transpose_b} : tensor<4x8xf32>, tensor<2x8xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @f(%a: tensor<4x8xf32>, %b: tensor<8x2xf32>) {
  // expected-error @below {{'transformer.matmul' op a, b and the result must have one element type}}
  %y = transformer.matmul %a, %b : tensor<4x8xf32>, tensor<8x2xf32> -> tensor<4x2xf16>
  return
}

// -----

func.func @f(%a: tensor<4x8xf32>, %b: tensor<8x2xf16>) {
  // expected-error @below {{'transformer.matmul' op a, b and the result must have one element type}}
  %y = transformer.matmul %a, %b : tensor<4x8xf32>, tensor<8x2xf16> -> tensor<4x2xf32>
  return
}
