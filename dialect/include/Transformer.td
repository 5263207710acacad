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

    Discardable attributes: `transformer.layout` on a global or an argument names
    its physical layout; `transformer.group` on an op is the fusion annotation;
    `transformer.isa` on the module names the instruction set.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
  let hasConstantMaterializer = 1;
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

//===----------------------------------------------------------------------===//
// Types and attributes
//===----------------------------------------------------------------------===//

def Transformer_QuantType : TypeDef<Transformer_Dialect, "Quant"> {
  let mnemonic = "quant";
  let summary = "a block-quantised weight [rows, columns]";
  let description = [{
    A weight of `rows` x `columns` in blocks along a row, as GGUF files store it.
    A block of 32 weights has a scale d in f16, for `q4_1` and `q5_1` also a
    minimum m in f16, and 32 integers q; a weight is `d * q + m`. A block of 256,
    of the K formats, has sub-blocks with a small integer s that scales d, and
    in two of them another, t, that scales m.

    | format | bits | weights a block | bytes a block | weight |
    |---|---|---|---|---|
    | q4_0 | 4 | 32 | 18 | d * (q - 8) |
    | q4_1 | 4 | 32 | 20 | d * q + m |
    | q5_0 | 5 | 32 | 22 | d * (q - 16) |
    | q5_1 | 5 | 32 | 24 | d * q + m |
    | q8_0 | 8 | 32 | 34 | d * q |
    | q4_k | 4 | 8 x 32 | 144 | d * s * q - m * t |
    | q5_k | 5 | 8 x 32 | 176 | d * s * q - m * t |
    | q6_k | 6 | 16 x 16 | 210 | d * s * (q - 32) |

    Example: `!transformer.quant<q4_1, 576x1536>`.
  }];
  let parameters = (ins StringRefParameter<"block format">:$format, "int64_t":$rows, "int64_t":$columns);
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
  let parameters = (ins StringRefParameter<"kernel family">:$name, OptionalArrayRefParameter<"int64_t">:$tile);
  let assemblyFormat = "`<` $name (`,` `tile` `=` `[` $tile^ `]`)? `>`";
}

def Transformer_Float : AnyTypeOf<[F16, BF16, F32]>;
def Transformer_FloatTensor : RankedTensorOf<[Transformer_Float]>;
def Transformer_Vector : 1DTensorOf<[Transformer_Float]>;
def Transformer_IdTensor : RankedTensorOf<[I32]>;
def Transformer_PerSequence : 1DTensorOf<[I32]>;
def Transformer_BlockTable : 2DTensorOf<[I32]>;
def Transformer_Weight : AnyTypeOf<[2DTensorOf<[Transformer_Float]>, Transformer_QuantType], "a matrix or a block-quantised weight">;

class Transformer_Op<string mnemonic, list<Trait> traits = []> : Op<Transformer_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Linear algebra
//===----------------------------------------------------------------------===//

def Transformer_EmbeddingOp : Transformer_Op<"embedding", [Pure]> {
  let summary = "rows of a table";
  let description = [{
    `result[..., :] = table[ids[...], :]`. An id outside the table is an error at run time.

    ```mlir
    %x = transformer.embedding %ids, %table : tensor<1x?xi32>, !transformer.quant<q8_0, 49152x576> -> tensor<1x?x576xf32>
    ```
  }];
  let arguments = (ins Transformer_IdTensor:$ids, Transformer_Weight:$table);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$ids `,` $table attr-dict `:` type($ids) `,` type($table) `->` type($result)";
  let hasVerifier = 1;
}

