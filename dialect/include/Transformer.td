//===- Transformer.td - the transformer dialect ---------------------------===//
#ifndef KFORGE_TRANSFORMER
#define KFORGE_TRANSFORMER

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"

def Transformer_Dialect : Dialect {
  let name = "transformer";
  let cppNamespace = "::kforge::transformer";
  let summary = "The ops of a decoder-only transformer, on tensors.";
  let description = [{
    Each op is one step of the forward pass as the papers write it. Batch and
    sequence dimensions may be dynamic; the last dimension and head counts are
    static. Element-wise arithmetic is `arith` and `math` on tensors, views are
    `tensor.expand_shape` and `tensor.collapse_shape`, weights and caches are
    `ml_program.global`. What every op computes is defined by its reference
    semantics, plain Rust in `dialect/reference`.

    The examples are complete modules. Their first line is the command that runs
    them, with FILE in the place of the file's name.

    ## Discardable attributes

    Passes write them and passes read them; all are optional, and none changes what
    a module means.

    | attribute | on | value | meaning |
    |---|---|---|---|
    | `transformer.target` | a module | a string as `--select-kernels=target=` takes it | what kernels are generated for: an instruction set as `"avx512+vnni"`, or a GPU as `"gpu+f16+1024x32768"` |
    | `transformer.group` | an op | an i64 | ops of one number become one `transformer.fused` |
    | `transformer.layout` | a global or an argument | `"row_major"`, `"rows16"`, `"keys16"`, `"head_major"`, `"keys16_i8"` or `"head_major_i8"` | the physical layout |
    | `transformer.layouts` | `transformer.fused` | an array of layouts, one for each operand | the layouts that the kernel reads |
    | `transformer.result_layouts` | `transformer.fused` | an array of layouts, one for each result | the layouts that the kernel writes |
    | `transformer.tuned` | `transformer.fused` | a string | the key of the tile's rows in the tuning database |
    | `transformer.class`, `transformer.first`, `transformer.last`, `transformer.offset` | `memref.alloc` | an i64 each | the buffer's place in the arena, as `--plan-memory` explains it |
    | `transformer.arena` | a function | an array of i64 arrays | how classes of buffers share the arena |

    ## Versions

    Bytecode (`kforge-opt --emit-bytecode`) carries the version of the dialect that
    wrote it, MAJOR.MINOR; text carries none. A file of the same or an older version
    is read. One of a newer version is an error that names both.

    * A new MINOR version may add an op, an attribute with a default, an optional
      operand, or a value that an attribute may have. What an older one wrote keeps
      its meaning.
    * A new MAJOR version may also remove, rename or redefine; a row below says what
      becomes of files of the version before.

    | version | changes | files of older versions |
    |---|---|---|
    | 1.0 | the first with a number | a file without a version is read as one of 1.0 |
    | 1.1 | `scale`, `softcap`; `dims` and `scale` of `rope` | read; a `rope` has neither |

    Ops are encoded as their properties, the attributes in the order of their
    definition, so an op that gains an attribute needs code that reads its older
    form. Types and attributes of the dialect are encoded as their text.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
  let hasConstantMaterializer = 1;
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

//===----------------------------------------------------------------------===//
// Types and attributes
//===----------------------------------------------------------------------===//

/// An attribute of an op. The description is its default (`required` if it has none, `absent` if it is optional), `; ` and
/// its meaning; tools/tests/docs.rs makes the columns of docs/dialect.md of it.
class Transformer_Attr<Attr attr, string meaning> : ConfinedAttr<attr, []> {
  let description = !if(!initialized(attr.defaultValue), !if(attr.isOptional, "absent", "`" # attr.defaultValue # "`"),
                        !if(attr.isOptional, "absent", "required")) # "; " # meaning;
}

// Ranges. The text is part of the verifier's message and of the docs.
class Transformer_Range<code predicate, string text> : AttrConstraint<CPred<predicate>, text>;
class Transformer_OneOf<string first, string last>
    : Transformer_Range<"::llvm::is_contained({\"" # first # "\", \"" # last # "\"}, ::llvm::cast<::mlir::StringAttr>($_self).getValue())",
                        "that is \"" # first # "\" or \"" # last # "\"">;
def Transformer_Finite : Transformer_Range<"::llvm::cast<::mlir::FloatAttr>($_self).getValue().isFinite()", "that is finite">;
def Transformer_NotNegative : Transformer_Range<
    "::llvm::cast<::mlir::FloatAttr>($_self).getValue().isFinite() && ::llvm::cast<::mlir::FloatAttr>($_self).getValueAsDouble() >= 0",
    "that is finite and at least 0">;
def Transformer_Positive : Transformer_Range<
    "::llvm::cast<::mlir::FloatAttr>($_self).getValue().isFinite() && ::llvm::cast<::mlir::FloatAttr>($_self).getValueAsDouble() > 0",
    "that is finite and above 0">;
def Transformer_AllPositive : Transformer_Range<
    "::llvm::all_of(::llvm::cast<::mlir::DenseF32ArrayAttr>($_self).asArrayRef(), [](float x) { return std::isfinite(x) && x > 0; })",
    "of finite numbers above 0">;
def Transformer_AtLeastOne : Transformer_Range<"::llvm::cast<::mlir::IntegerAttr>($_self).getInt() >= 1", "of at least 1">;
def Transformer_IsAccess : Transformer_Range<
    "::llvm::all_of(::llvm::cast<::mlir::DenseI32ArrayAttr>($_self).asArrayRef(), [](int32_t x) { return x >= 0 && x <= 2; })",
    "of 0 (read), 1 (write) or 2 (both)">;
def Transformer_IsCheck : Transformer_Range<
    "::llvm::is_contained({\"same\", \"index\", \"position\", \"blocks\"}, ::llvm::cast<::mlir::StringAttr>($_self).getValue())",
    "that is \"same\", \"index\", \"position\" or \"blocks\"">;

def Transformer_Epsilon : Transformer_Attr<ConfinedAttr<F32Attr, [Transformer_NotNegative]>, "the formula's eps">;
def Transformer_RopeMode : Transformer_Attr<ConfinedAttr<StrAttr, [Transformer_OneOf<"interleaved", "half">]>,
    "which elements are a pair: (2i, 2i + 1), as in GGUF's llama, or (i, i + dims/2), as in Hugging Face's">;
def Transformer_RopeBase : Transformer_Attr<ConfinedAttr<F32Attr, [Transformer_Positive]>, "the formula's base">;
def Transformer_FreqDivisors : Transformer_Attr<OptionalAttr<ConfinedAttr<DenseF32ArrayAttr, [Transformer_AllPositive]>>,
    "one for each pair, 1 where absent: Llama 3.1's scaling of frequencies, or the long factors of LongRoPE">;
def Transformer_Window : Transformer_Attr<OptionalAttr<ConfinedAttr<I64Attr, [Transformer_AtLeastOne]>>,
    "how many keys a query sees, up to its own position; all where absent">;
def Transformer_Activation : Transformer_Attr<
    DefaultValuedStrAttr<ConfinedAttr<StrAttr, [Transformer_OneOf<"silu", "gelu">]>, "silu">, "`gelu` is the exact form, by erf">;
class Transformer_Flag<string meaning> : Transformer_Attr<UnitAttr, meaning>;

def Transformer_QuantType : TypeDef<Transformer_Dialect, "Quant"> {
  let mnemonic = "quant";
  let summary = "a block-quantised weight [rows, columns]";
  let description = [{
    A weight of `rows` x `columns` in blocks along a row, as GGUF files store it.
    A block of 32 weights has a scale d in f16, for `q4_1` and `q5_1` also a
    minimum m in f16, and 32 integers q; a weight is `d * q + m`. A block of 256
    has sub-blocks with a small integer s that scales d, and in some formats
    another, t, that scales m.

    | format | bits | weights a block | bytes a block | weight |
    |---|---|---|---|---|
    | q4_0 | 4 | 32 | 18 | d * (q - 8) |
    | q4_1 | 4 | 32 | 20 | d * q + m |
    | q5_0 | 5 | 32 | 22 | d * (q - 16) |
    | q5_1 | 5 | 32 | 24 | d * q + m |
    | q8_0 | 8 | 32 | 34 | d * q |
    | q2_k | 2 | 16 x 16 | 84 | d * s * q - m * t |
    | q3_k | 3 | 16 x 16 | 110 | d * s * (q - 4) |
    | q4_k | 4 | 8 x 32 | 144 | d * s * q - m * t |
    | q5_k | 5 | 8 x 32 | 176 | d * s * q - m * t |
    | q6_k | 6 | 16 x 16 | 210 | d * s * (q - 32) |
    | iq4_nl | 4 | 32 | 18 | d * v |
    | iq4_xs | 4 | 8 x 32 | 136 | d * s * v |
    | mxfp4 | 4 | 32 | 17 | d * v |

    v is entry q of the table -127, -104, -83, -65, -49, -35, -22, -10, 1, 13,
    25, 38, 53, 69, 89, 113 (`kvalues_iq4nl` of ggml); for mxfp4 of 0, 1, 2, 3, 4, 6,
    8, 12 and their negatives, twice the values of E2M1. The d of mxfp4 is not an f16
    but a byte e for 2^(e - 128), half the value of E8M0.

    Source: the [GGUF specification](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), whose blocks are the
    structures `block_q4_0` to `block_q8_0`, `block_q2_K` to `block_q6_K`, `block_iq4_nl`, `block_iq4_xs` and `block_mxfp4` of ggml's `ggml-common.h`.

    Example: `!transformer.quant<q4_1, 576x1536>`.
  }];
  let parameters = (ins
      StringRefParameter<"required; q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs or mxfp4; the format of a block">:$format,
      TypeParameter<"int64_t", "required; at least 0; rows of the matrix, the outputs of a linear layer">:$rows,
      TypeParameter<"int64_t", "required; a multiple of the weights of a block; elements of a row">:$columns);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Transformer_KernelAttr : AttrDef<Transformer_Dialect, "Kernel"> {
  let mnemonic = "kernel";
  let summary = "the selected kernel and its tile sizes";
  let description = [{
    Set by `--select-kernels` and `--tile`, or by hand. The family decides what
    the tile's numbers mean.

    | family | tile |
    |---|---|
    | gemv | [columns of a task, columns in registers, blocks asked for ahead] |
    | gemm | [rows of a task, rows in registers, columns of a task, depth of a block] |
    | matmul | [rows in registers, columns of a task] |
    | attention | [query rows of a task, heads of a task, tasks that share the keys of a row] |
    | rowwise, top_k, elementwise, rope, embedding | [] |

    The last of a gemm and the last two of a gemv may be left out.

    Example: `#transformer.kernel<"gemm", tile = [128, 8, 48]>`.
  }];
  let parameters = (ins
      StringRefParameter<"required; a family of the table, which lowering checks; who generates the kernel">:$name,
      OptionalArrayRefParameter<"int64_t", "none; each at least 0; the sizes of the table">:$tile);
  let assemblyFormat = "`<` $name (`,` `tile` `=` `[` $tile^ `]`)? `>`";
  let genVerifyDecl = 1;
}

def Transformer_Float : AnyTypeOf<[F16, BF16, F32]>;
def Transformer_FloatTensor : RankedTensorOf<[Transformer_Float]>;
def Transformer_Vector : 1DTensorOf<[Transformer_Float]>;
def Transformer_IdTensor : RankedTensorOf<[I32]>;
def Transformer_PerSequence : 1DTensorOf<[I32]>;
def Transformer_BlockTable : 2DTensorOf<[I32]>;
def Transformer_Weight : AnyTypeOf<[2DTensorOf<[Transformer_Float]>, Transformer_QuantType], "a matrix or a block-quantised weight">;

class Transformer_Op<string mnemonic, list<Trait> traits = []> : Op<Transformer_Dialect, mnemonic, traits>;

/// An op of tensors, whose result sizes follow from its operands.
class Transformer_TensorOp<string mnemonic, list<Trait> traits = []>
    : Transformer_Op<mnemonic, !listconcat([Pure, DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>], traits)> {
  let extraClassDefinition = [{
    ::llvm::LogicalResult $cppClass::reifyResultShapes(::mlir::OpBuilder &builder,
                                                       ::mlir::ReifiedRankedShapedTypeDims &shapes) {
      return ::kforge::transformer::reifyResults(builder, *this, shapes);
    }
  }];
}

//===----------------------------------------------------------------------===//
// Linear algebra
//===----------------------------------------------------------------------===//

def Transformer_EmbeddingOp : Transformer_TensorOp<"embedding"> {
  let summary = "rows of a table";
  let description = [{
    `result[..., :] = table[ids[...], :]`

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.4. An id outside the table is an error at run time.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    func.func @main(%ids: tensor<1x3xi32>, %table: !transformer.quant<q8_0, 100x64>) -> tensor<1x3x64xf32> {
      %x = transformer.embedding %ids, %table : tensor<1x3xi32>, !transformer.quant<q8_0, 100x64> -> tensor<1x3x64xf32>
      return %x : tensor<1x3x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_IdTensor:$ids, Transformer_Weight:$table);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$ids `,` $table attr-dict `:` type($ids) `,` type($table) `->` type($result)";
  let hasVerifier = 1;
}

def Transformer_LinearOp : Transformer_TensorOp<"linear"> {
  let summary = "input times weight transposed, plus bias";
  let description = [{
    `result[..., n] = sum over k of input[..., k] * weight[n, k] + bias[n]`

    Source: the `Linear` of PyTorch, `x A^T + b`. The weight is [N, K], as checkpoints store it, and may be quantised.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --input random:3 --compare reference
    func.func @main(%x: tensor<4x64xf32>, %w: !transformer.quant<q4_0, 128x64>, %b: tensor<128xf32>) -> tensor<4x128xf32> {
      %y = transformer.linear %x, %w bias %b : tensor<4x64xf32>, !transformer.quant<q4_0, 128x64>, tensor<128xf32> -> tensor<4x128xf32>
      return %y : tensor<4x128xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Weight:$weight, Optional<Transformer_Vector>:$bias);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = [{
    $input `,` $weight (`bias` $bias^)? attr-dict `:` type($input) `,` type($weight) (`,` type($bias)^)? `->` type($result)
  }];
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

def Transformer_MatmulOp : Transformer_TensorOp<"matmul"> {
  let summary = "batched matrix product of two activations";
  let description = [{
    `result[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]`

    Source: the GEMM of BLAS (Dongarra et al., 1990, doi:10.1145/77626.79170), for each index of the leading dimensions,
    which a, b and the result have in common.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    func.func @main(%q: tensor<2x5x64xf32>, %k: tensor<2x7x64xf32>) -> tensor<2x5x7xf32> {
      %s = transformer.matmul %q, %k {transpose_b} : tensor<2x5x64xf32>, tensor<2x7x64xf32> -> tensor<2x5x7xf32>
      return %s : tensor<2x5x7xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$a, Transformer_FloatTensor:$b, 
                       Transformer_Flag<"a is [..., k, m]">:$transpose_a, Transformer_Flag<"b is [..., n, k]">:$transpose_b);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$a `,` $b attr-dict `:` type($a) `,` type($b) `->` type($result)";
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

//===----------------------------------------------------------------------===//
// Norms and activations
//===----------------------------------------------------------------------===//

def Transformer_RmsNormOp : Transformer_TensorOp<"rms_norm", [AllTypesMatch<["input", "result"]>]> {
  let summary = "root-mean-square norm over the last axis";
  let description = [{
    `result = x / sqrt(mean(x^2) + eps) * weight`

    Source: Zhang and Sennrich, 2019, arXiv:1910.07467, equation 4; eps as in Llama, arXiv:2302.13971.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    func.func @main(%x: tensor<1x3x64xf32>, %g: tensor<64xf32>) -> tensor<1x3x64xf32> {
      %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x3x64xf32>, tensor<64xf32>
      return %n : tensor<1x3x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Vector:$weight, Transformer_Epsilon:$eps);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight attr-dict `:` type($input) `,` type($weight)";
  let hasVerifier = 1;
}

def Transformer_LayerNormOp : Transformer_TensorOp<"layer_norm", [AllTypesMatch<["input", "result"]>]> {
  let summary = "layer norm over the last axis";
  let description = [{
    `result = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`

    Source: Ba et al., 2016, arXiv:1607.06450, equations 3 and 4. The variance is the population's, the mean of
    `(x - mean(x))^2`. The bias is 0 where absent.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --input random:3 --compare reference
    func.func @main(%x: tensor<4x64xf32>, %g: tensor<64xf32>, %b: tensor<64xf32>) -> tensor<4x64xf32> {
      %n = transformer.layer_norm %x, %g, %b {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>, tensor<64xf32>
      return %n : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Vector:$weight, Optional<Transformer_Vector>:$bias, Transformer_Epsilon:$eps);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight (`,` $bias^)? attr-dict `:` type($input) `,` type($weight) (`,` type($bias)^)?";
  let hasVerifier = 1;
}

def Transformer_SoftmaxOp : Transformer_TensorOp<"softmax", [SameOperandsAndResultType]> {
  let summary = "softmax over the last axis";
  let description = [{
    `result = exp(x - max(x)) / sum(exp(x - max(x)))`

    Source: Bridle, 1990, doi:10.1007/978-3-642-76153-9_28; the maximum is subtracted so that nothing overflows. Over an
    axis of one element the result is 1, and folds to it.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<4x10xf32>) -> tensor<4x10xf32> {
      %p = transformer.softmax %x : tensor<4x10xf32>
      return %p : tensor<4x10xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1;
}

def Transformer_QuantizeOp : Transformer_TensorOp<"quantize", [SameOperandsAndResultType]> {
  let summary = "activations rounded to 8 bits, block by block";
  let description = [{
    `result = d * round(x * (127 / max|x|))` with `d = max|x| / 127`, for each block of 32 neighbours of the last axis

    Source: ggml's block format `q8_0` (`quantize_row_q8_0` of `ggml-quants.c`), but d stays f32 and halves round to even. All
    is computed in f32. A block of zeros stays zero. An element moves by at most `max|x| / 254` of its block. The last
    dimension must be static and a multiple of 32.

    `--quantize-activations` puts it before linear layers of quantised weights, whose kernels then multiply integers.
    Before `transformer.kv_update` it makes the rows of a cache fit into 8 bits, as which a global then is kept.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<1x3x64xf32>) -> tensor<1x3x64xf32> {
      %q = transformer.quantize %x : tensor<1x3x64xf32>
      return %q : tensor<1x3x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def Transformer_TopKOp : Transformer_TensorOp<"top_k"> {
  let summary = "the greatest elements of the last axis, and where they are";
  let description = [{
    `values[..., j]` is the j-th greatest of `input[..., :]`, and `indices[..., j]` its index there

    Source: `TopK` of ONNX, version 11, with `largest` and `sorted`. Of equal elements the first comes first, -0 being 0, and
    a NaN comes after all numbers. How many are wanted is the results' last dimension: one is argmax, the token that greedy
    decoding chooses.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%logits: tensor<1x3x100xf32>) -> (tensor<1x3x8xf32>, tensor<1x3x8xi32>) {
      %v, %i = transformer.top_k %logits : tensor<1x3x100xf32> -> tensor<1x3x8xf32>, tensor<1x3x8xi32>
      return %v, %i : tensor<1x3x8xf32>, tensor<1x3x8xi32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$values, Transformer_IdTensor:$indices);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($values) `,` type($indices)";
  let hasVerifier = 1;
}

def Transformer_GeluOp : Transformer_TensorOp<"gelu", [SameOperandsAndResultType]> {
  let summary = "Gaussian error linear unit";
  let description = [{
    `result = x/2 * (1 + erf(x / sqrt(2)))`, or with `approximate = "tanh"`
    `result = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`

    Source: Hendrycks and Gimpel, 2016, arXiv:1606.08415, section 2.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
      %y = transformer.gelu %x {approximate = "tanh"} : tensor<4x64xf32>
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, 
                       Transformer_Attr<DefaultValuedStrAttr<ConfinedAttr<StrAttr, [Transformer_OneOf<"none", "tanh">]>, "none">,
                                        "which of the two formulas">:$approximate);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Transformer_SiluOp : Transformer_TensorOp<"silu", [SameOperandsAndResultType]> {
  let summary = "sigmoid linear unit";
  let description = [{
    `result = x / (1 + exp(-x))`

    Source: Elfwing et al., 2017, arXiv:1702.03118; the Swish of Ramachandran et al., 2017, arXiv:1710.05941, with beta 1.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
      %y = transformer.silu %x : tensor<4x64xf32>
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Transformer_ScaleOp : Transformer_TensorOp<"scale", [SameOperandsAndResultType]> {
  let summary = "product with a constant";
  let description = [{
    `result = factor * x`

    Source: the embedding's scale of Vaswani et al., 2017, arXiv:1706.03762, section 3.4; the multipliers of muP, Yang et al.,
    2022, arXiv:2203.03466.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
      %y = transformer.scale %x {factor = 12.0 : f32} : tensor<4x64xf32>
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input,
                       Transformer_Attr<ConfinedAttr<F32Attr, [Transformer_Finite]>, "the formula's factor">:$factor);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Transformer_SoftcapOp : Transformer_TensorOp<"softcap", [SameOperandsAndResultType]> {
  let summary = "values limited smoothly to a range";
  let description = [{
    `result = cap * tanh(x / cap)`

    Source: the logits of Gemma 2, arXiv:2408.00118, section 2; Bello et al., 2016, arXiv:1611.09940, appendix A.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
      %y = transformer.softcap %x {cap = 30.0 : f32} : tensor<4x64xf32>
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input,
                       Transformer_Attr<ConfinedAttr<F32Attr, [Transformer_Positive]>, "the formula's cap">:$cap);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Transformer_SwigluOp : Transformer_TensorOp<"swiglu", [SameOperandsAndResultType]> {
  let summary = "gated activation of two linear layers";
  let description = [{
    `result = gate / (1 + exp(-gate)) * up`

    Source: Shazeer, 2020, arXiv:2002.05202, equation 5, after its two linear layers.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    func.func @main(%gate: tensor<4x64xf32>, %up: tensor<4x64xf32>) -> tensor<4x64xf32> {
      %y = transformer.swiglu %gate, %up : tensor<4x64xf32>
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$gate, Transformer_FloatTensor:$up);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$gate `,` $up attr-dict `:` type($gate)";
}

//===----------------------------------------------------------------------===//
// Attention and its cache
//===----------------------------------------------------------------------===//

def Transformer_RopeOp : Transformer_TensorOp<"rope", [AllTypesMatch<["input", "result"]>]> {
  let summary = "rotary position embedding";
  let description = [{
    Pair (x, y) number i of each head, in row s of sequence b, becomes `scale * (x cos a - y sin a, x sin a + y cos a)` with
    `a = (positions[b] + s) * base^(-2i/dims) / freq_divisors[i]`

    Source: Su et al., 2021, arXiv:2104.09864, section 3.2.2; the divisors of LongRoPE, arXiv:2402.13753, and Llama 3.1,
    arXiv:2407.21783; the scale of YaRN, arXiv:2309.00071; `dims` of GPT-NeoX, arXiv:2204.06745. The input is [B, S, H, D]. The
    first `dims` elements of a head are rotated, the others stay. Rows at and past `lengths[b]` are zero.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    func.func @main(%q: tensor<1x3x9x64xf32>, %at: tensor<1xi32>) -> tensor<1x3x9x64xf32> {
      %r = transformer.rope %q at %at {mode = "interleaved", base = 1.0e5 : f32} : tensor<1x3x9x64xf32>, tensor<1xi32>
      return %r : tensor<1x3x9x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_PerSequence:$positions,
                       Optional<Transformer_PerSequence>:$lengths, Transformer_RopeMode:$mode, Transformer_RopeBase:$base,
                       Transformer_FreqDivisors:$freq_divisors,
                       Transformer_Attr<OptionalAttr<ConfinedAttr<I64Attr, [Transformer_AtLeastOne]>>,
                                        "rotated elements of a head, an even number; all where absent">:$dims,
                       Transformer_Attr<OptionalAttr<ConfinedAttr<F32Attr, [Transformer_Positive]>>,
                                        "the formula's scale, 1 where absent">:$scale);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = [{
    $input `at` $positions (`lengths` $lengths^)? attr-dict `:` type($input) `,` type($positions) (`,` type($lengths)^)?
  }];
  // Bytecode of version 1.0 has no `dims` and `scale`.
  let useCustomPropertiesEncoding = 1;
  let hasVerifier = 1;
}

def Transformer_AttentionOp : Transformer_TensorOp<"attention", [AttrSizedOperandSegments, AllTypesMatch<["query", "result"]>]> {
  let summary = "scaled dot-product attention";
  let description = [{
    `result = softmax(scale * q k^T) v` for each query head

    Source: Vaswani et al., 2017, arXiv:1706.03762, equation 1. Heads of the query [B, S, Hq, D] share those of key and value
    [B, T, Hkv, D] in groups of Hq / Hkv (Ainslie et al., 2023, arXiv:2305.13245). `window` is that of Mistral
    (arXiv:2310.06825), `softcap` that of Gemma 2 (arXiv:2408.00118), the block table that of PagedAttention
    (Kwon et al., 2023, arXiv:2309.06180).

    With `positions`, key and value are a cache: query row s of sequence b is at position `p = positions[b] + s`, and keys
    below `positions[b] + lengths[b]` exist; `lengths[b]` is S where absent. Without, `p = T - S + s` and all T exist. A row
    without a visible key, and a row at or past `lengths[b]`, is zero. With a block table, key and value are
    [Blocks, BlockSize, Hkv, D] and position t of sequence b is row t mod BlockSize of block `block_table[b, t / BlockSize]`.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --input random:3 --input random:4 --compare reference
    func.func @main(%q: tensor<1x3x4x16xf32>, %k: tensor<1x8x2x16xf32>, %v: tensor<1x8x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x3x4x16xf32> {
      %o = transformer.attention %q, %k, %v at %at {causal} : tensor<1x3x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
      return %o : tensor<1x3x4x16xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$query, Transformer_FloatTensor:$key, Transformer_FloatTensor:$value,
                       Optional<Transformer_PerSequence>:$positions, Optional<Transformer_PerSequence>:$lengths,
                       Optional<Transformer_BlockTable>:$block_table,
                       Transformer_Flag<"hides keys after p">:$causal,
                       Transformer_Attr<OptionalAttr<ConfinedAttr<F32Attr, [Transformer_Finite]>>,
                                        "the formula's scale, 1/sqrt(D) where absent">:$scale,
                       Transformer_Window:$window,
                       Transformer_Attr<OptionalAttr<ConfinedAttr<F32Attr, [Transformer_Positive]>>,
                                        "c: a scaled score x becomes c tanh(x / c)">:$softcap);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`at` $positions^)? (`lengths` $lengths^)? (`blocks` $block_table^)? attr-dict
    `:` type($query) `,` type($key) `,` type($value) (`,` type($positions)^)? (`,` type($lengths)^)? (`blocks` type($block_table)^)?
  }];
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

def Transformer_KvUpdateOp : Transformer_TensorOp<"kv_update", [AttrSizedOperandSegments, AllTypesMatch<["cache", "result"]>]> {
  let summary = "a cache with new rows written";
  let description = [{
    `result[b, positions[b] + s] = update[b, s]` for `s < lengths[b]`, and elsewhere `result = cache`

    Source: the cached keys and values of incremental decoding, Shazeer, 2019, arXiv:1911.02150, section 2.4; the block table
    is that of PagedAttention (Kwon et al., 2023, arXiv:2309.06180) and of `transformer.attention`. The cache is [B, C, H, D],
    the update [B, S, H, D]; `lengths[b]` is S where absent. Lowering writes in place; a program in which that would need a
    copy is rejected. Past the capacity C is an error at run time.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    ml_program.global private mutable @keys : tensor<1x8x2x16xf32>

    func.func @main(%k: tensor<1x3x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x8x2x16xf32> {
      %old = ml_program.global_load @keys : tensor<1x8x2x16xf32>
      %new = transformer.kv_update %old, %k at %at : tensor<1x8x2x16xf32>, tensor<1x3x2x16xf32>, tensor<1xi32>
      ml_program.global_store @keys = %new : tensor<1x8x2x16xf32>
      %y = math.tanh %new : tensor<1x8x2x16xf32>
      return %y : tensor<1x8x2x16xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$cache, Transformer_FloatTensor:$update, Transformer_PerSequence:$positions,
                       Optional<Transformer_PerSequence>:$lengths, Optional<Transformer_BlockTable>:$block_table);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = [{
    $cache `,` $update `at` $positions (`lengths` $lengths^)? (`blocks` $block_table^)? attr-dict
    `:` type($cache) `,` type($update) `,` type($positions) (`,` type($lengths)^)? (`blocks` type($block_table)^)?
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Compositions
//===----------------------------------------------------------------------===//

def Transformer_MlpOp : Transformer_TensorOp<"mlp", [AllTypesMatch<["input", "result"]>]> {
  let summary = "gated feed-forward: down(activation(gate(x)) * up(x))";
  let description = [{
    `result = linear(activation(linear(input, gate)) * linear(input, up), down)`

    Source: Shazeer, 2020, arXiv:2002.05202, equation 6, without biases. `--decompose-mlp` makes three `linear` and an
    activation of it.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --input random:3 --input random:4 --compare reference
    func.func @main(%x: tensor<4x64xf32>, %gate: tensor<128x64xf32>, %up: tensor<128x64xf32>, %down: tensor<64x128xf32>) -> tensor<4x64xf32> {
      %y = transformer.mlp %x, %gate, %up, %down {activation = "gelu"} : tensor<4x64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Weight:$gate, Transformer_Weight:$up,
                       Transformer_Weight:$down, Transformer_Activation:$activation);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input `,` $gate `,` $up `,` $down attr-dict `:` type($input) `,` type($gate) `,` type($up) `,` type($down)";
  let hasVerifier = 1;
}

def Transformer_DecoderBlockOp : Transformer_TensorOp<"decoder_block",
    [AllTypesMatch<["input", "result"]>,
     AllTypesMatch<["k_cache", "new_k_cache"]>, AllTypesMatch<["v_cache", "new_v_cache"]>]> {
  let summary = "one layer of a pre-norm decoder";
  let description = [{
    ```
    n = rms_norm(input, attn_norm)
    q, k, v = rope(n wq^T), rope(n wk^T), n wv^T
    h = input + attention(q, k_cache with k, v_cache with v) wo^T
    result = h + mlp(rms_norm(h, mlp_norm))
    ```
    Source: Llama, Touvron et al., 2023, arXiv:2302.13971, section 2.2; the attention is causal. Results are the layer's output
    and both updated caches, [B, C, kv_heads, D]. `--decompose-decoder-block` makes the ops of the formula of it.

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --random-globals 3 --compare reference
    ml_program.global private @norm(#ml_program.extern<tensor<64xf32>>) : tensor<64xf32>
    ml_program.global private @wide(#ml_program.extern<tensor<64x64xf32>>) : tensor<64x64xf32>
    ml_program.global private @narrow(#ml_program.extern<tensor<32x64xf32>>) : tensor<32x64xf32>
    ml_program.global private @up(#ml_program.extern<tensor<128x64xf32>>) : tensor<128x64xf32>
    ml_program.global private @down(#ml_program.extern<tensor<64x128xf32>>) : tensor<64x128xf32>
    ml_program.global private mutable @keys : tensor<1x8x2x16xf32>
    ml_program.global private mutable @values : tensor<1x8x2x16xf32>

    func.func @main(%x: tensor<1x3x64xf32>, %at: tensor<1xi32>) -> tensor<1x3x64xf32> {
      %norm = ml_program.global_load_const @norm : tensor<64xf32>
      %wide = ml_program.global_load_const @wide : tensor<64x64xf32>
      %narrow = ml_program.global_load_const @narrow : tensor<32x64xf32>
      %up = ml_program.global_load_const @up : tensor<128x64xf32>
      %down = ml_program.global_load_const @down : tensor<64x128xf32>
      %keys = ml_program.global_load @keys : tensor<1x8x2x16xf32>
      %values = ml_program.global_load @values : tensor<1x8x2x16xf32>
      %y, %k, %v = transformer.decoder_block %x
        attn(%norm, %wide, %narrow, %narrow, %wide) mlp(%norm, %up, %up, %down) cache(%keys, %values) at %at
        {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "half", rope_base = 1.0e4 : f32}
        : tensor<1x3x64xf32>
        attn(tensor<64xf32>, tensor<64x64xf32>, tensor<32x64xf32>, tensor<32x64xf32>, tensor<64x64xf32>)
        mlp(tensor<64xf32>, tensor<128x64xf32>, tensor<128x64xf32>, tensor<64x128xf32>)
        cache(tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>) at tensor<1xi32>
      ml_program.global_store @keys = %k : tensor<1x8x2x16xf32>
      ml_program.global_store @values = %v : tensor<1x8x2x16xf32>
      return %y : tensor<1x3x64xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Vector:$attn_norm,
                       Transformer_Weight:$wq, Transformer_Weight:$wk, Transformer_Weight:$wv, Transformer_Weight:$wo,
                       Transformer_Vector:$mlp_norm, Transformer_Weight:$gate, Transformer_Weight:$up, Transformer_Weight:$down,
                       Transformer_FloatTensor:$k_cache, Transformer_FloatTensor:$v_cache,
                       Transformer_PerSequence:$positions, Optional<Transformer_PerSequence>:$lengths,
                       Transformer_Attr<ConfinedAttr<I64Attr, [Transformer_AtLeastOne]>,
                                        "query heads, a multiple of `kv_heads`">:$heads,
                       Transformer_Attr<ConfinedAttr<I64Attr, [Transformer_AtLeastOne]>,
                                        "heads of keys and values, as many as the caches have">:$kv_heads,
                       Transformer_Attr<ConfinedAttr<F32Attr, [Transformer_NotNegative]>, "the eps of both norms">:$eps,
                       Transformer_RopeMode:$rope_mode, Transformer_RopeBase:$rope_base,
                       Transformer_FreqDivisors:$rope_freq_divisors, Transformer_Window:$window,
                       Transformer_Activation:$activation,
                       Transformer_Flag<"the rows of k and v that enter the caches are those that `transformer.quantize` makes of them; D must be a multiple of 32">:$quantize_kv);
  let results = (outs Transformer_FloatTensor:$result, Transformer_FloatTensor:$new_k_cache, Transformer_FloatTensor:$new_v_cache);
  let assemblyFormat = [{
    $input `attn` `(` $attn_norm `,` $wq `,` $wk `,` $wv `,` $wo `)` `mlp` `(` $mlp_norm `,` $gate `,` $up `,` $down `)`
    `cache` `(` $k_cache `,` $v_cache `)` `at` $positions (`lengths` $lengths^)? attr-dict
    `:` type($input) `attn` `(` type($attn_norm) `,` type($wq) `,` type($wk) `,` type($wv) `,` type($wo) `)`
    `mlp` `(` type($mlp_norm) `,` type($gate) `,` type($up) `,` type($down) `)`
    `cache` `(` type($k_cache) `,` type($v_cache) `)` `at` type($positions) (`lengths` type($lengths)^)?
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// What the compiler makes
//===----------------------------------------------------------------------===//

def Transformer_FusedOp : Transformer_Op<"fused", [IsolatedFromAbove, SingleBlock, RecursiveMemoryEffects]> {
  let summary = "ops that become one kernel";
  let description = [{
    `results = body(inputs)`

    The region computes the results from the operands; it is the group's whole meaning, so a fusion can never change an
    answer by mistake. `--outline-groups` makes it, `--lower-to-launches` makes a kernel and a launch of it.

    Source: kernel fusion as in XLA's `fusion` instruction, whose called computation is its meaning.

    Syntax: `(` %argument `=` %input `:` type, ... `)` (`->` types)? (`kernel` attribute)? (`attributes` dictionary)? region

    ```mlir
    // kforge-run FILE --input random:1 --input random:2 --compare reference
    func.func @main(%x: tensor<1x64xf32>, %w: tensor<128x64xf32>) -> tensor<1x128xf32> {
      %y = transformer.fused(%a = %x : tensor<1x64xf32>, %b = %w : tensor<128x64xf32>) -> tensor<1x128xf32>
          kernel #transformer.kernel<"gemv", tile = [32]> {
        %0 = transformer.linear %a, %b : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
        %1 = transformer.silu %0 : tensor<1x128xf32>
        transformer.yield %1 : tensor<1x128xf32>
      }
      return %y : tensor<1x128xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$inputs, 
                       Transformer_Attr<OptionalAttr<Transformer_KernelAttr>,
                                        "the kernel that runs the region; `--select-kernels` chooses where absent">:$kernel);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
}

def Transformer_YieldOp : Transformer_Op<"yield", [Pure, Terminator, ReturnLike, ParentOneOf<["FusedOp"]>]> {
  let summary = "ends a fused region";
  let description = [{
    `results of the fused op = operands`

    Source: the terminators of upstream's regions, as `scf.yield`. The operands have the types of the results.

    ```mlir
    // kforge-run FILE --input random:1 --compare reference
    func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
      %y = transformer.fused(%a = %x : tensor<4x64xf32>) -> tensor<4x64xf32> {
        %0 = transformer.silu %a : tensor<4x64xf32>
        transformer.yield %0 : tensor<4x64xf32>
      }
      return %y : tensor<4x64xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "($operands^ `:` type($operands))? attr-dict";
}

def Transformer_LaunchOp : Transformer_Op<"launch", [AttrSizedOperandSegments]> {
  let summary = "runs a kernel over its tasks";
  let description = [{
    `kernel(task, scalars, buffers)` for each task from 0 to `tasks`, in any order and in parallel

    Source: the one-dimensional NDRange of OpenCL (specification 1.2, section 3.2), each task one work item. The kernel's
    parameters are the task, the scalars, then one memref for each buffer, which it views as contiguous in a shape of its own.
    `operations` is how many arithmetic operations all tasks take, for profiles.

    ```mlir
    // Launches, as --kforge-cpu makes them. Doubles each element.
    func.func private @double(%task: index, %x: memref<4xf32>, %y: memref<4xf32>) {
      %0 = memref.load %x[%task] : memref<4xf32>
      %1 = arith.addf %0, %0 : f32
      memref.store %1, %y[%task] : memref<4xf32>
      return
    }

    func.func @main(%x: memref<4xf32>) -> memref<4xf32> {
      %tasks = arith.constant 4 : index
      %y = memref.alloc() : memref<4xf32>
      transformer.launch @double tasks(%tasks) buffers(%x, %y : memref<4xf32>, memref<4xf32>) access [0, 1]
      return %y : memref<4xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_Attr<FlatSymbolRefAttr, "a private function of the module">:$kernel, Index:$tasks,
                       Variadic<Index>:$scalars, Variadic<AnyType>:$buffers, Optional<Index>:$operations,
                       Transformer_Attr<ConfinedAttr<DenseI32ArrayAttr, [Transformer_IsAccess]>,
                                        "what the kernel does with each buffer, one entry for each">:$access);
  let assemblyFormat = [{
    $kernel `tasks` `(` $tasks `)` (`scalars` `(` $scalars^ `)`)? (`buffers` `(` $buffers^ `:` type($buffers) `)`)? `access` $access (`operations` `(` $operations^ `)`)? attr-dict
  }];
  let hasVerifier = 1;
}

def Transformer_CheckOp : Transformer_Op<"check", [AttrSizedOperandSegments]> {
  let summary = "a condition on what a function is called with";
  let description = [{
    What sizes and integers of the caller must satisfy before any launch; if they do not, the call is an error. With sizes n:

    * `same`: `n[0] = n[1]`.
    * `index`: `0 <= id < n[0]` for every element of the one buffer.
    * `position`: `0 <= positions[b]` and `0 <= lengths[b] <= n[0]` for every sequence b, and `positions[b] + lengths[b] <=
      n[1]` where there is n[1], the capacity of the cache. The buffers are positions, then lengths, which are n[0] where absent.
    * `blocks`: `0 <= block_table[b, t / n[1]] < n[2]` for every position t that sequence b reads or writes. The buffers are
      the block table, positions, then lengths if there are any; the sizes are rows, positions of a block, blocks, and the
      window if there is one.

    Source: bounds that memory safety needs, as in `--lower-to-launches`, which makes the op.

    ```mlir
    // Launches, as --kforge-cpu makes them. Looks up the elements of a table.
    func.func private @lookup(%task: index, %ids: memref<3xi32>, %table: memref<100xf32>, %y: memref<3xf32>) {
      %0 = memref.load %ids[%task] : memref<3xi32>
      %1 = arith.index_cast %0 : i32 to index
      %2 = memref.load %table[%1] : memref<100xf32>
      memref.store %2, %y[%task] : memref<3xf32>
      return
    }

    func.func @main(%ids: memref<3xi32>, %table: memref<100xf32>) -> memref<3xf32> {
      %tasks = arith.constant 3 : index
      %size = arith.constant 100 : index
      transformer.check "index" buffers(%ids : memref<3xi32>) sizes(%size)
      %y = memref.alloc() : memref<3xf32>
      transformer.launch @lookup tasks(%tasks) buffers(%ids, %table, %y : memref<3xi32>, memref<100xf32>, memref<3xf32>) access [0, 0, 1]
      return %y : memref<3xf32>
    }
    ```
  }];
  let arguments = (ins Transformer_Attr<ConfinedAttr<StrAttr, [Transformer_IsCheck]>, "which of the conditions above">:$kind, Variadic<AnyType>:$buffers, Variadic<Index>:$sizes);
  let assemblyFormat = "$kind (`buffers` `(` $buffers^ `:` type($buffers) `)`)? `sizes` `(` $sizes `)` attr-dict";
  let hasVerifier = 1;
}

#endif // KFORGE_TRANSFORMER
