// The dialect's interfaces in upstream's passes.
// RUN: kforge-opt %s --split-input-file --inline | FileCheck %s --check-prefix=INLINE
// RUN: kforge-opt %s --split-input-file --resolve-ranked-shaped-type-result-dims --canonicalize | FileCheck %s --check-prefix=SIZES

ml_program.global private @w(#ml_program.extern<tensor<70x90xf32>>) : tensor<70x90xf32>

// A function of ours is inlined, with the weight that it loads and the region that it holds.
// INLINE-NOT: @layer
// INLINE-LABEL: func.func @calls
// INLINE-SAME: (%[[X:.*]]: tensor<3x90xf32>)
// INLINE-NEXT: %[[W:.*]] = ml_program.global_load_const @w
// INLINE-NEXT: %[[Y:.*]] = transformer.linear %[[X]], %[[W]]
// INLINE-NEXT: %[[Z:.*]] = transformer.fused(%[[A:.*]] = %[[Y]] : tensor<3x70xf32>)
// INLINE-NEXT: transformer.silu %[[A]]
// INLINE: return %[[Z]]
func.func private @layer(%x: tensor<3x90xf32>) -> tensor<3x70xf32> {
  %w = ml_program.global_load_const @w : tensor<70x90xf32>
  %y = transformer.linear %x, %w : tensor<3x90xf32>, tensor<70x90xf32> -> tensor<3x70xf32>
  %z = transformer.fused(%a = %y : tensor<3x70xf32>) -> tensor<3x70xf32> {
    %0 = transformer.silu %a : tensor<3x70xf32>
    transformer.yield %0 : tensor<3x70xf32>
  }
  return %z : tensor<3x70xf32>
}
func.func @calls(%x: tensor<3x90xf32>) -> tensor<3x70xf32> {
  %y = call @layer(%x) : (tensor<3x90xf32>) -> tensor<3x70xf32>
  return %y : tensor<3x70xf32>
}

// -----

// Sizes of results are those of operands.
// SIZES-LABEL: func.func @linear
// SIZES-SAME: (%[[X:.*]]: tensor<?x3x90xf32>
// SIZES: %[[B:.*]] = tensor.dim %[[X]], %c0
// SIZES-NOT: transformer
// SIZES: return %[[B]], %c3, %c70
func.func @linear(%x: tensor<?x3x90xf32>, %w: tensor<70x90xf32>) -> (index, index, index) {
  %y = transformer.linear %x, %w : tensor<?x3x90xf32>, tensor<70x90xf32> -> tensor<?x3x70xf32>
  %0 = arith.constant 0 : index
  %1 = arith.constant 1 : index
  %2 = arith.constant 2 : index
  %a = tensor.dim %y, %0 : tensor<?x3x70xf32>
  %b = tensor.dim %y, %1 : tensor<?x3x70xf32>
  %c = tensor.dim %y, %2 : tensor<?x3x70xf32>
  return %a, %b, %c : index, index, index
}

// -----

// SIZES-LABEL: func.func @matmul
// SIZES-SAME: (%[[A:.*]]: tensor<?x?x?xf32>, %[[B:.*]]: tensor<?x?x?xf32>)
// SIZES-DAG: %[[D:.*]] = tensor.dim %[[A]], %c0
// SIZES-DAG: %[[M:.*]] = tensor.dim %[[A]], %c1
// SIZES-DAG: %[[N:.*]] = tensor.dim %[[B]], %c2
// SIZES: return %[[D]], %[[M]], %[[N]]
func.func @matmul(%a: tensor<?x?x?xf32>, %b: tensor<?x?x?xf32>) -> (index, index, index) {
  %y = transformer.matmul %a, %b : tensor<?x?x?xf32>, tensor<?x?x?xf32> -> tensor<?x?x?xf32>
  %0 = arith.constant 0 : index
  %1 = arith.constant 1 : index
  %2 = arith.constant 2 : index
  %d = tensor.dim %y, %0 : tensor<?x?x?xf32>
  %m = tensor.dim %y, %1 : tensor<?x?x?xf32>
  %n = tensor.dim %y, %2 : tensor<?x?x?xf32>
  return %d, %m, %n : index, index, index
}

// -----

// SIZES-LABEL: func.func @transposed
// SIZES-SAME: (%[[A:.*]]: tensor<?x?x?xf32>, %[[B:.*]]: tensor<?x?x?xf32>)
// SIZES-DAG: %[[D:.*]] = tensor.dim %[[A]], %c0
// SIZES-DAG: %[[M:.*]] = tensor.dim %[[A]], %c2
// SIZES-DAG: %[[N:.*]] = tensor.dim %[[B]], %c1
// SIZES: return %[[D]], %[[M]], %[[N]]
func.func @transposed(%a: tensor<?x?x?xf32>, %b: tensor<?x?x?xf32>) -> (index, index, index) {
  %y = transformer.matmul %a, %b {transpose_a, transpose_b} : tensor<?x?x?xf32>, tensor<?x?x?xf32> -> tensor<?x?x?xf32>
  %0 = arith.constant 0 : index
  %1 = arith.constant 1 : index
  %2 = arith.constant 2 : index
  %d = tensor.dim %y, %0 : tensor<?x?x?xf32>
  %m = tensor.dim %y, %1 : tensor<?x?x?xf32>
  %n = tensor.dim %y, %2 : tensor<?x?x?xf32>
  return %d, %m, %n : index, index, index
}

// -----

// SIZES-LABEL: func.func @kv_update
// SIZES-SAME: (%[[C:.*]]: tensor<?x8x2x16xf32>, %[[U:.*]]: tensor<?x3x2x16xf32>
// SIZES: %[[D:.*]] = tensor.dim %[[C]], %c0
// SIZES: return %[[D]]
func.func @kv_update(%c: tensor<?x8x2x16xf32>, %u: tensor<?x3x2x16xf32>, %at: tensor<?xi32>) -> index {
  %n = transformer.kv_update %c, %u at %at : tensor<?x8x2x16xf32>, tensor<?x3x2x16xf32>, tensor<?xi32>
  %0 = arith.constant 0 : index
  %d = tensor.dim %n, %0 : tensor<?x8x2x16xf32>
  return %d : index
}
