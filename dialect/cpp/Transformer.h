//===- Transformer.h - generated declarations of the dialect --------------===//
#pragma once

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <cmath>

#include "TransformerDialect.h.inc"
#define GET_TYPEDEF_CLASSES
#include "TransformerTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "TransformerAttributes.h.inc"
#define GET_OP_CLASSES
#include "TransformerOps.h.inc"

namespace kforge::transformer {
/// The sizes of an op's results: what their types say, and for the rest what the operands have at run time.
llvm::LogicalResult reifyResults(mlir::OpBuilder &builder, mlir::Operation *op, mlir::ReifiedRankedShapedTypeDims &shapes);
/// Rows and columns of a weight operand: a rank-2 tensor or a quantised type.
std::pair<int64_t, int64_t> weightShape(mlir::Type type);
/// A [batch] vector, or no value.
mlir::LogicalResult verifyPerSequence(mlir::Operation *op, int64_t batch, mlir::Value value, llvm::StringRef name);
/// Whether heads of `depth` elements can be rotated, by as many divisors as there are pairs; `name` is their attribute.
mlir::LogicalResult verifyRotation(mlir::Operation *op, int64_t depth, llvm::StringRef name,
                                   std::optional<llvm::ArrayRef<float>> divisors, std::optional<int64_t> dims = std::nullopt);
/// A vector of the input's last dimension.
mlir::LogicalResult verifyVector(mlir::Operation *op, mlir::RankedTensorType input, mlir::Value vector, llvm::StringRef name);
/// Whether two sizes can be equal at run time.
inline bool compatible(int64_t a, int64_t b) {
  return a == b || mlir::ShapedType::isDynamic(a) || mlir::ShapedType::isDynamic(b);
}
} // namespace kforge::transformer
