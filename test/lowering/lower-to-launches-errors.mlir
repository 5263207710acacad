// RUN: kforge-opt %s --lower-to-launches --split-input-file --verify-diagnostics

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op has no kernel; run --select-kernels first}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: there is no kernel family 'conv'; there are gemv, gemm, mma, matmul, attention, rope, embedding, rowwise, top_k, elementwise}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"conv"> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemv's tile is [NT, NR, AHEAD]: columns of a task, columns in registers, blocks asked for ahead}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv"> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: NT must be a positive multiple of 16, got 24}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [24]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: NT must be a positive multiple of 16, got 0}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [0]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemm's tile is [MB, MR, NR, KC]: rows of a task, rows in registers, columns of a task, and the depth of a block}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [16]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemm's MB must be a positive multiple of MR, got 10 and 4}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [10, 4, 16]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemm's MB must be a positive multiple of MR, got 0 and 4}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [0, 4, 16]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op 'transformer.layouts' must name one layout for each operand}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> attributes {transformer.layouts = ["row_major"]} {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"embedding"> {
    // expected-error @below {{'transformer.linear' op cannot be compiled: the embedding kernel takes one embedding}}
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<64x64xf32>) -> tensor<4x64xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<64x64xf32>) -> tensor<4x64xf32> kernel #transformer.kernel<"elementwise"> {
    // expected-error @below {{'transformer.linear' op cannot be compiled: 'transformer.linear' has no element-wise kernel}}
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<64x64xf32> -> tensor<4x64xf32>
    transformer.yield %0 : tensor<4x64xf32>
  }
  return %r : tensor<4x64xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: the matmul kernel takes one matmul and its epilogue}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"matmul", tile = [4, 16]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"attention", tile = [4, 1, 1]> {
    // expected-error @below {{'transformer.linear' op cannot be compiled: the attention kernel takes one attention}}
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"rowwise"> {
    // expected-error @below {{'transformer.linear' op cannot be compiled: 'transformer.linear' is not a row-wise op}}
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<9x64xf32>, %w: tensor<32x64xf32>) -> tensor<9x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemv takes a static 0 to 8 rows; use gemm}}
  %r = transformer.fused(%X = %x : tensor<9x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<9x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> {
    %0 = transformer.linear %X, %W : tensor<9x64xf32>, tensor<32x64xf32> -> tensor<9x32xf32>
    transformer.yield %0 : tensor<9x32xf32>
  }
  return %r : tensor<9x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: !transformer.quant<q4_0, 32x64>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: a quantised weight must have the layout rows16}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : !transformer.quant<q4_0, 32x64>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, !transformer.quant<q4_0, 32x64> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x16384xf32>, %w: !transformer.quant<q4_0, 32x16384>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: a panel of 16384 by 32 columns takes 2097152 bytes of stack, over 1048576; lower NR or KC}}
  %r = transformer.fused(%X = %x : tensor<4x16384xf32>, %W = %w : !transformer.quant<q4_0, 32x16384>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [4, 4, 32]> attributes {transformer.layouts = ["row_major", "rows16"]} {
    %0 = transformer.linear %X, %W : tensor<4x16384xf32>, !transformer.quant<q4_0, 32x16384> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %g: tensor<64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %G = %g : tensor<64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [4, 4, 16]> {
    // expected-error @below {{'transformer.rms_norm' op cannot be compiled: a norm can be a gemv's prologue only; leave it out of a gemm's group}}
    %n = transformer.rms_norm %X, %G {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>
    %0 = transformer.linear %n, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> {
    // expected-error @below {{'transformer.silu' op cannot be compiled: 'transformer.silu' cannot be a linear's prologue}}
    %n = transformer.silu %X : tensor<4x64xf32>
    %0 = transformer.linear %n, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    // expected-error @below {{'transformer.softmax' op cannot be compiled: 'transformer.softmax' cannot be a linear's epilogue}}
    %1 = transformer.softmax %0 : tensor<4x32xf32>
    transformer.yield %1 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %e: tensor<4x64xi32>) -> tensor<4x64xf32> {
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %E = %e : tensor<4x64xi32>) -> tensor<4x64xf32> kernel #transformer.kernel<"elementwise"> {
    // expected-error @below {{'math.fpowi' op cannot be compiled: 'math.fpowi' has no element-wise kernel; there are some of arith.addf, arith.subf, }}
    %0 = math.fpowi %X, %E : tensor<4x64xf32>, tensor<4x64xi32>
    transformer.yield %0 : tensor<4x64xf32>
  }
  return %r : tensor<4x64xf32>
}

// -----

func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @below {{'transformer.silu' op is in no 'transformer.fused'; run --outline-groups first}}
  %y = transformer.silu %x : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// expected-error @below {{'builtin.module' op unknown target 'mmx'; use host, avx512+vnni, avx512, avx2, sse2, neon, or gpu and what its adapter has, as gpu+f16}}
module attributes {transformer.target = "mmx"} {
}

// -----

// Another function's result is computed by no launch.
func.func private @g() -> tensor<4xf32>
func.func @f() -> tensor<4xf32> {
  // expected-error @below {{'func.call' op is not among the ops that compile: those of 'transformer', element-wise ops of 'arith' and 'math' on float tensors, views by 'tensor.expand_shape', 'collapse_shape' and 'cast', sizes by 'tensor.dim' and 'arith' on indices, and loads and stores of 'ml_program' globals; inline the call, as the pipelines do where the callee has a body and does not call itself}}
  %y = call @g() : () -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// The old cache is read after the update.
ml_program.global private mutable @cache : tensor<1x8x2x16xf32>
func.func @f(%u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> (tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) {
  %c = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  %0 = transformer.fused(%C = %c : tensor<1x8x2x16xf32>, %U = %u : tensor<1x1x2x16xf32>, %P = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %1 = transformer.kv_update %C, %U at %P : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x8x2x16xf32>
  }
  // expected-error @below {{'func.return' op uses the cache as it was before 'transformer.kv_update', which would need a copy of it}}
  return %c, %0 : tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>
}

// -----

// So it is through a view made before.
ml_program.global private mutable @cache : tensor<1x8x2x16xf32>
func.func @f(%u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> (tensor<1x8x32xf32>) {
  %c = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  %v = tensor.collapse_shape %c [[0], [1], [2, 3]] : tensor<1x8x2x16xf32> into tensor<1x8x32xf32>
  %0 = transformer.fused(%C = %c : tensor<1x8x2x16xf32>, %U = %u : tensor<1x1x2x16xf32>, %P = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %1 = transformer.kv_update %C, %U at %P : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x8x2x16xf32>
  }
  // expected-error @below {{'func.return' op uses the cache as it was before 'transformer.kv_update', which would need a copy of it}}
  return %v : tensor<1x8x32xf32>
}

// -----

// And through another load of the global.
ml_program.global private mutable @cache : tensor<1x8x2x16xf32>
func.func @f(%u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> (tensor<1x8x2x16xf32>) {
  %c = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  %d = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  %0 = transformer.fused(%C = %c : tensor<1x8x2x16xf32>, %U = %u : tensor<1x1x2x16xf32>, %P = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %1 = transformer.kv_update %C, %U at %P : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x8x2x16xf32>
  }
  // expected-error @below {{'func.return' op uses the cache as it was before 'transformer.kv_update', which would need a copy of it}}
  return %d : tensor<1x8x2x16xf32>
}

// -----

ml_program.global private @cache(dense<0.0> : tensor<1x8x2x16xf32>) : tensor<1x8x2x16xf32>
func.func @f(%u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x16xf32> {
  %c = ml_program.global_load_const @cache : tensor<1x8x2x16xf32>
  // expected-error @below {{'transformer.fused' op updates a constant global; declare it mutable}}
  %0 = transformer.fused(%C = %c : tensor<1x8x2x16xf32>, %U = %u : tensor<1x1x2x16xf32>, %P = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %1 = transformer.kv_update %C, %U at %P : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x8x2x16xf32>
  }
  return %0 : tensor<1x8x2x16xf32>
}

// -----

ml_program.global private mutable @cache : tensor<1x8x2x16xf32>
func.func @f(%u: tensor<1x8x2x16xf32>) {
  // expected-error @below {{'ml_program.global_store' op would copy a tensor into the global; store what 'transformer.kv_update' made of the global itself}}
  ml_program.global_store @cache = %u : tensor<1x8x2x16xf32>
  return
}

// -----

func.func @f(%q: tensor<1x1x4x16xf32>, %k: tensor<8x16x2x16xf32>, %at: tensor<1xi32>, %best: tensor<1x9xf32>) -> tensor<1x1x4x16xf32> {
  %values, %t = transformer.fused(%B = %best : tensor<1x9xf32>) -> (tensor<1x4xf32>, tensor<1x4xi32>) kernel #transformer.kernel<"top_k"> {
    %1, %2 = transformer.top_k %B : tensor<1x9xf32> -> tensor<1x4xf32>, tensor<1x4xi32>
    transformer.yield %1, %2 : tensor<1x4xf32>, tensor<1x4xi32>
  }
  %0 = transformer.fused(%Q = %q : tensor<1x1x4x16xf32>, %K = %k : tensor<8x16x2x16xf32>, %P = %at : tensor<1xi32>, %T = %t : tensor<1x4xi32>) -> tensor<1x1x4x16xf32> kernel #transformer.kernel<"attention", tile = [1, 2, 1]> {
    // expected-error @below {{'transformer.attention' op needs block table, positions and lengths to be arguments of the function or globals, where they are checked before a call}}
    %1 = transformer.attention %Q, %K, %K at %P blocks %T : tensor<1x1x4x16xf32>, tensor<8x16x2x16xf32>, tensor<8x16x2x16xf32>, tensor<1xi32> blocks tensor<1x4xi32>
    transformer.yield %1 : tensor<1x1x4x16xf32>
  }
  return %0 : tensor<1x1x4x16xf32>
}

// -----

// The update is never stored: the global would change all the same.
ml_program.global private mutable @cache(dense<0.0> : tensor<1x8x2x16xf32>) : tensor<1x8x2x16xf32>

func.func @f(%k: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x16xf32> {
  %c = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  // expected-error @below {{'transformer.fused' op updates a global in place, so the next that is done with the global must be to store the result into it}}
  %r = transformer.fused(%C = %c : tensor<1x8x2x16xf32>, %K = %k : tensor<1x1x2x16xf32>, %A = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %0 = transformer.kv_update %C, %K at %A : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %0 : tensor<1x8x2x16xf32>
  }
  return %r : tensor<1x8x2x16xf32>
}

// -----

// It is read before it is stored.
ml_program.global private mutable @cache(dense<0.0> : tensor<1x8x2x16xf32>) : tensor<1x8x2x16xf32>

func.func @f(%k: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x16xf32> {
  %c = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  // expected-error @below {{'transformer.fused' op updates a global in place, so the next that is done with the global must be to store the result into it}}
  %r = transformer.fused(%C = %c : tensor<1x8x2x16xf32>, %K = %k : tensor<1x1x2x16xf32>, %A = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> {
    %0 = transformer.kv_update %C, %K at %A : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %0 : tensor<1x8x2x16xf32>
  }
  %old = ml_program.global_load @cache : tensor<1x8x2x16xf32>
  ml_program.global_store @cache = %r : tensor<1x8x2x16xf32>
  return %old : tensor<1x8x2x16xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemv's NT = 48 must be a multiple of NR = 32}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [48, 32]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: NR must be a positive multiple of 16, got 8}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemv", tile = [48, 8]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemm's KC must be a positive multiple of 32, got 40}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [4, 4, 16, 40]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<32x64xf32>) -> tensor<4x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: the sums of MB = 8192 by NR = 32 take 1048576 bytes of stack; lower MB}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<4x32xf32> kernel #transformer.kernel<"gemm", tile = [8192, 4, 32, 32]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<32x64xf32> -> tensor<4x32xf32>
    transformer.yield %0 : tensor<4x32xf32>
  }
  return %r : tensor<4x32xf32>
}

// -----

func.func @f(%q: tensor<1x?x4x16xf32>, %k: tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> {
  // expected-error @below {{cannot be compiled: attention's tile is [TQ, TH, P]: query rows and heads of a task, and tasks that share the keys of a row}}
  %0 = transformer.fused(%Q = %q : tensor<1x?x4x16xf32>, %K = %k : tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> kernel #transformer.kernel<"attention", tile = [4]> {
    %1 = transformer.attention %Q, %K, %K : tensor<1x?x4x16xf32>, tensor<1x?x2x16xf32>, tensor<1x?x2x16xf32>
    transformer.yield %1 : tensor<1x?x4x16xf32>
  }
  return %0 : tensor<1x?x4x16xf32>
}

// -----

func.func @f(%q: tensor<1x?x4x16xf32>, %k: tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> {
  // expected-error @below {{cannot be compiled: a task of attention has at most 16 rows, TQ times TH}}
  %0 = transformer.fused(%Q = %q : tensor<1x?x4x16xf32>, %K = %k : tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> kernel #transformer.kernel<"attention", tile = [9, 2, 1]> {
    %1 = transformer.attention %Q, %K, %K : tensor<1x?x4x16xf32>, tensor<1x?x2x16xf32>, tensor<1x?x2x16xf32>
    transformer.yield %1 : tensor<1x?x4x16xf32>
  }
  return %0 : tensor<1x?x4x16xf32>
}

// -----

func.func @f(%q: tensor<1x?x4x16xf32>, %k: tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> {
  // expected-error @below {{cannot be compiled: tasks share the keys of one row: where P is more than 1, TQ is 1}}
  %0 = transformer.fused(%Q = %q : tensor<1x?x4x16xf32>, %K = %k : tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> kernel #transformer.kernel<"attention", tile = [2, 1, 8]> {
    %1 = transformer.attention %Q, %K, %K : tensor<1x?x4x16xf32>, tensor<1x?x2x16xf32>, tensor<1x?x2x16xf32>
    transformer.yield %1 : tensor<1x?x4x16xf32>
  }
  return %0 : tensor<1x?x4x16xf32>
}

// -----

func.func @f(%q: tensor<1x?x4x16xf32>, %k: tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> {
  %0 = transformer.fused(%Q = %q : tensor<1x?x4x16xf32>, %K = %k : tensor<1x?x2x16xf32>) -> tensor<1x?x4x16xf32> kernel #transformer.kernel<"attention", tile = [1, 3, 1]> {
    // expected-error @below {{has 2 query heads for each key head, and TH 3}}
    %1 = transformer.attention %Q, %K, %K : tensor<1x?x4x16xf32>, tensor<1x?x2x16xf32>, tensor<1x?x2x16xf32>
    transformer.yield %1 : tensor<1x?x4x16xf32>
  }
  return %0 : tensor<1x?x4x16xf32>
}

// -----

func.func @f(%k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x32xf32> {
  %0 = transformer.fused(%A = %kc : tensor<1x8x2x32xf32>, %B = %k : tensor<1x1x2x32xf32>, %C = %at : tensor<1xi32>) -> tensor<1x8x2x32xf32> kernel #transformer.kernel<"rope"> attributes {transformer.layouts = ["keys16_i8", "row_major", "row_major"]} {
    // expected-error @below {{'transformer.kv_update' op cannot be compiled: updates a cache of 8 bits, so its rows must be those of a 'transformer.quantize' of the same group}}
    %1 = transformer.kv_update %A, %B at %C : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x8x2x32xf32>
  }
  return %0 : tensor<1x8x2x32xf32>
}

// -----

func.func @f(%k: tensor<1x1x2x16xf32>, %kc: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x16xf32> {
  %0 = transformer.fused(%A = %kc : tensor<1x8x2x16xf32>, %B = %k : tensor<1x1x2x16xf32>, %C = %at : tensor<1xi32>) -> tensor<1x8x2x16xf32> kernel #transformer.kernel<"rope"> attributes {transformer.layouts = ["head_major_i8", "row_major", "row_major"]} {
    // expected-error @below {{'transformer.kv_update' op cannot be compiled: the layout head_major_i8 holds f32 heads of a multiple of 32 elements, not tensor<1x8x2x16xf32>}}
    %1 = transformer.kv_update %A, %B at %C : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x8x2x16xf32>
  }
  return %0 : tensor<1x8x2x16xf32>
}

// -----

func.func @f(%k: tensor<1x1x2x32xf32>, %kc: tensor<1x8x2x32xf32>, %at: tensor<1xi32>) -> (tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>) {
  %0:2 = transformer.fused(%A = %kc : tensor<1x8x2x32xf32>, %B = %k : tensor<1x1x2x32xf32>, %C = %at : tensor<1xi32>) -> (tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>) kernel #transformer.kernel<"rope"> {
    // expected-error @below {{'transformer.quantize' op cannot be compiled: is read by other groups too; take it out of the group of a rotation or cache update}}
    %1 = transformer.quantize %B : tensor<1x1x2x32xf32>
    %2 = transformer.kv_update %A, %1 at %C : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
    transformer.yield %2, %1 : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>
  }
  return %0#0, %0#1 : tensor<1x8x2x32xf32>, tensor<1x1x2x32xf32>
}

// -----

func.func @f(%q: tensor<1x1x4x32xf32>, %c: tensor<1x16x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x32xf32> {
  %0 = transformer.fused(%A = %q : tensor<1x1x4x32xf32>, %B = %c : tensor<1x16x2x32xf32>, %C = %c : tensor<1x16x2x32xf32>, %D = %at : tensor<1xi32>) -> tensor<1x1x4x32xf32> kernel #transformer.kernel<"attention", tile = [1, 2, 1]>
      attributes {transformer.layouts = ["row_major", "keys16_i8", "keys16_i8", "row_major"]} {
    // expected-error @below {{'transformer.attention' op does not read its operand 2 in the layout 'keys16_i8'}}
    %1 = transformer.attention %A, %B, %C at %D : tensor<1x1x4x32xf32>, tensor<1x16x2x32xf32>, tensor<1x16x2x32xf32>, tensor<1xi32>
    transformer.yield %1 : tensor<1x1x4x32xf32>
  }
  return %0 : tensor<1x1x4x32xf32>
}

// -----

func.func @f(%x: tensor<2x?xf32>) -> tensor<2x4xi32> {
  %0 = transformer.fused(%A = %x : tensor<2x?xf32>) -> tensor<2x4xi32> kernel #transformer.kernel<"top_k"> {
    // expected-error @below {{'transformer.top_k' op cannot be compiled: the last dimension must be static to be compiled}}
    %1, %2 = transformer.top_k %A : tensor<2x?xf32> -> tensor<2x4xf32>, tensor<2x4xi32>
    transformer.yield %2 : tensor<2x4xi32>
  }
  return %0 : tensor<2x4xi32>
}

// -----

func.func @f(%x: tensor<2x500xf32>) -> tensor<2x257xi32> {
  %0 = transformer.fused(%A = %x : tensor<2x500xf32>) -> tensor<2x257xi32> kernel #transformer.kernel<"top_k"> {
    // expected-error @below {{'transformer.top_k' op cannot be compiled: takes the greatest 257 elements, of which no kernel finds more than 256}}
    %1, %2 = transformer.top_k %A : tensor<2x500xf32> -> tensor<2x257xf32>, tensor<2x257xi32>
    transformer.yield %2 : tensor<2x257xi32>
  }
  return %0 : tensor<2x257xi32>
}

// -----

// More sums than a loop's body may have: an error at once, not a minute of compiling.
func.func @f(%x: tensor<4x64xf32>, %w: tensor<128x64xf32>) -> tensor<4x128xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemv's NR = 65536 by 4 rows keeps 16384 vectors of sums in registers, over 64; lower NR}}
  %r = transformer.fused(%X = %x : tensor<4x64xf32>, %W = %w : tensor<128x64xf32>) -> tensor<4x128xf32> kernel #transformer.kernel<"gemv", tile = [65536]> {
    %0 = transformer.linear %X, %W : tensor<4x64xf32>, tensor<128x64xf32> -> tensor<4x128xf32>
    transformer.yield %0 : tensor<4x128xf32>
  }
  return %r : tensor<4x128xf32>
}

// -----

func.func @f(%x: tensor<400x64xf32>, %w: tensor<128x64xf32>) -> tensor<400x128xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: gemm's MR = 400 by NR = 16 keeps 400 vectors of sums in registers, over 64; lower MR or NR}}
  %r = transformer.fused(%X = %x : tensor<400x64xf32>, %W = %w : tensor<128x64xf32>) -> tensor<400x128xf32> kernel #transformer.kernel<"gemm", tile = [400, 400, 16]> {
    %0 = transformer.linear %X, %W : tensor<400x64xf32>, tensor<128x64xf32> -> tensor<400x128xf32>
    transformer.yield %0 : tensor<400x128xf32>
  }
  return %r : tensor<400x128xf32>
}

// -----

func.func @f(%a: tensor<400x64xf32>, %b: tensor<64x64xf32>) -> tensor<400x64xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: matmul's MR must be 1 to 64 rows in registers, got 400}}
  %r = transformer.fused(%A = %a : tensor<400x64xf32>, %B = %b : tensor<64x64xf32>) -> tensor<400x64xf32> kernel #transformer.kernel<"matmul", tile = [400, 16]> {
    %0 = transformer.matmul %A, %B : tensor<400x64xf32>, tensor<64x64xf32> -> tensor<400x64xf32>
    transformer.yield %0 : tensor<400x64xf32>
  }
  return %r : tensor<400x64xf32>
}

