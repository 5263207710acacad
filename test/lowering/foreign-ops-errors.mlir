// An op that nothing compiles is an error at that op, which says what compiles and what to do.
// RUN: kforge-opt %s --kforge-cpu=target=avx2 --split-input-file --verify-diagnostics

func.func @linalg(%a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %e = transformer.silu %a : tensor<4xf32>
  // expected-error @below {{'linalg.add' op is not among the ops that compile: those of 'transformer', element-wise ops of 'arith' and 'math' on float tensors, views by 'tensor.expand_shape', 'collapse_shape' and 'cast', sizes by 'tensor.dim' and 'arith' on indices, and loads and stores of 'ml_program' globals; write it with those}}
  %0 = linalg.add ins(%a, %b : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @tosa(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error-re @below {{'tosa.sigmoid' op is not among the ops that compile: {{.*}}; write it with those}}
  %0 = tosa.sigmoid %a : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @tensor(%a: tensor<8xf32>) -> tensor<4xf32> {
  // expected-error @below {{'tensor.extract_slice' op is not among the ops that compile: }}
  %0 = tensor.extract_slice %a[2] [4] [1] : tensor<8xf32> to tensor<4xf32>
  %1 = transformer.silu %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

func.func @scf(%a: tensor<4xf32>, %n: index) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error-re @below {{'scf.for' op is not among the ops that compile: {{.*}}; a compiled function is one block, without control flow}}
  %0 = scf.for %i = %c0 to %n step %c1 iter_args(%x = %a) -> tensor<4xf32> {
    %1 = transformer.silu %x : tensor<4xf32>
    scf.yield %1 : tensor<4xf32>
  }
  return %0 : tensor<4xf32>
}

// -----

func.func @cf(%a: tensor<4xf32>, %c: i1) -> tensor<4xf32> {
  // expected-error-re @below {{'cf.cond_br' op is not among the ops that compile: {{.*}}; a compiled function is one block, without control flow}}
  cf.cond_br %c, ^as_it_is, ^activated
^as_it_is:
  return %a : tensor<4xf32>
^activated:
  %0 = transformer.silu %a : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func private @callee(%a: tensor<4xf32>) -> tensor<4xf32>
func.func @call(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error-re @below {{'func.call' op is not among the ops that compile: {{.*}}; inline the call, as the pipelines do where the callee has a body and does not call itself}}
  %0 = call @callee(%a) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @recursive(%a: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error-re @below {{'func.call' op is not among the ops that compile: {{.*}}; inline the call, as the pipelines do where the callee has a body and does not call itself}}
  %0 = call @recursive(%a) : (tensor<4xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----

func.func @scalar(%a: tensor<4xf32>, %s: f32) -> tensor<4xf32> {
  // expected-error-re @below {{'arith.addf' op is not among the ops that compile: {{.*}}; make it an op on tensors}}
  %0 = arith.addf %s, %s : f32
  %1 = tensor.splat %0 : tensor<4xf32>
  return %1 : tensor<4xf32>
}

// -----

func.func @integers(%a: tensor<4xi32>) -> tensor<4xi32> {
  // expected-error @below {{'arith.addi' op cannot be compiled: 'arith.addi' has no element-wise kernel; there are some of arith.addf, }}
  %0 = arith.addi %a, %a : tensor<4xi32>
  return %0 : tensor<4xi32>
}
