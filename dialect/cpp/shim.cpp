//===- shim.cpp - what MLIR's C API does not offer ------------------------===//
//
// Registers the dialect and passes written in Rust, parses with diagnostics as mlir-opt prints them, and enters upstream's
// mains.
// No algorithm lives here.
//
//===----------------------------------------------------------------------===//
#include "Transformer.h"
#include "mlir/CAPI/IR.h"
#include "mlir/CAPI/Pass.h"
#include "mlir/CAPI/Support.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MLProgram/IR/MLProgram.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Tools/mlir-reduce/MlirReduceMain.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/SourceMgr.h"
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

using namespace mlir;
using namespace kforge::transformer;

namespace {

/// Mirrors `OptionSpec` in ffi.rs. `kind`: 0 bool, 1 integer, 2 string.
struct OptionSpec {
  const char *name, *description, *value;
  int32_t kind;
};
/// A row of a registry: a pass, or a pipeline, which has no anchor.
struct PassSpec {
  const char *name, *description, *anchor;
  const OptionSpec *options;
  size_t optionCount;
  const void *row;
};

using TakeFn = void (*)(MlirStringRef, void *);
/// Gives the passes that a pipeline stands for, or false and why there are none.
using ExpandFn = bool (*)(const void *row, const MlirStringRef *values, size_t count, TakeFn take, void *data);
using RunFn = bool (*)(const void *row, void *pass, MlirOperation op, MlirContext context);

/// Each gives the value of an option as text.
using OptionValues = std::vector<std::function<std::string()>>;

/// Declares the options of an owner, a pass or the options of a pipeline.
template <typename Owner> OptionValues declareOptions(Owner &owner, const PassSpec &spec) {
  OptionValues values;
  auto add = [&](const OptionSpec &o, auto initial) {
    using T = decltype(initial);
    auto option = std::make_shared<typename Owner::template Option<T>>(owner, o.name, llvm::cl::desc(o.description),
                                                                       llvm::cl::init(initial));
    values.push_back([option] {
      std::string text;
      llvm::raw_string_ostream stream(text);
      stream << option->getValue();
      return text;
    });
  };
  for (const OptionSpec &o : llvm::ArrayRef(spec.options, spec.optionCount)) {
    StringRef value = o.value;
    if (o.kind == 0) {
      add(o, value == "true");
    } else if (o.kind == 1) {
      int64_t initial = 0;
      value.getAsInteger(10, initial);
      add(o, initial);
    } else {
      add(o, value.str());
    }
  }
  return values;
}

/// A pass whose body is Rust. Options are real ones, made from the registry row, so that help, pipelines and reproducers
/// treat it as any other pass. Statistics stay in Rust: LLVM as distributions build it has none.
class RustPass : public Pass {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(RustPass)
  using Pass::Option;

  RustPass(const PassSpec &spec, RunFn run)
      : Pass(TypeID::get<RustPass>(), spec.anchor ? std::optional<StringRef>(spec.anchor) : std::nullopt), spec(spec), run(run),
        values(declareOptions(*this, spec)) {}
  RustPass(const RustPass &other) : Pass(other), spec(other.spec), run(other.run), values(declareOptions(*this, spec)) {
    copyOptionValuesFrom(&other);
  }

  StringRef getName() const override { return spec.name; }
  StringRef getArgument() const override { return spec.name; }
  StringRef getDescription() const override { return spec.description; }
  std::unique_ptr<Pass> clonePass() const override { return std::make_unique<RustPass>(*this); }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<TransformerDialect, arith::ArithDialect, func::FuncDialect, gpu::GPUDialect, LLVM::LLVMDialect, math::MathDialect,
                    memref::MemRefDialect, ml_program::MLProgramDialect, scf::SCFDialect, tensor::TensorDialect, vector::VectorDialect>();
  }

  bool canScheduleOn(RegisteredOperationName name) const override { return !getOpName() || name.getStringRef() == *getOpName(); }
  void runOnOperation() override {
    if (!run(spec.row, this, wrap(getOperation()), wrap(&getContext())))
      signalPassFailure();
  }

  std::string option(size_t index) const { return values[index](); }

private:
  PassSpec spec;
  RunFn run;
  OptionValues values;
};

/// The options of a pipeline whose passes Rust names.
struct PipelineOptions : mlir::detail::PassOptions {
  explicit PipelineOptions(const PassSpec &spec) : values(declareOptions(*this, spec)) {}
  OptionValues values;
};

/// Keeps a text for the caller, who gives a string as `data`.
void keepText(MlirStringRef text, void *data) { static_cast<std::string *>(data)->assign(text.data, text.length); }

