// RUN: kforge-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<f32>, %g: tensor<64xf32>) {
  // expected-error @below {{'transformer.rms_norm' op input must have at least one dimension}}
  %y = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<f32>, tensor<64xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<32xf32>) {
  // expected-error @below {{'transformer.rms_norm' op weight must have as many elements as the input's last dimension (64), but is 'tensor<32xf32>'}}
  %y = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<32xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>, %g: tensor<64xf32>) {
  // expected-error @below {{'transformer.layer_norm' op input must have at least one dimension}}
  %y = transformer.layer_norm %x, %g {eps = 1.0e-5 : f32} : tensor<f32>, tensor<64xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<32xf32>) {
  // expected-error @below {{'transformer.layer_norm' op weight must have as many elements as the input's last dimension (64), but is 'tensor<32xf32>'}}
  %y = transformer.layer_norm %x, %g {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<32xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<64xf32>, %b: tensor<65xf32>) {
  // expected-error @below {{'transformer.layer_norm' op bias must have as many elements as the input's last dimension (64), but is 'tensor<65xf32>'}}
  %y = transformer.layer_norm %x, %g, %b {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>, tensor<65xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{'transformer.softcap' op attribute 'cap' failed to satisfy constraint}}
  %y = transformer.softcap %x {cap = 0.0 : f32} : tensor<4xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{'transformer.gelu' op attribute 'approximate' failed to satisfy constraint: string attribute that is "none" or "tanh"}}
  %y = transformer.gelu %x {approximate = "fast"} : tensor<4xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %g: tensor<4xf32>) {
  // expected-error @below {{'transformer.rms_norm' op requires attribute 'eps'}}
  %y = transformer.rms_norm %x, %g : tensor<4xf32>, tensor<4xf32>
  return
}

// -----

func.func @f(%x: tensor<4x48xf32>) {
  // expected-error @below {{'transformer.quantize' op input's last dimension must be static and a multiple of 32, but the input is 'tensor<4x48xf32>'}}
  %y = transformer.quantize %x : tensor<4x48xf32>
  return
}

// -----

func.func @f(%x: tensor<4x?xf32>) {
  // expected-error @below {{'transformer.quantize' op input's last dimension must be static and a multiple of 32, but the input is 'tensor<4x?xf32>'}}
  %y = transformer.quantize %x : tensor<4x?xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error @below {{'transformer.quantize' op input's last dimension must be static and a multiple of 32, but the input is 'tensor<f32>'}}
  %y = transformer.quantize %x : tensor<f32>
  return
}

// -----

func.func @f(%x: tensor<f32>) {
  // expected-error @below {{'transformer.top_k' op input must have at least one dimension}}
  %v, %i = transformer.top_k %x : tensor<f32> -> tensor<1xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{'transformer.top_k' op values must have the shape of the input, 'tensor<4x64xf32>', but for the last dimension, but is 'tensor<5x8xf32>'}}
  %v, %i = transformer.top_k %x : tensor<4x64xf32> -> tensor<5x8xf32>, tensor<4x8xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{'transformer.top_k' op indices must have the shape of the input, 'tensor<4x64xf32>', but for the last dimension, but is 'tensor<8xi32>'}}
  %v, %i = transformer.top_k %x : tensor<4x64xf32> -> tensor<4x8xf32>, tensor<8xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{'transformer.top_k' op values' element type must be the input's, 'f32'}}
  %v, %i = transformer.top_k %x : tensor<4x64xf32> -> tensor<4x8xf16>, tensor<4x8xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{'transformer.top_k' op values and indices must have one static last dimension, but are 'tensor<4x8xf32>' and 'tensor<4x9xi32>'}}
  %v, %i = transformer.top_k %x : tensor<4x64xf32> -> tensor<4x8xf32>, tensor<4x9xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{'transformer.top_k' op values and indices must have one static last dimension, but are 'tensor<4x?xf32>' and 'tensor<4x?xi32>'}}
  %v, %i = transformer.top_k %x : tensor<4x64xf32> -> tensor<4x?xf32>, tensor<4x?xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{'transformer.top_k' op takes the greatest 65 elements of each row of 'tensor<4x64xf32>'; take at least one and at most all}}
  %v, %i = transformer.top_k %x : tensor<4x64xf32> -> tensor<4x65xf32>, tensor<4x65xi32>
  return
}

// -----

func.func @f(%x: tensor<4x?xf32>) {
  // expected-error @below {{'transformer.top_k' op takes the greatest 0 elements of each row of 'tensor<4x?xf32>'; take at least one and at most all}}
  %v, %i = transformer.top_k %x : tensor<4x?xf32> -> tensor<4x0xf32>, tensor<4x0xi32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<64xf32>) {
  // expected-error @below {{'transformer.rms_norm' op attribute 'eps' failed to satisfy constraint: 32-bit float attribute that is finite and at least 0}}
  %y = transformer.rms_norm %x, %g {eps = -1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<64xf32>) {
  // expected-error @below {{'transformer.layer_norm' op attribute 'eps' failed to satisfy constraint: 32-bit float attribute that is finite and at least 0}}
  %y = transformer.layer_norm %x, %g {eps = 0x7FC00000 : f32} : tensor<4x64xf32>, tensor<64xf32>
  return
}
