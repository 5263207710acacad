// What no kernel of a GPU, or of this GPU, can do is an error at its place.
// RUN: kforge-opt %s --kforge-gpu --split-input-file --verify-diagnostics

func.func @half(%x: tensor<4x8xf16>) -> tensor<4x8xf16> {
  // expected-error @below {{'transformer.silu' op cannot be compiled: has a result of f16, which no kernel of this GPU can store (the adapter has no f16); make it f32}}
  %0 = transformer.silu %x : tensor<4x8xf16>
  return %0 : tensor<4x8xf16>
}

// -----

func.func @brain(%x: tensor<4x8xbf16>) -> tensor<4x8xbf16> {
  // expected-error @below {{'transformer.silu' op cannot be compiled: has a result of bf16, which no kernel of this GPU can store (WGSL has no such type); make it f32}}
  %0 = transformer.silu %x : tensor<4x8xbf16>
  return %0 : tensor<4x8xbf16>
}