/// What MLIR says of a context from its making to its end, as text with the lines of the source.
struct Diagnostics {
  Diagnostics(MLIRContext *context, StringRef name, StringRef source) : context(context), stream(text), handler(sources, context, stream) {
    sources.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBufferCopy(source, name), llvm::SMLoc());
  }

  MLIRContext *context;
  std::string text;
  llvm::raw_string_ostream stream;
  llvm::SourceMgr sources;
  SourceMgrDiagnosticHandler handler;
};

/// Whether the process was started without a standard output. Rust's runtime opens /dev/null in its place before `main`,
/// but after this.
const bool startedWithoutOutput = fcntl(STDOUT_FILENO, F_GETFD) == -1;

/// What the tool writes, as its errors call it.
std::string written = "standard output";

/// LLVM's streams report a failed write when they are destroyed.
void fatalError(void *program, const char *reason, bool) {
  StringRef cause = reason;
  std::string message = cause.consume_front("IO failure on output stream: ")
                            ? (static_cast<const char *>(program) + Twine(": ") + written + " cannot be written: " + cause + "\n").str()
                            : ("LLVM ERROR: " + cause + "\n").str();
  (void)!::write(STDERR_FILENO, message.data(), message.size());
}

/// What programs add to the dialects that every tool knows.
std::vector<void (*)(MlirDialectRegistry)> dialectHooks;

void fillRegistry(DialectRegistry &registry) {
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerAllToLLVMIRTranslations(registry);
  registry.insert<TransformerDialect>();
  for (auto hook : dialectHooks)
    hook(wrap(&registry));
}

} // namespace

