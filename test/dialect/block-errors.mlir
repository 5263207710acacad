// RUN: kforge-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<4x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>, %d: tensor<64x128xf32>) {
  // expected-error @below {{'transformer.mlp' op attribute 'activation' failed to satisfy constraint: string attribute that is "silu" or "gelu"}}
  %y = transformer.mlp %x, %g, %u, %d {activation = "relu"} : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>
  return
}

// -----

func.func @f(%x: tensor<f32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>, %d: tensor<64x128xf32>) {
  // expected-error @below {{'transformer.mlp' op input must have at least one dimension}}
  %y = transformer.mlp %x, %g, %u, %d : tensor<f32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<128x32xf32>, %u: tensor<128x64xf32>, %d: tensor<64x128xf32>) {
  // expected-error @below {{'transformer.mlp' op gate must be 128 x 64, but is 'tensor<128x32xf32>'}}
  %y = transformer.mlp %x, %g, %u, %d : tensor<4x64xf32>, tensor<128x32xf32>, tensor<128x64xf32>, tensor<64x128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<128x64xf32>, %u: tensor<64x64xf32>, %d: tensor<64x128xf32>) {
  // expected-error @below {{'transformer.mlp' op up must be 128 x 64, but is 'tensor<64x64xf32>'}}
  %y = transformer.mlp %x, %g, %u, %d : tensor<4x64xf32>, tensor<128x64xf32>, tensor<64x64xf32>, tensor<64x128xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<128x64xf32>, %u: tensor<128x64xf32>, %d: !transformer.quant<q4_1, 128x64>) {
  // expected-error @below {{'transformer.mlp' op down must be 64 x 128, but is '!transformer.quant<q4_1, 128x64>'}}
  %y = transformer.mlp %x, %g, %u, %d : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, !transformer.quant<q4_1, 128x64>
  return
}

// -----

func.func @f(%x: tensor<2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op input must be [batch, sequence, width], but is 'tensor<2x64xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<8x2x16xf32>, %v: tensor<8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op both caches must be [batch, capacity, heads, head dimension] with static heads}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<8x2x16xf32>, tensor<8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x9x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op both caches must be [batch, capacity, heads, head dimension] with static heads}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x9x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x?xf32>, %v: tensor<1x8x2x?xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op both caches must be [batch, capacity, heads, head dimension] with static heads}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x?xf32>, tensor<1x8x2x?xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op heads (3) must be a multiple of kv_heads (2)}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 3 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'kv_heads' failed to satisfy constraint: 64-bit signless integer attribute of at least 1}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 0 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op the caches must have 1 heads}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 1 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<32x32xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op wq must be 64 x 64, but is 'tensor<32x32xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<32x32xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x32xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op wk must be 32 x 64, but is 'tensor<32x32xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x32xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x32xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op wv must be 32 x 64, but is 'tensor<32x32xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x32xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<32x32xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op wo must be 64 x 64, but is 'tensor<32x32xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<32x32xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<32x32xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op gate must be 32 x 64, but is 'tensor<32x32xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<32x32xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %wv: tensor<32x64xf32>, %wo: tensor<64x64xf32>,
          %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'activation' failed to satisfy constraint: string attribute that is "silu" or "gelu"}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wv, %wo) mlp(%n, %gate, %up, %down) cache(%k, %v) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32, activation = "relu"}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{'transformer.fused' op region arguments must have the types of the operands}}
  "transformer.fused"(%x) ({
  ^bb0(%a: tensor<8xf32>):
    "transformer.yield"() : () -> ()
  }) : (tensor<4xf32>) -> ()
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{'transformer.fused' op region must end in 'transformer.yield'}}
  "transformer.fused"(%x) ({
  ^bb0(%a: tensor<4xf32>):
    "llvm.unreachable"() : () -> ()
  }) : (tensor<4xf32>) -> ()
  return
}

// -----

func.func @f(%x: tensor<4xf32>) -> tensor<8xf32> {
  %y = transformer.fused(%a = %x : tensor<4xf32>) -> tensor<8xf32> {
    // expected-error @below {{'transformer.yield' op must yield the types of the fused op's results}}
    transformer.yield %a : tensor<4xf32>
  }
  return %y : tensor<8xf32>
}

// -----

func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-note @below {{required by region isolation constraints}}
  %y = transformer.fused() -> tensor<4xf32> {
    // expected-error @below {{'transformer.silu' op using value defined outside the region}}
    %0 = transformer.silu %x : tensor<4xf32>
    transformer.yield %0 : tensor<4xf32>
  }
  return %y : tensor<4xf32>
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{'transformer.yield' op expects parent op 'transformer.fused'}}
  transformer.yield %x : tensor<4xf32>
}

