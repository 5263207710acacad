//===- block.cpp - mlp, decoder_block, fused, launch ----------------------===//
#include "Transformer.h"

using namespace mlir;
namespace kforge::transformer {

static LogicalResult verifyWeight(Operation *op, Type type, int64_t rows, int64_t columns, StringRef name) {
  auto [n, k] = weightShape(type);
  if (compatible(n, rows) && compatible(k, columns))
    return success();
  return op->emitOpError() << name << " must be " << rows << " x " << columns << ", but is " << type;
}

static LogicalResult verifyMlp(Operation *op, int64_t width, Value gate, Value up, Value down) {
  int64_t inner = weightShape(gate.getType()).first;
  return success(succeeded(verifyWeight(op, gate.getType(), inner, width, "gate")) &&
                 succeeded(verifyWeight(op, up.getType(), inner, width, "up")) &&
                 succeeded(verifyWeight(op, down.getType(), width, inner, "down")));
}

LogicalResult MlpOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  if (input.getRank() < 1)
    return emitOpError("input must have at least one dimension");
  return verifyMlp(*this, input.getShape().back(), getGate(), getUp(), getDown());
}

LogicalResult DecoderBlockOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto cache = cast<RankedTensorType>(getKCache().getType());
  if (input.getRank() != 3 || input.isDynamicDim(2))
    return emitOpError("input must be [batch, sequence, width], but is ") << input;
  if (cache.getRank() != 4 || cache.isDynamicDim(2) || cache.isDynamicDim(3) || getKCache().getType() != getVCache().getType())
    return emitOpError("both caches must be [batch, capacity, heads, head dimension] with static heads");
  int64_t width = input.getDimSize(2), depth = cache.getDimSize(3);
  int64_t heads = getHeads(), kvHeads = getKvHeads();
  if (heads % kvHeads != 0)
    return emitOpError("heads (") << heads << ") must be a multiple of kv_heads (" << kvHeads << ")";
  if (cache.getDimSize(2) != kvHeads)
    return emitOpError("the caches must have ") << kvHeads << " heads";
  if (getQuantizeKv() && depth % 32 != 0)
    return emitOpError("with quantize_kv the head dimension must be a multiple of 32, but it is ") << depth;
  int64_t batch = input.getDimSize(0);
  if (!compatible(cache.getDimSize(0), batch))
    return emitOpError("input and caches must have one batch size");
  if (failed(verifyRotation(*this, depth, getRopeFreqDivisorsAttrName(), getRopeFreqDivisors())) ||
      failed(verifyPerSequence(*this, batch, getPositions(), "positions")) ||
      failed(verifyPerSequence(*this, batch, getLengths(), "lengths")) ||
      failed(verifyVector(*this, input, getAttnNorm(), "attn_norm")) ||
      failed(verifyVector(*this, input, getMlpNorm(), "mlp_norm")))
    return failure();
  if (failed(verifyWeight(*this, getWq().getType(), heads * depth, width, "wq")) ||
      failed(verifyWeight(*this, getWk().getType(), kvHeads * depth, width, "wk")) ||
      failed(verifyWeight(*this, getWv().getType(), kvHeads * depth, width, "wv")) ||
      failed(verifyWeight(*this, getWo().getType(), width, heads * depth, "wo")))
    return failure();
  return verifyMlp(*this, width, getGate(), getUp(), getDown());
}

// `(%a = %x : type, ...) -> (types) [kernel attr] [attributes attr-dict] region`
ParseResult FusedOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  SmallVector<Type> types;
  auto parseInput = [&]() -> ParseResult {
    OpAsmParser::Argument &argument = arguments.emplace_back();
    if (parser.parseArgument(argument) || parser.parseEqual() || parser.parseOperand(operands.emplace_back()) ||
        parser.parseColonType(argument.type))
      return failure();
    types.push_back(argument.type);
    return success();
  };
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, parseInput) ||
      parser.parseOptionalArrowTypeList(result.types))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("kernel"))) {
    KernelAttr kernel;
    if (parser.parseAttribute(kernel, "kernel", result.attributes))
      return failure();
  }
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes) ||
      parser.resolveOperands(operands, types, loc, result.operands))
    return failure();
  return parser.parseRegion(*result.addRegion(), arguments);
}

void FusedOp::print(OpAsmPrinter &printer) {
  Block &block = getBody().front();
  printer << '(';
  llvm::interleaveComma(llvm::zip(block.getArguments(), getInputs()), printer, [&](auto pair) {
    auto [argument, input] = pair;
    printer << argument << " = " << input << " : " << argument.getType();
  });
  printer << ')';
  printer.printOptionalArrowTypeList(getResultTypes());
  if (auto kernel = getKernelAttr()) {
    printer << " kernel ";
    printer.printAttribute(kernel);
  }
  printer.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"kernel"});
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult FusedOp::verifyRegions() {
  Block &block = getBody().front();
  if (block.getArgumentTypes() != getInputs().getTypes())
    return emitOpError("region arguments must have the types of the operands");
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError("region must end in 'transformer.yield'");
  if (yield.getOperandTypes() != getResultTypes())
    return yield.emitOpError("must yield the types of the fused op's results");
  return success();
}

LogicalResult LaunchOp::verify() {
  if (getAccess().size() != getBuffers().size())
    return emitOpError("access must have one entry for each of the ") << getBuffers().size() << " buffers";
  return success();
}

LogicalResult CheckOp::verify() {
  size_t buffers = getBuffers().size(), sizes = getSizes().size();
  if (getKind() == "index")
    return buffers == 1 && sizes == 1 ? success() : emitOpError("of kind \"index\" takes one buffer and one size");
  if (getKind() == "position")
    return (buffers == 1 || buffers == 2) && (sizes == 1 || sizes == 2) ? success() : emitOpError("of kind \"position\" takes one or two buffers and one or two sizes");
  if (getKind() == "blocks")
    return (buffers == 2 || buffers == 3) && (sizes == 3 || sizes == 4) ? success() : emitOpError("of kind \"blocks\" takes two or three buffers and three or four sizes");
  return buffers == 0 && sizes == 2 ? success() : emitOpError("of kind \"same\" takes two sizes");
}

} // namespace kforge::transformer
