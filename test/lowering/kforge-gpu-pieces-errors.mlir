// What lies in one buffer and is larger than the adapter binds, and a weight of too many pieces, are errors at their ops.
// RUN: kforge-opt %s --kforge-gpu=target=gpu+bindings4x4096 --split-input-file --verify-diagnostics

func.func @result(%x: tensor<32x8xf32>, %w: tensor<64x8xf32>) -> tensor<32x64xf32> {
  // expected-error @below {{has a result tensor<32x64xf32>: it is 8192 bytes, and the adapter binds 4096 at once; only weights of linear layers and embeddings are split}}
  %0 = transformer.matmul %x, %w {transpose_b} : tensor<32x8xf32>, tensor<64x8xf32> -> tensor<32x64xf32>
  return %0 : tensor<32x64xf32>
}

// -----

func.func @operand(%x: tensor<?x64xf32>, %w: tensor<32x64xf32>) -> tensor<?x32xf32> {
  // expected-error @below {{has an operand tensor<32x64xf32>: it is 8192 bytes, and the adapter binds 4096 at once}}
  %0 = transformer.matmul %x, %w {transpose_b} : tensor<?x64xf32>, tensor<32x64xf32> -> tensor<?x32xf32>
  return %0 : tensor<?x32xf32>
}

// -----

func.func @too_many(%x: tensor<1x64xf32>, %w: tensor<48x64xf32>) -> tensor<1x48xf32> {
  // expected-error @below {{takes 5 buffers of at most 4096 bytes with its weights split, and the adapter binds 4; fuse less (--fuse)}}
  %0 = transformer.linear %x, %w : tensor<1x64xf32>, tensor<48x64xf32> -> tensor<1x48xf32>
  return %0 : tensor<1x48xf32>
}

// -----

func.func @too_wide(%x: tensor<1x128xf32>, %w: tensor<16x128xf32>) -> tensor<1x16xf32> {
  // expected-error @below {{has an operand tensor<16x128xf32>: sixteen rows of it are 8192 bytes, and the adapter binds 4096 at once}}
  %0 = transformer.linear %x, %w : tensor<1x128xf32>, tensor<16x128xf32> -> tensor<1x16xf32>
  return %0 : tensor<1x16xf32>
}