// -----

// expected-error @below {{'builtin.module' op unknown target '5 : i32'; use host, avx512+vnni, avx512, avx2, sse2, neon, or gpu and what its adapter has, as gpu+f16}}
module attributes {transformer.target = 5 : i32} {
}

// -----

// expected-error @below {{'builtin.module' op an adapter has no 'f17'}}
module attributes {transformer.target = "gpu+f17"} {
}

// -----

func.func @f(%x: tensor<2x64xf32>, %w: tensor<32x64xf32>) -> tensor<2x32xf32> {
  // expected-error @below {{'transformer.fused' op 'transformer.layouts' must name one layout for each operand}}
  %r = transformer.fused(%X = %x : tensor<2x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<2x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> attributes {transformer.layouts = "rows16"} {
    %0 = transformer.linear %X, %W : tensor<2x64xf32>, tensor<32x64xf32> -> tensor<2x32xf32>
    transformer.yield %0 : tensor<2x32xf32>
  }
  return %r : tensor<2x32xf32>
}

// -----

func.func @f(%x: tensor<2x64xf32>, %w: tensor<32x64xf32>) -> tensor<2x32xf32> {
  // expected-error @below {{'transformer.fused' op 'transformer.layouts' must name one layout for each operand}}
  %r = transformer.fused(%X = %x : tensor<2x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<2x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> attributes {transformer.layouts = [5, "row_major", "rows16"]} {
    %0 = transformer.linear %X, %W : tensor<2x64xf32>, tensor<32x64xf32> -> tensor<2x32xf32>
    transformer.yield %0 : tensor<2x32xf32>
  }
  return %r : tensor<2x32xf32>
}

// -----

// The buffer would be that of integers, and the kernel would store floats past its end.
func.func @f(%x: tensor<2x64xf32>, %w: tensor<32x64xf32>) -> tensor<2x32xf32> {
  %r = transformer.fused(%X = %x : tensor<2x64xf32>, %W = %w : tensor<32x64xf32>) -> tensor<2x32xf32> kernel #transformer.kernel<"gemv", tile = [16]> attributes {transformer.result_layouts = ["blocks8"]} {
    // expected-error @below {{'transformer.linear' op does not store its result in the layout 'blocks8'}}
    %0 = transformer.linear %X, %W : tensor<2x64xf32>, tensor<32x64xf32> -> tensor<2x32xf32>
    transformer.yield %0 : tensor<2x32xf32>
  }
  return %r : tensor<2x32xf32>
}

// -----

func.func @f(%x: tensor<2x64xf32>) -> tensor<2x64xf32> {
  %r = transformer.fused(%X = %x : tensor<2x64xf32>) -> tensor<2x64xf32> kernel #transformer.kernel<"elementwise"> {
    // expected-error @below {{'arith.extf' op has a value of type tensor<2x64xf64>; a kernel has tensors of f32, f16, bf16 and i32}}
    %0 = arith.extf %X : tensor<2x64xf32> to tensor<2x64xf64>
    %1 = arith.truncf %0 : tensor<2x64xf64> to tensor<2x64xf32>
    transformer.yield %1 : tensor<2x64xf32>
  }
  return %r : tensor<2x64xf32>
}

