//===- shapes.cpp - the sizes of results ----------------------------------===//
#include "Transformer.h"

using namespace mlir;
namespace kforge::transformer {

/// The operand that has a size of a result, and its dimension.
static std::pair<Value, int64_t> origin(OpResult result, int64_t dim) {
  Operation *op = result.getOwner();
  if (auto matmul = dyn_cast<MatmulOp>(op)) {
    int64_t rank = matmul.getResult().getType().getRank();
    if (dim == rank - 2)
      return {matmul.getA(), matmul.getTransposeA() ? rank - 1 : rank - 2};
    return {dim == rank - 1 ? matmul.getB() : matmul.getA(), dim == rank - 1 && matmul.getTransposeB() ? rank - 2 : dim};
  }
  if (auto block = dyn_cast<DecoderBlockOp>(op)) {
    if (result == block.getNewKCache())
      return {block.getKCache(), dim};
    if (result == block.getNewVCache())
      return {block.getVCache(), dim};
  }
  // The last dimension is static, and the others are those of the first operand.
  return {op->getOperand(0), dim};
}

LogicalResult reifyResults(OpBuilder &builder, Operation *op, ReifiedRankedShapedTypeDims &shapes) {
  for (OpResult result : op->getResults()) {
    SmallVector<OpFoldResult> sizes;
    for (auto [dim, size] : llvm::enumerate(cast<RankedTensorType>(result.getType()).getShape())) {
      if (ShapedType::isDynamic(size)) {
        auto [operand, index] = origin(result, dim);
        sizes.push_back(tensor::getMixedSize(builder, op->getLoc(), operand, index));
      } else {
        sizes.push_back(builder.getIndexAttr(size));
      }
    }
    shapes.push_back(std::move(sizes));
  }
  return success();
}

} // namespace kforge::transformer