def Transformer_LinearOp : Transformer_Op<"linear", [Pure]> {
  let summary = "input times weight transposed, plus bias";
  let description = [{
    `result[..., n] = sum over k of input[..., k] * weight[n, k] + bias[n]`.
    The weight is [N, K], as checkpoints store it, and may be quantised.

    ```mlir
    %y = transformer.linear %x, %w : tensor<1x?x64xf32>, tensor<128x64xf32> -> tensor<1x?x128xf32>
    %z = transformer.linear %x, %q bias %b : tensor<4x64xf32>, !transformer.quant<q4_0, 128x64>, tensor<128xf32> -> tensor<4x128xf32>
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

def Transformer_MatmulOp : Transformer_Op<"matmul", [Pure]> {
  let summary = "batched matrix product of two activations";
  let description = [{
    `result[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]`; `transpose_a`
    and `transpose_b` say that an operand's last two axes are swapped. All leading
    dimensions are equal.

    ```mlir
    %s = transformer.matmul %q, %k {transpose_b} : tensor<9x?x64xf32>, tensor<9x?x64xf32> -> tensor<9x?x?xf32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$a, Transformer_FloatTensor:$b, UnitAttr:$transpose_a, UnitAttr:$transpose_b);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$a `,` $b attr-dict `:` type($a) `,` type($b) `->` type($result)";
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

//===----------------------------------------------------------------------===//
// Norms and activations
//===----------------------------------------------------------------------===//

def Transformer_RmsNormOp : Transformer_Op<"rms_norm", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "root-mean-square norm over the last axis";
  let description = [{
    `x / sqrt(mean(x^2) + eps) * weight` (Zhang and Sennrich, 2019).

    ```mlir
    %n = transformer.rms_norm %x, %g {eps = 1.0e-5 : f32} : tensor<1x?x64xf32>, tensor<64xf32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Vector:$weight, F32Attr:$eps);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight attr-dict `:` type($input) `,` type($weight)";
  let hasVerifier = 1;
}

def Transformer_LayerNormOp : Transformer_Op<"layer_norm", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "layer norm over the last axis";
  let description = [{
    `(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias` (Ba et al., 2016).

    ```mlir
    %n = transformer.layer_norm %x, %g, %b {eps = 1.0e-5 : f32} : tensor<4x64xf32>, tensor<64xf32>, tensor<64xf32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Vector:$weight, Optional<Transformer_Vector>:$bias, F32Attr:$eps);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight (`,` $bias^)? attr-dict `:` type($input) `,` type($weight) (`,` type($bias)^)?";
  let hasVerifier = 1;
}

def Transformer_SoftmaxOp : Transformer_Op<"softmax", [Pure, SameOperandsAndResultType]> {
  let summary = "softmax over the last axis";
  let description = "`exp(x - max) / sum(exp(x - max))`. Over an axis of one element it is 1, and folds so.";
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1;
}

def Transformer_QuantizeOp : Transformer_Op<"quantize", [Pure, SameOperandsAndResultType]> {
  let summary = "activations rounded to 8 bits, block by block";
  let description = [{
    Of each block of 32 neighbours of the last axis, `d = max|x| / 127` and `q = round(x * (127 / max|x|))`, half to
    even, all in f32; the result is `d q`. A block of zeros stays zero. An element moves by at most `max|x| / 254` of
    its block. The last dimension must be static and a multiple of 32.

    `--quantize-activations` puts it before linear layers of quantised weights, whose kernels then multiply integers.
    Before `transformer.kv_update` it makes the rows of a cache fit into 8 bits, as which a global then is kept.

    ```mlir
    %q = transformer.quantize %x : tensor<1x?x64xf32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def Transformer_TopKOp : Transformer_Op<"top_k", [Pure]> {
  let summary = "the greatest elements of the last axis, and where they are";
  let description = [{
    `values[..., j]` is the j-th greatest of `input[..., :]` and `indices[..., j]` its index there. Of equal elements the
    first comes first, -0 being 0, and a NaN comes after all numbers. How many are wanted is the results' last
    dimension: one is argmax, the token that greedy decoding chooses.

    ```mlir
    %v, %i = transformer.top_k %logits : tensor<1x?x49152xf32> -> tensor<1x?x8xf32>, tensor<1x?x8xi32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$values, Transformer_IdTensor:$indices);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($values) `,` type($indices)";
  let hasVerifier = 1;
}

def Transformer_GeluOp : Transformer_Op<"gelu", [Pure, SameOperandsAndResultType]> {
  let summary = "Gaussian error linear unit";
  let description = [{
    `x/2 (1 + erf(x / sqrt 2))`, or with `approximate = "tanh"` the tanh form (Hendrycks and Gimpel, 2016).
  }];
  let arguments = (ins Transformer_FloatTensor:$input, DefaultValuedStrAttr<StrAttr, "none">:$approximate);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def Transformer_SiluOp : Transformer_Op<"silu", [Pure, SameOperandsAndResultType]> {
  let summary = "x / (1 + exp(-x))";
  let arguments = (ins Transformer_FloatTensor:$input);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def Transformer_SwigluOp : Transformer_Op<"swiglu", [Pure, SameOperandsAndResultType]> {
  let summary = "silu(gate) * up";
  let description = "The gated unit of Shazeer (2020), after its two linear layers.";
  let arguments = (ins Transformer_FloatTensor:$gate, Transformer_FloatTensor:$up);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$gate `,` $up attr-dict `:` type($gate)";
}

//===----------------------------------------------------------------------===//
// Attention and its cache
//===----------------------------------------------------------------------===//

def Transformer_RopeOp : Transformer_Op<"rope", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "rotary position embedding";
  let description = [{
    Rotates pairs of each head of `input` [B, S, H, D] by an angle that grows with
    the position (Su et al., 2021): pair i of row s of sequence b turns by
    `(positions[b] + s) * base^(-2i/D) / freq_divisors[i]`. Pairs are (2i, 2i+1)
    in mode `interleaved` (GGUF's llama) and (i, i + D/2) in mode `half` (Hugging
    Face). Rows past `lengths[b]` are zero.

    ```mlir
    %r = transformer.rope %q at %pos {mode = "interleaved", base = 1.0e5 : f32} : tensor<1x?x9x64xf32>, tensor<1xi32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_PerSequence:$positions,
                       Optional<Transformer_PerSequence>:$lengths, StrAttr:$mode, F32Attr:$base,
                       OptionalAttr<DenseF32ArrayAttr>:$freq_divisors);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = [{
    $input `at` $positions (`lengths` $lengths^)? attr-dict `:` type($input) `,` type($positions) (`,` type($lengths)^)?
  }];
  let hasVerifier = 1;
}

def Transformer_AttentionOp : Transformer_Op<"attention", [Pure, AttrSizedOperandSegments, AllTypesMatch<["query", "result"]>]> {
  let summary = "scaled dot-product attention";
  let description = [{
    `softmax(scale * q k^T) v` for each query head, heads of the query [B, S, Hq, D]
    sharing those of key and value [B, T, Hkv, D] in groups of Hq / Hkv.

    With `positions`, key and value are a cache: query row s of sequence b is at
    position `p = positions[b] + s`, and keys below `positions[b] + lengths[b]`
    exist. Without, `p = T - S + s` and all T exist. `causal` hides keys after p,
    `window` those at or before p - window. `softcap` c turns a score x into
    `c tanh(x / c)`. `scale` is 1/sqrt(D) unless given. A row without a visible
    key, and a row past `lengths[b]`, is zero. With a block table, key and value
    are [Blocks, BlockSize, Hkv, D] and position t of sequence b is row
    t mod BlockSize of block `block_table[b, t / BlockSize]`.

    ```mlir
    %o = transformer.attention %q, %k, %v at %pos {causal} : tensor<1x?x9x64xf32>, tensor<1x?x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32>
    ```
  }];
  let arguments = (ins Transformer_FloatTensor:$query, Transformer_FloatTensor:$key, Transformer_FloatTensor:$value,
                       Optional<Transformer_PerSequence>:$positions, Optional<Transformer_PerSequence>:$lengths,
                       Optional<Transformer_BlockTable>:$block_table,
                       UnitAttr:$causal, OptionalAttr<F32Attr>:$scale, OptionalAttr<I64Attr>:$window, OptionalAttr<F32Attr>:$softcap);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`at` $positions^)? (`lengths` $lengths^)? (`blocks` $block_table^)? attr-dict
    `:` type($query) `,` type($key) `,` type($value) (`,` type($positions)^)? (`,` type($lengths)^)? (`blocks` type($block_table)^)?
  }];
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

def Transformer_KvUpdateOp : Transformer_Op<"kv_update", [Pure, AttrSizedOperandSegments, AllTypesMatch<["cache", "result"]>]> {
  let summary = "a cache with new rows written";
  let description = [{
    The cache [B, C, H, D] with rows s < `lengths[b]` of `update` [B, S, H, D] at
    positions `positions[b] + s`. Lowering writes in place; a program in which
    that would need a copy is rejected. Past the capacity C is an error at run time.

    ```mlir
    %c = transformer.kv_update %cache, %k at %pos : tensor<1x?x3x64xf32>, tensor<1x?x3x64xf32>, tensor<1xi32>
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

def Transformer_MlpOp : Transformer_Op<"mlp", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "gated feed-forward: down(activation(gate(x)) * up(x))";
  let description = "Decomposes into three `linear` and an activation (`silu` or `gelu`) by `--decompose-mlp`.";
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Weight:$gate, Transformer_Weight:$up,
                       Transformer_Weight:$down, DefaultValuedStrAttr<StrAttr, "silu">:$activation);
  let results = (outs Transformer_FloatTensor:$result);
  let assemblyFormat = "$input `,` $gate `,` $up `,` $down attr-dict `:` type($input) `,` type($gate) `,` type($up) `,` type($down)";
  let hasVerifier = 1;
}

def Transformer_DecoderBlockOp : Transformer_Op<"decoder_block",
    [Pure, AllTypesMatch<["input", "result"]>,
     AllTypesMatch<["k_cache", "new_k_cache"]>, AllTypesMatch<["v_cache", "new_v_cache"]>]> {
  let summary = "one layer of a pre-norm decoder";
  let description = [{
    ```
    n = rms_norm(input, attn_norm)
    q, k, v = rope(n wq^T), rope(n wk^T), n wv^T
    h = input + attention(q, k_cache with k, v_cache with v) wo^T
    result = h + mlp(rms_norm(h, mlp_norm))
    ```
    Results are the layer's output and both updated caches. With `quantize_kv` the rows of k and v that enter the
    caches are those that `transformer.quantize` makes of them, so the head dimension must be a multiple of 32.
    `--decompose-decoder-block` spells it out.
  }];
  let arguments = (ins Transformer_FloatTensor:$input, Transformer_Vector:$attn_norm,
                       Transformer_Weight:$wq, Transformer_Weight:$wk, Transformer_Weight:$wv, Transformer_Weight:$wo,
                       Transformer_Vector:$mlp_norm, Transformer_Weight:$gate, Transformer_Weight:$up, Transformer_Weight:$down,
                       Transformer_FloatTensor:$k_cache, Transformer_FloatTensor:$v_cache,
                       Transformer_PerSequence:$positions, Optional<Transformer_PerSequence>:$lengths,
                       I64Attr:$heads, I64Attr:$kv_heads, F32Attr:$eps, StrAttr:$rope_mode, F32Attr:$rope_base,
                       OptionalAttr<DenseF32ArrayAttr>:$rope_freq_divisors, OptionalAttr<I64Attr>:$window,
                       DefaultValuedStrAttr<StrAttr, "silu">:$activation, UnitAttr:$quantize_kv);
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
    The region computes the results from the operands; it is the group's whole
    meaning, so a fusion can never change an answer by mistake. `kernel` says
    which kernel family runs it.

    ```mlir
    %y = transformer.fused(%a = %x : tensor<1x64xf32>, %b = %w : tensor<128x64xf32>) -> tensor<1x128xf32>
        kernel #transformer.kernel<"gemv", tile = [32]> {
      %0 = transformer.linear %a, %b : tensor<1x64xf32>, tensor<128x64xf32> -> tensor<1x128xf32>
      transformer.yield %0 : tensor<1x128xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$inputs, OptionalAttr<Transformer_KernelAttr>:$kernel);
  let results = (outs Variadic<AnyType>:$results);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
}

def Transformer_YieldOp : Transformer_Op<"yield", [Pure, Terminator, ReturnLike, ParentOneOf<["FusedOp"]>]> {
  let summary = "ends a fused region";
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "($operands^ `:` type($operands))? attr-dict";
}

def Transformer_LaunchOp : Transformer_Op<"launch", [AttrSizedOperandSegments]> {
  let summary = "runs a kernel over its tasks";
  let description = [{
    Calls the kernel once for each task from 0 to `tasks`, in any order and in
    parallel. The kernel's parameters are the task, the scalars, then one memref
    for each buffer, which it views as contiguous in a shape of its own.
    `access` has 0 for a buffer that is read, 1 written, 2 both. `operations` is
    how many arithmetic operations all tasks take, for profiles.

    ```mlir
    transformer.launch @gemv_0 tasks(%n) scalars(%m) buffers(%x, %w, %y : memref<1x64xf32>, memref<128x64xf32>, memref<1x128xf32>) access [0, 0, 1]
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Index:$tasks, Variadic<Index>:$scalars, Variadic<AnyType>:$buffers, Optional<Index>:$operations, DenseI32ArrayAttr:$access);
  let assemblyFormat = [{
    $kernel `tasks` `(` $tasks `)` (`scalars` `(` $scalars^ `)`)? (`buffers` `(` $buffers^ `:` type($buffers) `)`)? `access` $access (`operations` `(` $operations^ `)`)? attr-dict
  }];
  let hasVerifier = 1;
}

def Transformer_CheckOp : Transformer_Op<"check", [AttrSizedOperandSegments]> {
  let summary = "a condition on what a function is called with";
  let description = [{
    What sizes and integers of the caller must satisfy before any launch.
    `same`: the two sizes are equal. `index`: every element of the buffer is at
    least 0 and below the one size. `position`: sequence b has lengths[b] rows
    (the second buffer; without one, and at most, the first size) from position
    positions[b] on (the first buffer), which is not negative, in a cache of as
    many positions as the second size, if there is one, says. `blocks`: the block
    table (the first buffer; positions and lengths follow) names an existing block
    for each page that a sequence reads or writes. The sizes are rows, positions
    of a block, blocks, and the window if there is one.

    ```mlir
    transformer.check "index" buffers(%ids : memref<1x?xi32>) sizes(%vocabulary)
    transformer.check "same" sizes(%m, %n)
    ```
  }];
  let arguments = (ins StrAttr:$kind, Variadic<AnyType>:$buffers, Variadic<Index>:$sizes);
  let assemblyFormat = "$kind (`buffers` `(` $buffers^ `:` type($buffers) `)`)? `sizes` `(` $sizes `)` attr-dict";
  let hasVerifier = 1;
}

#endif // KFORGE_TRANSFORMER
