// mlir-opt, mlir-lsp-server and mlir-reduce as upstream builds them without its test library; argv[0] says which.
// scripts/upstream-lit.py compiles it: a test that passes with these needs nothing but the installed MLIR.

#include "mlir/IR/MLIRContext.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Tools/mlir-reduce/MlirReduceMain.h"
#include "llvm/Support/Path.h"

int main(int argc, char **argv) {
  llvm::StringRef name = llvm::sys::path::filename(argv[0]);
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  if (name == "mlir-lsp-server")
    return mlir::asMainReturnCode(mlir::MlirLspServerMain(argc, argv, registry));
  mlir::registerAllPasses();
  if (name == "mlir-reduce") {
    mlir::MLIRContext context(registry);
    return mlir::asMainReturnCode(mlir::mlirReduceMain(argc, argv, context));
  }
  mlir::registerAllGPUToLLVMIRTranslations(registry);
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "MLIR modular optimizer driver\n", registry));
}
