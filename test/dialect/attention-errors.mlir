// RUN: kforge-opt %s --split-input-file --verify-diagnostics

func.func @f(%x: tensor<4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op input must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<4x16xf32>'}}
  %y = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32} : tensor<4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x?x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op input must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<1x4x?x16xf32>'}}
  %y = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x4x?x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<2xi32>) {
  // expected-error @below {{'transformer.rope' op positions must have one element for each of the 1 sequences, but is 'tensor<2xi32>'}}
  %y = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x4x4x16xf32>, tensor<2xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>, %l: tensor<3xi32>) {
  // expected-error @below {{'transformer.rope' op lengths must have one element for each of the 1 sequences, but is 'tensor<3xi32>'}}
  %y = transformer.rope %x at %at lengths %l {mode = "half", base = 1.0e4 : f32} : tensor<1x4x4x16xf32>, tensor<1xi32>, tensor<3xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op attribute 'mode' failed to satisfy constraint: string attribute that is "interleaved" or "half"}}
  %y = transformer.rope %x at %at {mode = "neox", base = 1.0e4 : f32} : tensor<1x4x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x15xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op head dimension must be even, got 15}}
  %y = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x4x4x15xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op attribute 'base' failed to satisfy constraint: 32-bit float attribute that is finite and above 0}}
  %y = transformer.rope %x at %at {mode = "half", base = 0.0 : f32} : tensor<1x4x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op attribute 'base' failed to satisfy constraint: 32-bit float attribute that is finite and above 0}}
  %y = transformer.rope %x at %at {mode = "half", base = 0x7FC00000 : f32} : tensor<1x4x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op freq_divisors must have 8 elements, got 2}}
  %y = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32, freq_divisors = array<f32: 1.0, 2.0>} : tensor<1x4x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%q: tensor<4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op query must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<4x16xf32>'}}
  %y = transformer.attention %q, %k, %v
    : tensor<4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x?xf32>, %v: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op key must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<1x8x2x?xf32>'}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x2x?xf32>, tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op value must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<8x2x16xf32>'}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x32xf32>, %v: tensor<1x8x2x32xf32>) {
  // expected-error @below {{'transformer.attention' op query, key and value must have one head dimension}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x2x32xf32>, tensor<1x8x2x32xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x32xf32>) {
  // expected-error @below {{'transformer.attention' op query, key and value must have one head dimension}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x32xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x9x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op key and value must have one shape}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x9x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x3x16xf32>, %v: tensor<1x8x3x16xf32>) {
  // expected-error @below {{'transformer.attention' op query heads (4) must be a multiple of key heads (3)}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x3x16xf32>, tensor<1x8x3x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x0x16xf32>, %v: tensor<1x8x0x16xf32>) {
  // expected-error @below {{'transformer.attention' op query heads (4) must be a multiple of key heads (0)}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<1x8x0x16xf32>, tensor<1x8x0x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<2x8x2x16xf32>, %v: tensor<2x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op query and key must have one batch size}}
  %y = transformer.attention %q, %k, %v
    : tensor<1x4x4x16xf32>, tensor<2x8x2x16xf32>, tensor<2x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %t: tensor<1x2xi32>) {
  // expected-error @below {{'transformer.attention' op a block table needs positions}}
  %y = transformer.attention %q, %k, %v blocks %t
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32> blocks tensor<1x2xi32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %l: tensor<1xi32>) {
  // expected-error @below {{'transformer.attention' op lengths need positions}}
  %y = "transformer.attention"(%q, %k, %k, %l) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 1, 0>}
    : (tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>) -> tensor<1x4x4x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op attribute 'window' failed to satisfy constraint: 64-bit signless integer attribute of at least 1}}
  %y = transformer.attention %q, %k, %v {window = 0 : i64}
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op attribute 'softcap' failed to satisfy constraint: 32-bit float attribute that is finite and above 0}}
  %y = transformer.attention %q, %k, %v {softcap = -1.0 : f32}
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>, %t: tensor<2x2xi32>) {
  // expected-error @below {{'transformer.attention' op the block table must have a row for each sequence}}
  %y = transformer.attention %q, %k, %v at %at blocks %t
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32> blocks tensor<2x2xi32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<2xi32>) {
  // expected-error @below {{'transformer.attention' op positions must have one element for each of the 1 sequences, but is 'tensor<2xi32>'}}
  %y = transformer.attention %q, %k, %v at %at
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<2xi32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>, %l: tensor<2xi32>) {
  // expected-error @below {{'transformer.attention' op lengths must have one element for each of the 1 sequences, but is 'tensor<2xi32>'}}
  %y = transformer.attention %q, %k, %v at %at lengths %l
    : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>, tensor<2xi32>
  return
}

