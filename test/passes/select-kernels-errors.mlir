// RUN: kforge-opt %s --select-kernels=target=avx2 --split-input-file --verify-diagnostics
// RUN: not kforge-opt %s --split-input-file --select-kernels=target=mmx 2>&1 | FileCheck %s
// CHECK: unknown target 'mmx'; use host, avx512+vnni, avx512, avx2, sse2, neon, or gpu and what its adapter has, as gpu+f16

func.func @place(%x: tensor<32x32xf32>, %w: !transformer.quant<q4_0, 32x32>) -> (tensor<32x32xf32>, !transformer.quant<q4_0, 32x32>) {
  %y:2 = transformer.fused(%a = %x : tensor<32x32xf32>, %b = %w : !transformer.quant<q4_0, 32x32>) -> (tensor<32x32xf32>, !transformer.quant<q4_0, 32x32>) {
    %0 = transformer.linear %a, %b : tensor<32x32xf32>, !transformer.quant<q4_0, 32x32> -> tensor<32x32xf32>
    // expected-error @below {{'transformer.yield' op cannot take a quantised weight in this place}}
    transformer.yield %0, %b : tensor<32x32xf32>, !transformer.quant<q4_0, 32x32>
  }
  return %y#0, %y#1 : tensor<32x32xf32>, !transformer.quant<q4_0, 32x32>
}

// -----

func.func private @make() -> !transformer.quant<q4_0, 32x32>
func.func @computed(%x: tensor<32x32xf32>) -> tensor<32x32xf32> {
  %w = call @make() : () -> !transformer.quant<q4_0, 32x32>
  // expected-error @below {{'transformer.fused' op needs a quantised weight to be a global or an argument}}
  %y = transformer.fused(%a = %x : tensor<32x32xf32>, %b = %w : !transformer.quant<q4_0, 32x32>) -> tensor<32x32xf32> {
    %0 = transformer.linear %a, %b : tensor<32x32xf32>, !transformer.quant<q4_0, 32x32> -> tensor<32x32xf32>
    transformer.yield %0 : tensor<32x32xf32>
  }
  return %y : tensor<32x32xf32>
}

// -----

func.func @also_returned(%x: tensor<32x32xf32>, %w: !transformer.quant<q4_0, 32x32>) -> (tensor<32x32xf32>, !transformer.quant<q4_0, 32x32>) {
  // expected-error @below {{'transformer.fused' op has a quantised weight that is also used as something else}}
  %y = transformer.fused(%a = %x : tensor<32x32xf32>, %b = %w : !transformer.quant<q4_0, 32x32>) -> tensor<32x32xf32> {
    %0 = transformer.linear %a, %b : tensor<32x32xf32>, !transformer.quant<q4_0, 32x32> -> tensor<32x32xf32>
    transformer.yield %0 : tensor<32x32xf32>
  }
  return %y, %w : tensor<32x32xf32>, !transformer.quant<q4_0, 32x32>
}
