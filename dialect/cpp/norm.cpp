//===- norm.cpp - norms, softmax, top_k, activations ----------------------===//
#include "Transformer.h"

using namespace mlir;
namespace kforge::transformer {

LogicalResult verifyVector(Operation *op, RankedTensorType input, Value vector, StringRef name) {
  if (input.getRank() < 1)
    return op->emitOpError("input must have at least one dimension");
  if (!compatible(cast<RankedTensorType>(vector.getType()).getDimSize(0), input.getShape().back()))
    return op->emitOpError() << name << " must have as many elements as the input's last dimension ("
                             << input.getShape().back() << "), but is " << vector.getType();
  return success();
}

LogicalResult RmsNormOp::verify() {
  return verifyVector(*this, cast<RankedTensorType>(getInput().getType()), getWeight(), "weight");
}

LogicalResult LayerNormOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  if (failed(verifyVector(*this, input, getWeight(), "weight")))
    return failure();
  return getBias() ? verifyVector(*this, input, getBias(), "bias") : success();
}

/// One element's share of itself is all.
OpFoldResult SoftmaxOp::fold(FoldAdaptor) {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape() || type.getRank() == 0 || type.getShape().back() != 1)
    return {};
  return DenseElementsAttr::get(type, FloatAttr::get(type.getElementType(), 1.0));
}

LogicalResult QuantizeOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  if (input.getRank() < 1 || input.isDynamicDim(input.getRank() - 1) || input.getShape().back() % 32 != 0)
    return emitOpError("input's last dimension must be static and a multiple of 32, but the input is ") << input;
  return success();
}

LogicalResult TopKOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto values = cast<RankedTensorType>(getValues().getType()), indices = cast<RankedTensorType>(getIndices().getType());
  if (input.getRank() < 1)
    return emitOpError("input must have at least one dimension");
  for (auto [name, result] : {std::pair("values", values), std::pair("indices", indices)}) {
    auto fits = [](auto pair) { return compatible(std::get<0>(pair), std::get<1>(pair)); };
    if (result.getRank() != input.getRank() ||
        !llvm::all_of(llvm::zip(result.getShape().drop_back(), input.getShape().drop_back()), fits))
      return emitOpError() << name << " must have the shape of the input, " << input << ", but for the last dimension, but is " << result;
  }
  if (values.getElementType() != input.getElementType())
    return emitOpError("values' element type must be the input's, ") << input.getElementType();
  int64_t k = values.getShape().back(), length = input.getShape().back();
  if (ShapedType::isDynamic(k) || indices.getShape().back() != k)
    return emitOpError("values and indices must have one static last dimension, but are ") << values << " and " << indices;
  if (k < 1 || (!ShapedType::isDynamic(length) && k > length))
    return emitOpError("takes the greatest ") << k << " elements of each row of " << input << "; take at least one and at most all";
  return success();
}

} // namespace kforge::transformer