// -----

func.func @f(%x: tensor<2x64xf32>) -> tensor<2x64xf16> {
  %r = transformer.fused(%X = %x : tensor<2x64xf32>) -> tensor<2x64xf16> kernel #transformer.kernel<"elementwise"> {
    // expected-error @below {{'arith.truncf' op cannot be compiled: rounds otherwise than to nearest even, which no kernel does; leave the rounding mode out}}
    %0 = arith.truncf %X toward_zero : tensor<2x64xf32> to tensor<2x64xf16>
    transformer.yield %0 : tensor<2x64xf16>
  }
  return %r : tensor<2x64xf16>
}

// -----

// A kernel that goes over the elements of one tensor leaves most of a larger one out.
func.func @f(%x: tensor<2x64xf32>, %a: tensor<8x64xf32>) -> (tensor<2x64xf32>, tensor<8x64xf32>) {
  %r:2 = transformer.fused(%X = %x : tensor<2x64xf32>, %A = %a : tensor<8x64xf32>) -> (tensor<2x64xf32>, tensor<8x64xf32>) kernel #transformer.kernel<"elementwise"> {
    %0 = arith.addf %X, %X : tensor<2x64xf32>
    // expected-error @below {{'arith.addf' op cannot be compiled: has another shape than its group's first operand; take it out of the group}}
    %1 = arith.addf %A, %A : tensor<8x64xf32>
    transformer.yield %0, %1 : tensor<2x64xf32>, tensor<8x64xf32>
  }
  return %r#0, %r#1 : tensor<2x64xf32>, tensor<8x64xf32>
}

