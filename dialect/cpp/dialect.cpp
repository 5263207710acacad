//===- dialect.cpp - registration, types and attributes -------------------===//
#include "Transformer.h"
#include "mlir/Bytecode/BytecodeImplementation.h"
#include "mlir/Transforms/InliningUtils.h"
#include "llvm/ADT/TypeSwitch.h"

#include "TransformerDialect.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "TransformerTypes.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "TransformerAttributes.cpp.inc"
#define GET_OP_CLASSES
#include "TransformerOps.cpp.inc"

using namespace mlir;
namespace kforge::transformer {

/// What bytecode says of the dialect that wrote it; the description of the dialect has the table.
struct Version : DialectVersion {
  Version(uint64_t major, uint64_t minor) : major(major), minor(minor) {}
  uint64_t major, minor;
};
static const Version current(1, 1);

/// Bytecode carries the version. Types and attributes are encoded as their text, the interface's default.
struct BytecodeInterface : BytecodeDialectInterface {
  explicit BytecodeInterface(Dialect *dialect) : BytecodeDialectInterface(dialect) {}

  void writeVersion(DialectBytecodeWriter &writer) const override {
    writer.writeVarInt(current.major);
    writer.writeVarInt(current.minor);
  }

  std::unique_ptr<DialectVersion> readVersion(DialectBytecodeReader &reader) const override {
    uint64_t major, minor;
    if (failed(reader.readVarInt(major)) || failed(reader.readVarInt(minor)))
      return nullptr;
    if (std::pair(major, minor) > std::pair(current.major, current.minor)) {
      reader.emitError() << "written by version " << major << '.' << minor << " of the dialect 'transformer', and this is "
                         << current.major << '.' << current.minor << "; use a newer kforge-opt";
      return nullptr;
    }
    return std::make_unique<Version>(major, minor);
  }
};

LogicalResult RopeOp::readProperties(DialectBytecodeReader &reader, OperationState &state) {
  auto &properties = state.getOrAddProperties<Properties>();
  if (failed(reader.readAttribute(properties.base)) || failed(reader.readOptionalAttribute(properties.freq_divisors)) ||
      failed(reader.readAttribute(properties.mode)))
    return failure();
  // A file without a version is of 1.0.
  auto version = reader.getDialectVersion<TransformerDialect>();
  auto *written = succeeded(version) ? static_cast<const Version *>(*version) : nullptr;
  if (!written || std::pair(written->major, written->minor) < std::pair(uint64_t(1), uint64_t(1)))
    return success();
  return success(succeeded(reader.readOptionalAttribute(properties.dims)) &&
                 succeeded(reader.readOptionalAttribute(properties.scale)));
}

void RopeOp::writeProperties(DialectBytecodeWriter &writer) {
  auto &properties = getProperties();
  writer.writeAttribute(properties.base);
  writer.writeOptionalAttribute(properties.freq_divisors);
  writer.writeAttribute(properties.mode);
  // Since 1.1.
  writer.writeOptionalAttribute(properties.dims);
  writer.writeOptionalAttribute(properties.scale);
}

/// Every op means the same in any function, so all may be inlined.
struct InlinerInterface : DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;

  bool isLegalToInline(Operation *, Region *, bool, IRMapping &) const override { return true; }
  bool isLegalToInline(Region *, Region *, bool, IRMapping &) const override { return true; }
};

void TransformerDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "TransformerTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "TransformerAttributes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "TransformerOps.cpp.inc"
      >();
  addInterfaces<BytecodeInterface, InlinerInterface>();
}

Operation *TransformerDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}

std::pair<int64_t, int64_t> weightShape(Type type) {
  if (auto quant = dyn_cast<QuantType>(type))
    return {quant.getRows(), quant.getColumns()};
  auto tensor = cast<RankedTensorType>(type);
  return {tensor.getDimSize(0), tensor.getDimSize(1)};
}

// `<q4_1, 576x1536>`
Type QuantType::parse(AsmParser &parser) {
  StringRef format;
  SmallVector<int64_t, 2> shape;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseKeyword(&format) || parser.parseComma() ||
      parser.parseDimensionList(shape, /*allowDynamic=*/false, /*withTrailingX=*/false) || parser.parseGreater())
    return {};
  if (shape.size() != 2) {
    parser.emitError(loc, "a quantised weight has two dimensions, rows x columns");
    return {};
  }
  return getChecked([&] { return parser.emitError(loc); }, parser.getContext(), format, shape[0], shape[1]);
}

void QuantType::print(AsmPrinter &printer) const {
  printer << '<' << getFormat() << ", " << getRows() << 'x' << getColumns() << '>';
}

/// The block formats, with the weights of a block. `format.rs` of kforge-quant has the rest.
static constexpr std::pair<StringLiteral, int64_t> blockFormats[] = {
    {"q4_0", 32}, {"q4_1", 32}, {"q5_0", 32}, {"q5_1", 32}, {"q8_0", 32}, {"q2_k", 256}, {"q3_k", 256}, {"q4_k", 256}, {"q5_k", 256}, {"q6_k", 256},
    {"iq4_nl", 32}, {"iq4_xs", 256}, {"mxfp4", 32},
};

LogicalResult QuantType::verify(function_ref<InFlightDiagnostic()> emitError, StringRef format, int64_t rows, int64_t columns) {
  const auto *known = llvm::find_if(blockFormats, [&](const auto &row) { return row.first == format; });
  if (known == std::end(blockFormats)) {
    InFlightDiagnostic diagnostic = emitError() << "unknown block format '" << format << "'; use ";
    for (size_t i = 0, count = std::size(blockFormats); i < count; ++i)
      diagnostic << blockFormats[i].first << (i + 2 < count ? ", " : i + 2 == count ? " or " : "");
    return diagnostic;
  }
  int64_t block = known->second;
  if (rows < 0 || columns < 0 || columns % block != 0)
    return emitError() << "columns must be a multiple of the block of " << block << ", got " << columns;
  return success();
}

LogicalResult KernelAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef, ArrayRef<int64_t> tile) {
  for (int64_t size : tile)
    if (size < 0)
      return emitError() << "the sizes of a tile must be at least 0, got " << size;
  return success();
}

} // namespace kforge::transformer
