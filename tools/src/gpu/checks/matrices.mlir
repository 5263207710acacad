// A product of f16 factors, which cooperative matrices compute where an adapter has them.
func.func @main(%x: tensor<48x64xf16>, %w: tensor<80x64xf16>) -> tensor<48x80xf16> {
  %y = transformer.linear %x, %w : tensor<48x64xf16>, tensor<80x64xf16> -> tensor<48x80xf16>
  return %y : tensor<48x80xf16>
}