// -----

func.func @f() -> tensor<4xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: has no operands; fold its constants (--canonicalize)}}
  %r = transformer.fused() -> tensor<4xf32> kernel #transformer.kernel<"elementwise"> {
    %c = arith.constant dense<2.0> : tensor<4xf32>
    %0 = arith.addf %c, %c : tensor<4xf32>
    transformer.yield %0 : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// -----

// Nor does one that goes over the rows of a linear layer.
func.func @f(%x: tensor<2x64xf32>, %w: tensor<32x64xf32>, %a: tensor<8x32xf32>) -> (tensor<2x32xf32>, tensor<8x32xf32>) {
  %r:2 = transformer.fused(%X = %x : tensor<2x64xf32>, %W = %w : tensor<32x64xf32>, %A = %a : tensor<8x32xf32>) -> (tensor<2x32xf32>, tensor<8x32xf32>) kernel #transformer.kernel<"gemv", tile = [16]> {
    %0 = transformer.linear %X, %W : tensor<2x64xf32>, tensor<32x64xf32> -> tensor<2x32xf32>
    // expected-error @below {{'arith.addf' op cannot be compiled: has a result 1 that no linear op of its kernel makes; take it out of the group}}
    %1 = arith.addf %A, %A : tensor<8x32xf32>
    transformer.yield %0, %1 : tensor<2x32xf32>, tensor<8x32xf32>
  }
  return %r#0, %r#1 : tensor<2x32xf32>, tensor<8x32xf32>
}

