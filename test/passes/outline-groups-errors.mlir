// RUN: kforge-opt %s --outline-groups --split-input-file --verify-diagnostics

func.func @cycle(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @below {{'transformer.silu' op is in a group whose ops need each other through an op outside it; take one out of the group}}
  %0 = transformer.silu %x {transformer.group = 0 : i64} : tensor<4xf32>
  %1 = transformer.softmax %0 : tensor<4xf32>
  %2 = arith.addf %0, %1 {transformer.group = 0 : i64} : tensor<4xf32>
  return %2 : tensor<4xf32>
}

// -----

ml_program.global private mutable @k(dense<0.0> : tensor<4xf32>) : tensor<4xf32>
func.func @store_between(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.silu %x {transformer.group = 0 : i64} : tensor<4xf32>
  ml_program.global_store @k = %x : tensor<4xf32>
  // expected-error @below {{'ml_program.global_load' op cannot move above a store to a global, as its group needs}}
  %1 = ml_program.global_load @k : tensor<4xf32>
  %2 = arith.addf %0, %1 {transformer.group = 0 : i64} : tensor<4xf32>
  return %2 : tensor<4xf32>
}

// -----

func.func @view(%x: tensor<4x8xf32>) -> tensor<32xf32> {
  %0 = transformer.silu %x {transformer.group = 0 : i64} : tensor<4x8xf32>
  // expected-error @below {{'tensor.collapse_shape' op cannot be part of a kernel; remove its 'transformer.group'}}
  %1 = tensor.collapse_shape %0 [[0, 1]] {transformer.group = 0 : i64} : tensor<4x8xf32> into tensor<32xf32>
  return %1 : tensor<32xf32>
}

// -----

func.func @terminator(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = transformer.silu %x {transformer.group = 0 : i64} : tensor<4xf32>
  // expected-error @below {{'func.return' op cannot be part of a kernel; remove its 'transformer.group'}}
  return {transformer.group = 0 : i64} %0 : tensor<4xf32>
}

// -----

// Two groups that need each other.
func.func @two(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // expected-error @below {{'transformer.silu' op is in a group whose ops need each other through an op outside it}}
  %a = transformer.silu %x {transformer.group = 0 : i64} : tensor<4xf32>
  %b = transformer.softmax %x {transformer.group = 1 : i64} : tensor<4xf32>
  %c = arith.addf %a, %b {transformer.group = 1 : i64} : tensor<4xf32>
  %d = arith.mulf %a, %b {transformer.group = 0 : i64} : tensor<4xf32>
  return %c, %d : tensor<4xf32>, tensor<4xf32>
}
