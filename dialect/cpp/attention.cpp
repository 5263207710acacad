//===- attention.cpp - rope, attention, kv_update -------------------------===//
#include "Transformer.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
namespace kforge::transformer {

LogicalResult verifyPerSequence(Operation *op, int64_t batch, Value value, StringRef name) {
  if (value && !compatible(cast<RankedTensorType>(value.getType()).getDimSize(0), batch))
    return op->emitOpError() << name << " must have one element for each of the " << batch << " sequences, but is " << value.getType();
  return success();
}

static LogicalResult verifyRank4(Operation *op, RankedTensorType type, StringRef name) {
  if (type.getRank() != 4 || type.isDynamicDim(2) || type.isDynamicDim(3))
    return op->emitOpError() << name << " must be [batch, sequence, heads, head dimension] with static heads, but is " << type;
  return success();
}

LogicalResult verifyRotation(Operation *op, int64_t depth, StringRef name, std::optional<ArrayRef<float>> divisors,
                             std::optional<int64_t> dims) {
  if (dims && (*dims % 2 != 0 || *dims > depth))
    return op->emitOpError("dims must be even and at most the head dimension, ") << depth << ", got " << *dims;
  int64_t rotated = dims.value_or(depth);
  if (rotated % 2 != 0)
    return op->emitOpError("head dimension must be even, got ") << depth;
  if (divisors && static_cast<int64_t>(divisors->size()) != rotated / 2)
    return op->emitOpError() << name << " must have " << rotated / 2 << " elements, got " << divisors->size();
  return success();
}

LogicalResult RopeOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  if (failed(verifyRank4(*this, input, "input")) ||
      failed(verifyPerSequence(*this, input.getDimSize(0), getPositions(), "positions")) ||
      failed(verifyPerSequence(*this, input.getDimSize(0), getLengths(), "lengths")))
    return failure();
  return verifyRotation(*this, input.getDimSize(3), getFreqDivisorsAttrName(), getFreqDivisors(), getDims());
}

LogicalResult AttentionOp::verify() {
  auto q = cast<RankedTensorType>(getQuery().getType()), k = cast<RankedTensorType>(getKey().getType()),
       v = cast<RankedTensorType>(getValue().getType());
  if (failed(verifyRank4(*this, q, "query")) || failed(verifyRank4(*this, k, "key")) || failed(verifyRank4(*this, v, "value")))
    return failure();
  if (k.getDimSize(3) != q.getDimSize(3) || v.getDimSize(3) != q.getDimSize(3))
    return emitOpError("query, key and value must have one head dimension");
  if (k.getDimSize(2) != v.getDimSize(2) || !compatible(k.getDimSize(1), v.getDimSize(1)) || !compatible(k.getDimSize(0), v.getDimSize(0)))
    return emitOpError("key and value must have one shape");
  if (k.getDimSize(2) == 0 || q.getDimSize(2) % k.getDimSize(2) != 0)
    return emitOpError("query heads (") << q.getDimSize(2) << ") must be a multiple of key heads (" << k.getDimSize(2) << ")";
  if (!getBlockTable() && !compatible(q.getDimSize(0), k.getDimSize(0)))
    return emitOpError("query and key must have one batch size");
  if (getBlockTable() && !getPositions())
    return emitOpError("a block table needs positions");
  if (getLengths() && !getPositions())
    return emitOpError("lengths need positions");
  int64_t batch = q.getDimSize(0);
  if (getBlockTable() && !compatible(cast<RankedTensorType>(getBlockTable().getType()).getDimSize(0), batch))
    return emitOpError("the block table must have a row for each sequence");
  return success(succeeded(verifyPerSequence(*this, batch, getPositions(), "positions")) &&
                 succeeded(verifyPerSequence(*this, batch, getLengths(), "lengths")));
}

/// A query scaled by a constant is a larger scale.
LogicalResult AttentionOp::canonicalize(AttentionOp op, PatternRewriter &rewriter) {
  auto scaled = op.getQuery().getDefiningOp<arith::MulFOp>();
  if (!scaled)
    return failure();
  DenseFPElementsAttr constant;
  Value other = scaled.getLhs();
  if (!matchPattern(scaled.getRhs(), m_Constant(&constant))) {
    other = scaled.getRhs();
    if (!matchPattern(scaled.getLhs(), m_Constant(&constant)))
      return failure();
  }
  auto type = cast<RankedTensorType>(op.getQuery().getType());
  // Only f32: a product rounded to f16 is another number.
  if (!constant.isSplat() || !type.getElementType().isF32())
    return failure();
  float factor = constant.getSplatValue<APFloat>().convertToFloat();
  float scale = op.getScale() ? op.getScale()->convertToFloat() : 1.0f / std::sqrt(static_cast<float>(type.getDimSize(3)));
  if (!std::isfinite(scale * factor))
    return failure();
  rewriter.modifyOpInPlace(op, [&] {
    op.getQueryMutable().assign(other);
    op.setScaleAttr(rewriter.getF32FloatAttr(scale * factor));
  });
  return success();
}

LogicalResult KvUpdateOp::verify() {
  auto cache = cast<RankedTensorType>(getCache().getType()), update = cast<RankedTensorType>(getUpdate().getType());
  if (failed(verifyRank4(*this, cache, "cache")) || failed(verifyRank4(*this, update, "update")))
    return failure();
  if (cache.getDimSize(2) != update.getDimSize(2) || cache.getDimSize(3) != update.getDimSize(3))
    return emitOpError("cache and update must have the same heads and head dimension");
  if (!getBlockTable() && !compatible(cache.getDimSize(0), update.getDimSize(0)))
    return emitOpError("cache and update must have one batch size");
  return success(succeeded(verifyPerSequence(*this, update.getDimSize(0), getPositions(), "positions")) &&
                 succeeded(verifyPerSequence(*this, update.getDimSize(0), getLengths(), "lengths")));
}

} // namespace kforge::transformer