// -----

func.func @f(%a: tensor<4x8xf32>, %b: tensor<8x4xf32>, %c: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %r = transformer.fused(%A = %a : tensor<4x8xf32>, %B = %b : tensor<8x4xf32>, %C = %c : tensor<64x64xf32>) -> tensor<64x64xf32> kernel #transformer.kernel<"matmul", tile = [4, 16]> {
    // expected-error @below {{'transformer.matmul' op cannot be compiled: is no part of its group's result; take it out of the group}}
    %0 = transformer.matmul %A, %B : tensor<4x8xf32>, tensor<8x4xf32> -> tensor<4x4xf32>
    %1 = arith.addf %C, %C : tensor<64x64xf32>
    transformer.yield %1 : tensor<64x64xf32>
  }
  return %r : tensor<64x64xf32>
}

// -----

// A kernel stores what its op makes, whatever the region returns.
func.func @f(%x: tensor<2x64xf32>, %g: tensor<64xf32>) -> tensor<2x64xf32> {
  %r = transformer.fused(%X = %x : tensor<2x64xf32>, %G = %g : tensor<64xf32>) -> tensor<2x64xf32> kernel #transformer.kernel<"rowwise"> {
    // expected-error @below {{'transformer.rms_norm' op cannot be compiled: is all that its kernel stores, so it must be the one result of its group}}
    %0 = transformer.rms_norm %X, %G {eps = 1.0e-5 : f32} : tensor<2x64xf32>, tensor<64xf32>
    transformer.yield %X : tensor<2x64xf32>
  }
  return %r : tensor<2x64xf32>
}