// -----

func.func @f(%n: index, %x: memref<4xf32>) {
  // expected-error @below {{'transformer.launch' op access must have one entry for each of the 1 buffers}}
  transformer.launch @k tasks(%n) buffers(%x : memref<4xf32>) access [0, 1]
  return
}

// -----

func.func @f(%n: index, %x: memref<4xf32>) {
  // expected-error @below {{'transformer.launch' op attribute 'access' failed to satisfy constraint: i32 dense array attribute of 0 (read), 1 (write) or 2 (both)}}
  transformer.launch @k tasks(%n) buffers(%x : memref<4xf32>) access [3]
  return
}

// -----

func.func @f(%n: index, %x: memref<4xi32>) {
  // expected-error @below {{'transformer.check' op of kind "index" takes one buffer and one size}}
  transformer.check "index" buffers(%x : memref<4xi32>) sizes(%n, %n)
  return
}

// -----

func.func @f(%n: index, %x: memref<4xi32>) {
  // expected-error @below {{'transformer.check' op of kind "position" takes one or two buffers and one or two sizes}}
  transformer.check "position" buffers(%x : memref<4xi32>) sizes(%n, %n, %n)
  return
}

// -----

func.func @f(%n: index, %x: memref<4xi32>) {
  // expected-error @below {{'transformer.check' op attribute 'kind' failed to satisfy constraint: string attribute that is "same", "index", "position" or "blocks"}}
  transformer.check "length" buffers(%x : memref<4xi32>) sizes(%n)
  return
}

// -----

func.func @f(%n: index, %x: memref<4xi32>) {
  // expected-error @below {{'transformer.check' op of kind "blocks" takes two or three buffers and three or four sizes}}
  transformer.check "blocks" buffers(%x : memref<4xi32>) sizes(%n, %n, %n)
  return
}

// -----

func.func @f(%n: index) {
  // expected-error @below {{'transformer.check' op of kind "same" takes two sizes}}
  transformer.check "same" sizes(%n)
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wq: tensor<64x64xf32>, %wk: tensor<32x64xf32>, %gate: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %k: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op with quantize_kv the head dimension must be a multiple of 32, but it is 16}}
  %y:3 = transformer.decoder_block %x attn(%n, %wq, %wk, %wk, %wq) mlp(%n, %gate, %gate, %down) cache(%k, %k) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32, quantize_kv}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'heads' failed to satisfy constraint: 64-bit signless integer attribute of at least 1}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 0 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'eps' failed to satisfy constraint: 32-bit float attribute that is finite and at least 0}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = -1.0 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'rope_mode' failed to satisfy constraint: string attribute that is "interleaved" or "half"}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "neox", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'rope_base' failed to satisfy constraint: 32-bit float attribute that is finite and above 0}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 0.0 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'rope_freq_divisors' failed to satisfy constraint: f32 dense array attribute of finite numbers above 0}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32, rope_freq_divisors = array<f32: -1.0>}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @+2 {{'transformer.decoder_block' op attribute 'window' failed to satisfy constraint: 64-bit signless integer attribute of at least 1}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32, window = 0 : i64}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op rope_freq_divisors must have 8 elements, got 1}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32, rope_freq_divisors = array<f32: 1.0>}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<3xi32>) {
  // expected-error @below {{'transformer.decoder_block' op positions must have one element for each of the 1 sequences, but is 'tensor<3xi32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<3xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<32xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op attn_norm must have as many elements as the input's last dimension (64), but is 'tensor<32xf32>'}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<32xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<32xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x2x64xf32>, %n: tensor<64xf32>, %wide: tensor<64x64xf32>, %narrow: tensor<32x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>,
          %c: tensor<2x8x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.decoder_block' op input and caches must have one batch size}}
  %y:3 = transformer.decoder_block %x attn(%n, %wide, %narrow, %narrow, %wide) mlp(%n, %up, %up, %down) cache(%c, %c) at %at
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
    : tensor<1x2x64xf32> attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
      mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>) cache(tensor<2x8x2x16xf32>, tensor<2x8x2x16xf32>) at tensor<1xi32>
  return
}

// -----

// expected-error @below {{the sizes of a tile must be at least 0, got -1}}
func.func private @f() attributes {kernel = #transformer.kernel<"gemv", tile = [32, -1]>}