// -----

func.func @f(%c: tensor<8x2x16xf32>, %u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.kv_update' op cache must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<8x2x16xf32>'}}
  %y = transformer.kv_update %c, %u at %at : tensor<8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%c: tensor<1x8x2x16xf32>, %u: tensor<1x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.kv_update' op update must be [batch, sequence, heads, head dimension] with static heads, but is 'tensor<1x2x16xf32>'}}
  %y = transformer.kv_update %c, %u at %at : tensor<1x8x2x16xf32>, tensor<1x2x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%c: tensor<1x8x2x16xf32>, %u: tensor<1x1x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.kv_update' op cache and update must have the same heads and head dimension}}
  %y = transformer.kv_update %c, %u at %at : tensor<1x8x2x16xf32>, tensor<1x1x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%c: tensor<1x8x2x16xf32>, %u: tensor<1x1x2x32xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.kv_update' op cache and update must have the same heads and head dimension}}
  %y = transformer.kv_update %c, %u at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%c: tensor<2x8x2x16xf32>, %u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.kv_update' op cache and update must have one batch size}}
  %y = transformer.kv_update %c, %u at %at : tensor<2x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%c: tensor<1x8x2x16xf32>, %u: tensor<1x1x2x16xf32>, %at: tensor<2xi32>) {
  // expected-error @below {{'transformer.kv_update' op positions must have one element for each of the 1 sequences, but is 'tensor<2xi32>'}}
  %y = transformer.kv_update %c, %u at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<2xi32>
  return
}

// -----

func.func @f(%c: tensor<1x8x2x16xf32>, %u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>, %l: tensor<2xi32>) {
  // expected-error @below {{'transformer.kv_update' op lengths must have one element for each of the 1 sequences, but is 'tensor<2xi32>'}}
  %y = transformer.kv_update %c, %u at %at lengths %l : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>, tensor<2xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op attribute 'base' failed to satisfy constraint: 32-bit float attribute that is finite and above 0}}
  %y = transformer.rope %x at %at {mode = "half", base = 0x7F800000 : f32} : tensor<1x4x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%x: tensor<1x4x4x16xf32>, %at: tensor<1xi32>) {
  // expected-error @below {{'transformer.rope' op attribute 'freq_divisors' failed to satisfy constraint: f32 dense array attribute of finite numbers above 0}}
  %y = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32, freq_divisors = array<f32: 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0>} : tensor<1x4x4x16xf32>, tensor<1xi32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op attribute 'scale' failed to satisfy constraint: 32-bit float attribute that is finite}}
  %y = transformer.attention %q, %k, %k {scale = 0x7F800000 : f32} : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op attribute 'softcap' failed to satisfy constraint: 32-bit float attribute that is finite and above 0}}
  %y = transformer.attention %q, %k, %k {softcap = 0x7F800000 : f32} : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x4x4x16xf32>, %k: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'transformer.attention' op attribute 'window' failed to satisfy constraint: 64-bit signless integer attribute of at least 1}}
  %y = transformer.attention %q, %k, %k {window = -1 : i64} : tensor<1x4x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
  return
}
