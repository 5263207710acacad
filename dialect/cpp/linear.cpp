//===- linear.cpp - embedding, linear, matmul -----------------------------===//
#include "Transformer.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
namespace kforge::transformer {

/// The shape of `input` with its last dimension replaced by `last`.
static bool matchesWithLast(RankedTensorType result, ArrayRef<int64_t> leading, int64_t last) {
  if (result.getRank() != static_cast<int64_t>(leading.size()) + 1 || !compatible(result.getShape().back(), last))
    return false;
  return llvm::all_of(llvm::zip(result.getShape().drop_back(), leading),
                      [](auto pair) { return compatible(std::get<0>(pair), std::get<1>(pair)); });
}

LogicalResult EmbeddingOp::verify() {
  auto ids = cast<RankedTensorType>(getIds().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  int64_t columns = weightShape(getTable().getType()).second;
  if (!matchesWithLast(result, ids.getShape(), columns))
    return emitOpError("result must be the ids' shape with a last dimension of ") << columns << ", but is " << result;
  return success();
}

LogicalResult LinearOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  auto [rows, columns] = weightShape(getWeight().getType());
  if (input.getRank() < 1)
    return emitOpError("input must have at least one dimension");
  if (!compatible(input.getShape().back(), columns))
    return emitOpError("input's last dimension (") << input.getShape().back() << ") must equal the weight's columns (" << columns << ")";
  if (!matchesWithLast(result, input.getShape().drop_back(), rows))
    return emitOpError("result must be the input's shape with a last dimension of ") << rows << ", but is " << result;
  if (result.getElementType() != input.getElementType())
    return emitOpError("result's element type must be the input's, ") << input.getElementType();
  if (getBias() && !compatible(cast<RankedTensorType>(getBias().getType()).getDimSize(0), rows))
    return emitOpError("bias must have ") << rows << " elements, but is " << getBias().getType();
  return success();
}

/// A bias of zeros adds nothing.
LogicalResult LinearOp::canonicalize(LinearOp op, PatternRewriter &rewriter) {
  if (!op.getBias() || !matchPattern(op.getBias(), m_AnyZeroFloat()))
    return failure();
  rewriter.modifyOpInPlace(op, [&] { op.getBiasMutable().clear(); });
  return success();
}

LogicalResult MatmulOp::verify() {
  auto a = cast<RankedTensorType>(getA().getType()), b = cast<RankedTensorType>(getB().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  int64_t rank = a.getRank();
  if (rank < 2 || b.getRank() != rank || result.getRank() != rank)
    return emitOpError("a, b and the result must have one rank of at least 2");
  for (int64_t axis = 0; axis < rank - 2; ++axis)
    if (!compatible(a.getDimSize(axis), b.getDimSize(axis)) || !compatible(a.getDimSize(axis), result.getDimSize(axis)))
      return emitOpError("dimension ") << axis << " of a, b and the result must be equal";
  int64_t m = a.getDimSize(rank - 2), k = a.getDimSize(rank - 1), kb = b.getDimSize(rank - 2), n = b.getDimSize(rank - 1);
  if (getTransposeA())
    std::swap(m, k);
  if (getTransposeB())
    std::swap(kb, n);
  if (!compatible(k, kb))
    return emitOpError("contracted dimensions differ: ") << k << " and " << kb;
  if (!compatible(result.getDimSize(rank - 2), m) || !compatible(result.getDimSize(rank - 1), n))
    return emitOpError("result must end in ") << m << " x " << n << ", but is " << result;
  if (result.getElementType() != a.getElementType() || b.getElementType() != a.getElementType())
    return emitOpError("a, b and the result must have one element type");
  return success();
}

/// The source of a transpose of the last two axes.
static Value transposed(Value value) {
  auto transpose = value.getDefiningOp<linalg::TransposeOp>();
  if (!transpose)
    return {};
  SmallVector<int64_t> last = llvm::to_vector(llvm::seq<int64_t>(0, transpose.getPermutation().size()));
  if (last.size() < 2)
    return {};
  std::swap(last[last.size() - 1], last[last.size() - 2]);
  return ArrayRef<int64_t>(last) == transpose.getPermutation() ? transpose.getInput() : Value();
}

/// A transposed operand is the flag toggled.
LogicalResult MatmulOp::canonicalize(MatmulOp op, PatternRewriter &rewriter) {
  Value a = transposed(op.getA()), b = transposed(op.getB());
  if (!a && !b)
    return failure();
  rewriter.modifyOpInPlace(op, [&] {
    if (a) {
      op.getAMutable().assign(a);
      op.setTransposeA(!op.getTransposeA());
    }
    if (b) {
      op.getBMutable().assign(b);
      op.setTransposeB(!op.getTransposeB());
    }
  });
  return success();
}

} // namespace kforge::transformer
