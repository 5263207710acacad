func.func @main(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  "hello.world"() : () -> ()
  %a = arith.negf %x : tensor<4xf32>
  %b = arith.negf %a : tensor<4xf32>
  %c = arith.negf %b : tensor<4xf32>
  %d = transformer.silu %b : tensor<4xf32>
  return %c, %d : tensor<4xf32>, tensor<4xf32>
}
