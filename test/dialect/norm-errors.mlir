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
  // expected-error @below {{'transformer.gelu' op approximate must be "none" or "tanh", got "fast"}}
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
