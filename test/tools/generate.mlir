// Decoding random weights: the text means nothing, but it is the same each time, and what the options ask for.
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 3 --json 2>&1 | FileCheck %s --check-prefix=JSON
// RUN: kforge-run llm-inference --threads 1 --no-cache --fuse none --prompt-ids 72,105 --max-tokens 3 --json 2>&1 | FileCheck %s --check-prefix=JSON
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 9 --ctx 4 2>&1 | FileCheck %s --check-prefix=FULL
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 9999 2>&1 | FileCheck %s --check-prefix=LIMIT
// RUN: not kforge-run generate --model random:tiny --prompt Hello --ctx 4 2>&1 | FileCheck %s --check-prefix=PROMPT
// RUN: not kforge-run generate --model random:tiny --prompt Hi --ctx 99999 2>&1 | FileCheck %s --check-prefix=CTX
// RUN: kforge-run inspect random:tiny | FileCheck %s --check-prefix=INSPECT

// The module that the decoder compiles, and every pass on it by itself.
// RUN: kforge-run emit-mlir --model random:tiny | kforge-opt | FileCheck %s --check-prefix=MODULE
// RUN: kforge-run emit-mlir --hidden 64 --heads 4 --phase decode | kforge-opt --kforge-cpu | FileCheck %s --check-prefix=DECODE
// RUN: kforge-run emit-mlir --hidden 128 --heads 4 --kv-heads 2 --phase decode --kv-type q8 | kforge-opt --kforge-cpu=target=avx2 | FileCheck %s --check-prefix=Q8
// RUN: kforge-run emit-mlir --hidden 64 --heads 4 --best 3 | kforge-opt | FileCheck %s --check-prefix=BEST
// RUN: kforge-run emit-mlir --batch --lengths --block-table | kforge-opt --kforge-cpu | FileCheck %s --check-prefix=BATCH
// RUN: kforge-run emit-mlir --model random:tiny-qwen3 --phase decode | kforge-opt | FileCheck %s --check-prefix=QWEN3
// RUN: not kforge-run emit-mlir --hidden 64 --heads 4 --best 257 2>&1 | FileCheck %s --check-prefix=TOO-MANY
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 12 --temperature 1.5 --top-k 9 2> %t.err > %t.few
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 12 --temperature 1.5 --top-k 9 --dump-logits %t.npy 2> %t.err > %t.all
// RUN: cmp %t.few %t.all
// RUN: not kforge-run generate --model random:tiny --prompt Hi --dump-logits %t.none/x.npy 2>&1 | FileCheck %s --check-prefix=PLACE
// RUN: not kforge-run generate --model random:tiny --prompt Hi --kv-type q8 2>&1 | FileCheck %s --check-prefix=Q8-HEADS
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 1 --dump-ir %t > /dev/null 2>&1
// RUN: FileCheck %s --check-prefix=PIPELINE < %t/pipeline.txt
// RUN: sed "s/.*/--pass-pipeline='&'/" %t/pipeline.txt > %t/arguments
// RUN: kforge-opt @%t/arguments %t/00-input.mlir -o %t/all.mlir
// RUN: cmp %t/all.mlir %t/18-plan-memory.mlir

// PLACE: kforge-run: {{.*}}x.npy cannot be written: {{.*}}.none is no folder
// JSON: the weights of random:tiny are random: the text means nothing
// JSON: {"prompt_ids":[72,105],"ids":[214,257,122],"text":"{{.*}}","timings":{"load_s":{{.*}},"compile_s":{{.*}},"first_token_s":{{.*}},"prefill_tokens_per_s":{{.*}},"decode_tokens_per_s":{{.*}}}}
// FULL: kforge-run: stopped: the context of 4 tokens is full; raise --ctx, up to the {{[0-9]+}} tokens that the model was made for
// LIMIT: kforge-run: stopped: the context of [[LIMIT:[0-9]+]] tokens is full; the model was made for no more; shorten the prompt
// PROMPT: kforge-run: the prompt has {{[0-9]+}} tokens, but the context 4; raise --ctx, up to the {{[0-9]+}} tokens that the model was made for
// CTX: kforge-run: --ctx 99999 is more than the {{[0-9]+}} tokens that the model was made for; give at most those
// INSPECT: general.architecture
// INSPECT: token_embd.weight
// MODULE: ml_program.global private @token_embd.weight
// MODULE: func.func @prefill(
// MODULE: func.func @decode(
// DECODE-NOT: func.func @prefill(
// DECODE: func.func @decode(
// DECODE: transformer.launch
// BEST: func.func @prefill({{.*}}) -> (tensor<?x3xf32>, tensor<?x3xi32>)
// BEST: %[[BEST:.*]], %[[TOKENS:.*]] = transformer.top_k %{{.*}} : tensor<?x256xf32> -> tensor<?x3xf32>, tensor<?x3xi32>
// BEST: func.func @decode({{.*}}) -> (tensor<1x1x3xf32>, tensor<1x1x3xi32>)
// BATCH: func.func @prefill(%{{.*}}: memref<?x?xi32>, %{{.*}}: memref<?xi32>, %{{.*}}: memref<?xi32>, %{{.*}}: memref<?xi32>, %{{.*}}: memref<?x?xi32>)
// BATCH: transformer.launch
// QWEN3: %[[Q:.*]] = tensor.expand_shape
// QWEN3: %[[QN:.*]] = transformer.rms_norm %[[Q]], %{{.*}} : tensor<1x1x4x32xf32>, tensor<32xf32>
// QWEN3: transformer.rope %[[QN]]
// TOO-MANY: kforge-run: the best 257 of 256 tokens were asked for; ask for at least one and at most all
// Q8: @k_cache.0 : tensor<1x?x2x32xf32> {transformer.layout = "keys16_i8"}
// Q8: @v_cache.0 : tensor<1x?x2x32xf32> {transformer.layout = "head_major_i8"}
// Q8: func.func @decode(
// Q8: transformer.launch {{.*}}summary = "rope x2+quantize x2+kv_update x2"}
// Q8: transformer.launch {{.*}}summary = "attention"}
// Q8-HEADS: kforge-run: a KV cache of type q8 needs heads of a multiple of 32 elements, but this model's have 16; use f32 or f16
// PIPELINE: builtin.module(inline{default-pipeline=},func.func({{.*}}),select-kernels{target={{.*}}},func.func(tile),lower-to-launches,
