// One linear layer over any number of rows, its weight and bias given as arguments.
// Run it:  kforge-opt examples/matmul.mlir --kforge-fuse
func.func @main(%x: tensor<?x64xf32>, %w: tensor<128x64xf32>, %b: tensor<128xf32>) -> tensor<?x128xf32> {
  %y = transformer.linear %x, %w bias %b : tensor<?x64xf32>, tensor<128x64xf32>, tensor<128xf32> -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}