extern "C" {

void kforgeFillRegistry(MlirDialectRegistry registry) { fillRegistry(*unwrap(registry)); }

void kforgeAddDialects(void (*hook)(MlirDialectRegistry)) { dialectHooks.push_back(hook); }

/// What `spec` points to must outlive the process; it is the static registry row.
void kforgeRegisterPass(const PassSpec *spec, RunFn run) {
  PassSpec row = *spec;
  registerPass([row, run]() -> std::unique_ptr<Pass> { return std::make_unique<RustPass>(row, run); });
}

/// A named pipeline of a module. What `spec` points to must outlive the process.
void kforgeRegisterPipeline(const PassSpec *spec, ExpandFn expand) {
  PassSpec row = *spec;
  auto build = [row, expand](OpPassManager &pm, StringRef options, function_ref<LogicalResult(const Twine &)> error) -> LogicalResult {
    std::string name = row.name;
    // Anywhere else its passes of modules and functions would find nothing to run on, and say nothing.
    if (pm.getOpName() != ModuleOp::getOperationName())
      return error("the pipeline '" + name + "' runs on builtin.module, not on " + pm.getOpAnchorName() + "; use it as --" + name +
                   " on a module, or as --pass-pipeline='builtin.module(" + name + ")'");
    if (row.optionCount == 0 && !options.empty())
      return error("the pipeline takes no options");
    PipelineOptions parsed(row);
    if (failed(parsed.parseFromString(options)))
      return error("bad options of the pipeline: " + options);
    std::vector<std::string> texts;
    for (auto &value : parsed.values)
      texts.push_back(value());
    std::vector<MlirStringRef> values;
    for (const std::string &text : texts)
      values.push_back({text.data(), text.size()});
    std::string passes;
    if (!expand(row.row, values.data(), values.size(), keepText, &passes))
      return error("the pipeline '" + name + "': " + passes);
    return parsePassPipeline(passes, pm);
  };
  registerPassPipeline(row.name, row.description, build, [row](function_ref<void(const mlir::detail::PassOptions &)> visit) {
    if (row.optionCount)
      visit(PipelineOptions(row));
  });
}

void kforgeRegisterUpstreamPasses() { registerAllPasses(); }

void kforgePassOption(void *pass, size_t index, TakeFn take, void *data) {
  std::string value = static_cast<RustPass *>(pass)->option(index);
  take(MlirStringRef{value.data(), value.size()}, data);
}

/// `begin` is told the file to write and gives the one to write in its stead, or null after it has said why not; `end` is
/// told whether it was written, and gives whether the result is in place. Both get the `writer`.
int kforgeOptMain(int argc, char **argv, void *writer, const char *(*begin)(void *, const char *), bool (*end)(void *, bool)) {
  DialectRegistry registry;
  fillRegistry(registry);
  // For `--help`; the program answers both before it comes here.
  llvm::cl::opt<std::string> showPasses("show-passes", llvm::cl::ValueOptional, llvm::cl::value_desc("markdown"),
                                        llvm::cl::desc("List the passes of KernelForge and exit; markdown adds options and statistics"));
  llvm::cl::opt<std::string> explain("explain", llvm::cl::value_desc("OP|PASS"),
                                     llvm::cl::desc("Describe an op, a type, a pass or a pipeline of KernelForge and exit"));
  auto [input, output] = registerAndParseCLIOptions(argc, argv, "KernelForge optimizer driver\n", registry);
  if (output == "-")
    return asMainReturnCode(MlirOptMain(argc, argv, input, output, registry));
  const char *file = begin(writer, output.c_str());
  if (!file)
    return EXIT_FAILURE;
  written = output;
  bool done = succeeded(MlirOptMain(argc, argv, input, file, registry));
  return end(writer, done) && done ? EXIT_SUCCESS : EXIT_FAILURE;
}
int kforgeLspMain(int argc, char **argv) {
  DialectRegistry registry;
  fillRegistry(registry);
  return failed(MlirLspServerMain(argc, argv, registry));
}
int kforgeReduceMain(int argc, char **argv) {
  DialectRegistry registry;
  fillRegistry(registry);
  MLIRContext context(registry);
  return failed(mlirReduceMain(argc, argv, context));
}

/// The bytes of a dense_resource, or null where the module has none for it.
const uint8_t *kforgeResourceData(MlirAttribute attribute, size_t *length) {
  AsmResourceBlob *blob = cast<DenseResourceElementsAttr>(unwrap(attribute)).getRawHandle().getBlob();
  if (!blob)
    return nullptr;
  *length = blob->getData().size();
  // An empty array may have no address.
  return reinterpret_cast<const uint8_t *>(*length ? blob->getData().data() : "");
}

bool kforgeAttributeIsExtern(MlirAttribute attribute) { return isa<ml_program::ExternAttr>(unwrap(attribute)); }
/// To be called first in `main`: a reader that goes away ends the process, a standard output that is missing or full is an
/// error of one line. `program` must outlive the process.
void kforgeStart(const char *program) {
  // Rust's runtime ignores it.
  std::signal(SIGPIPE, SIG_DFL);
  if (startedWithoutOutput) {
    // What is written to a descriptor that only reads fails as it would if there were none.
    if (int null = open("/dev/null", O_RDONLY); null >= 0 && null != STDOUT_FILENO) {
      dup2(null, STDOUT_FILENO);
      close(null);
    }
  }
  llvm::install_fatal_error_handler(fatalError, const_cast<char *>(program));
}

/// Has a signal that ends the process remove a file, or no longer.
void kforgeRemoveOnSignal(const char *file) { llvm::sys::RemoveFileOnSignal(file); }
void kforgeKeepOnSignal(const char *file) { llvm::sys::DontRemoveFileOnSignal(file); }

Diagnostics *kforgeDiagnosticsNew(MlirContext context, MlirStringRef name, MlirStringRef source) {
  return new Diagnostics(unwrap(context), unwrap(name), unwrap(source));
}
void kforgeDiagnosticsDelete(Diagnostics *diagnostics) { delete diagnostics; }

/// The source as a verified module, or null.
MlirModule kforgeDiagnosticsParse(Diagnostics *diagnostics) {
  return wrap(parseSourceFile<ModuleOp>(diagnostics->sources, ParserConfig(diagnostics->context)).release());
}

/// Gives and forgets what was said.
void kforgeDiagnosticsTake(Diagnostics *diagnostics, void (*take)(MlirStringRef, void *), void *data) {
  take(wrap(StringRef(diagnostics->text)), data);
  diagnostics->text.clear();
}

bool kforgeTypeIsQuant(MlirType type) { return isa<QuantType>(unwrap(type)); }
MlirStringRef kforgeQuantFormat(MlirType type) { return wrap(cast<QuantType>(unwrap(type)).getFormat()); }
int64_t kforgeQuantRows(MlirType type) { return cast<QuantType>(unwrap(type)).getRows(); }
int64_t kforgeQuantColumns(MlirType type) { return cast<QuantType>(unwrap(type)).getColumns(); }

bool kforgeAttributeIsKernel(MlirAttribute attribute) { return isa<KernelAttr>(unwrap(attribute)); }
MlirAttribute kforgeKernelGet(MlirContext context, MlirStringRef name, const int64_t *tile, size_t count) {
  return wrap(KernelAttr::get(unwrap(context), unwrap(name), llvm::ArrayRef(tile, count)));
}
MlirStringRef kforgeKernelName(MlirAttribute attribute) { return wrap(cast<KernelAttr>(unwrap(attribute)).getName()); }
size_t kforgeKernelTile(MlirAttribute attribute, const int64_t **tile) {
  auto values = cast<KernelAttr>(unwrap(attribute)).getTile();
  *tile = values.data();
  return values.size();
}

} // extern "C"