// -----

func.func @f(%i: tensor<4xi32>, %t: tensor<32x64xf32>) -> (tensor<4x64xf32>, tensor<4x64xf32>) {
  %r:2 = transformer.fused(%I = %i : tensor<4xi32>, %T = %t : tensor<32x64xf32>) -> (tensor<4x64xf32>, tensor<4x64xf32>) kernel #transformer.kernel<"embedding"> {
    // expected-error @below {{'transformer.embedding' op cannot be compiled: is all that its kernel stores, so it must be the one result of its group}}
    %0 = transformer.embedding %I, %T : tensor<4xi32>, tensor<32x64xf32> -> tensor<4x64xf32>
    transformer.yield %0, %0 : tensor<4x64xf32>, tensor<4x64xf32>
  }
  return %r#0, %r#1 : tensor<4x64xf32>, tensor<4x64xf32>
}

// -----

func.func @f(%q: tensor<1x4x2x32xf32>, %p: tensor<1xi32>) -> tensor<1x4x2x32xf32> {
  // expected-error @below {{'transformer.fused' op cannot be compiled: has a result 0 that no rope or kv_update of it makes}}
  %r = transformer.fused(%Q = %q : tensor<1x4x2x32xf32>, %P = %p : tensor<1xi32>) -> tensor<1x4x2x32xf32> kernel #transformer.kernel<"rope"> {
    %0 = transformer.rope %Q at %P {base = 10000.0 : f32, mode = "half"} : tensor<1x4x2x32xf32>, tensor<1xi32>
    transformer.yield %Q : tensor<1x4x2x32xf32>
  }
  return %r : tensor<1x4x2x32xf32>
}

// -----

func.func @f(%x: tensor<2x64xf32>) -> tensor<2x64xf32> {
  %r = transformer.fused(%X = %x : tensor<2x64xf32>) -> tensor<2x64xf32> kernel #transformer.kernel<"top_k"> {
    // expected-error @below {{'transformer.top_k' op cannot be compiled: is all that its kernel stores, each result once}}
    %0, %1 = transformer.top_k %X : tensor<2x64xf32> -> tensor<2x4xf32>, tensor<2x4xi32>
    transformer.yield %X : tensor<2x64xf32>
  }
  return %r : tensor<2x64xf32>
}
