// Decoding random weights: the text means nothing, but it is the same each time, and what the options ask for.
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 3 --json 2>&1 | FileCheck %s --check-prefix=JSON
// RUN: kforge-run llm-inference --threads 1 --no-cache --fuse none --prompt-ids 72,105 --max-tokens 3 --json 2>&1 | FileCheck %s --check-prefix=JSON
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 9 --ctx 4 2>&1 | FileCheck %s --check-prefix=FULL
// RUN: kforge-run inspect random:tiny | FileCheck %s --check-prefix=INSPECT

// The module that the decoder compiles, and every pass on it by itself.
// RUN: kforge-run emit-mlir --model random:tiny | kforge-opt | FileCheck %s --check-prefix=MODULE
// RUN: kforge-run emit-mlir --hidden 64 --heads 4 --phase decode | kforge-opt --kforge-cpu | FileCheck %s --check-prefix=DECODE
// RUN: kforge-run generate --model random:tiny --prompt Hi --max-tokens 1 --dump-ir %t > /dev/null 2>&1
// RUN: FileCheck %s --check-prefix=PIPELINE < %t/pipeline.txt
// RUN: sed "s/.*/--pass-pipeline='&'/" %t/pipeline.txt > %t/arguments
// RUN: kforge-opt @%t/arguments %t/00-input.mlir -o %t/all.mlir
// RUN: cmp %t/all.mlir %t/16-plan-memory.mlir

// JSON: the weights of random:tiny are random: the text means nothing
// JSON: {"prompt_ids":[72,105],"ids":[214,257,122],"text":"{{.*}}","timings":{"load_s":{{.*}},"compile_s":{{.*}},"first_token_s":{{.*}},"prefill_tokens_per_s":{{.*}},"decode_tokens_per_s":{{.*}}}}
// FULL: kforge-run: stopped: the context of 4 tokens is full; raise --ctx
// INSPECT: general.architecture
// INSPECT: token_embd.weight
// MODULE: ml_program.global private @token_embd.weight
// MODULE: func.func @prefill(
// MODULE: func.func @decode(
// DECODE-NOT: func.func @prefill(
// DECODE: func.func @decode(
// DECODE: transformer.launch
// PIPELINE: builtin.module(func.func({{.*}}),select-kernels{isa={{.*}}},func.func(tile),lower-to-launches,
