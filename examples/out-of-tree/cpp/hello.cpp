// A dialect of one op, `hello.world`.
#include "mlir/CAPI/IR.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"

using namespace mlir;

namespace {
struct WorldOp : Op<WorldOp, OpTrait::ZeroOperands, OpTrait::ZeroResults, OpTrait::ZeroRegions, OpTrait::ZeroSuccessors> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(WorldOp)
  using Op::Op;
  static ArrayRef<StringRef> getAttributeNames() { return {}; }
  static StringRef getOperationName() { return "hello.world"; }
};

struct HelloDialect : Dialect {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(HelloDialect)
  explicit HelloDialect(MLIRContext *context)
      : Dialect(getDialectNamespace(), context, TypeID::get<HelloDialect>()) {
    addOperations<WorldOp>();
  }
  static StringRef getDialectNamespace() { return "hello"; }
};
} // namespace

extern "C" void helloDialects(MlirDialectRegistry registry) { unwrap(registry)->insert<HelloDialect>(); }
