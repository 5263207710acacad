//===- norm.cpp - norms, softmax, activations -----------------------------===//
#include "Transformer.h"

using namespace mlir;
namespace kforge::transformer {

static LogicalResult verifyVector(Operation *op, RankedTensorType input, Value vector, StringRef name) {
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

LogicalResult GeluOp::verify() {
  if (getApproximate() != "none" && getApproximate() != "tanh")
    return emitOpError("approximate must be \"none\" or \"tanh\", got \"") << getApproximate() << "\"";
  return success();
}

} // namespace kforge::transformer
