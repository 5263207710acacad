// A plugin with a dialect of one op.
//
//   c++ -std=c++17 -shared -fPIC -fno-rtti -fno-exceptions -DNDEBUG -I$(llvm-config-22 --includedir) \
//       hello_dialect.cpp -o hello_dialect.so
//   echo '"hello.world"() : () -> ()' | kforge-opt --load-dialect-plugin=./hello_dialect.so

#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"

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

extern "C" LLVM_ATTRIBUTE_WEAK DialectPluginLibraryInfo mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "hello", "0.1", [](DialectRegistry *registry) { registry->insert<HelloDialect>(); }};
}
