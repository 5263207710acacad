// A plugin with a pass: counts the ops of the transformer dialect.
//
//   c++ -std=c++17 -shared -fPIC -fno-rtti -fno-exceptions -DNDEBUG -I$(llvm-config-22 --includedir) \
//       count_transformer.cpp -o count_transformer.so
//   kforge-opt block.mlir --load-pass-plugin=./count_transformer.so --pass-pipeline="builtin.module(count-transformer)"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

using namespace mlir;

namespace {
struct CountTransformer : PassWrapper<CountTransformer, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CountTransformer)
  StringRef getArgument() const final { return "count-transformer"; }
  StringRef getDescription() const final { return "Count the ops of the transformer dialect"; }
  void runOnOperation() final {
    int64_t count = 0;
    getOperation().walk([&](Operation *op) { count += op->getName().getDialectNamespace() == "transformer"; });
    getOperation().emitRemark() << count << " ops of the transformer dialect";
  }
};
} // namespace

extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "count-transformer", "0.1", [] { PassRegistration<CountTransformer>(); }};
}
