// What no kernel of a GPU, or of this GPU, can do is an error at its place.
// RUN: kforge-opt %s --kforge-gpu --split-input-file --verify-diagnostics

func.func @half(%x: tensor<4x8xf16>) -> tensor<4x8xf16> {
  // expected-error @below {{'transformer.silu' op cannot be compiled: has a result of f16, which no kernel of this GPU can store (the adapter has no f16); make it f32, by arith.extf in front of the op}}
  %0 = transformer.silu %x : tensor<4x8xf16>
  return %0 : tensor<4x8xf16>
}

// -----

func.func @brain(%x: tensor<4x8xbf16>) -> tensor<4x8xbf16> {
  // expected-error @below {{'transformer.silu' op cannot be compiled: has a result of bf16, which no kernel of this GPU can store (WGSL has no such type); make it f32, by arith.extf in front of the op}}
  %0 = transformer.silu %x : tensor<4x8xbf16>
  return %0 : tensor<4x8xbf16>
}

// -----

func.func @negative(%x: tensor<16x64xf32>, %w: tensor<64x64xf32>) -> tensor<16x64xf32> {
  %0 = transformer.fused(%a = %x : tensor<16x64xf32>, %b = %w : tensor<64x64xf32>) -> tensor<16x64xf32>
      // expected-error @below {{the sizes of a tile must be at least 0, got -32}}
      kernel #transformer.kernel<"gemm", tile = [-32, 32, 8, 2, 4]> {
    %y = transformer.linear %a, %b : tensor<16x64xf32>, tensor<64x64xf32> -> tensor<16x64xf32>
    transformer.yield %y : tensor<16x64xf32>
  }
  return %0 : tensor<16x64xf32>
}
