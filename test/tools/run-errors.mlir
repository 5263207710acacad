// What is wrong with an argument is said in one line, with exit code 1; a file that was there stays as it was.
// RUN: not kforge-run %s 2>&1 | FileCheck %s --check-prefix=MAIN
// RUN: not kforge-run %s --entry f 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: not kforge-run %s --entry f --input random:1 2>&1 | FileCheck %s --check-prefix=DYNAMIC
// RUN: not kforge-run %s --entry f --input random:1:3x18 2>&1 | FileCheck %s --check-prefix=SHAPE
// RUN: not kforge-run %s --entry f --input random:x 2>&1 | FileCheck %s --check-prefix=SEED
// RUN: not kforge-run %s --entry f --input %S/none.npy 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not kforge-run %s --entry f --input %s 2>&1 | FileCheck %s --check-prefix=NPY
// RUN: not kforge-run %s --entry f --input random:1:3x17 --output %S/none/y.npy 2>&1 | FileCheck %s --check-prefix=OUTPUT
// RUN: not kforge-run %S/none.mlir 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not kforge-run %s --threads 1025 2>&1 | FileCheck %s --check-prefix=THREADS
// RUN: not kforge-run %s --cpu-features mmx --entry f --input random:1:3x17 2>&1 | FileCheck %s --check-prefix=ISA
// RUN: not kforge-run compile %s --target-triple aarch64-unknown-linux-gnu --cpu-features avx2 --emit asm 2>&1 | FileCheck %s --check-prefix=NEON
// RUN: not kforge-run compile %s --target-triple riscv64-unknown-linux-gnu --emit asm 2>&1 | FileCheck %s --check-prefix=TRIPLE
// RUN: not kforge-run generate --model random:huge --prompt x 2>&1 | FileCheck %s --check-prefix=RANDOM
// RUN: not kforge-run generate --model random:tiny --prompt x --temperature -1 2>&1 | FileCheck %s --check-prefix=HEAT
// RUN: not kforge-run generate --model random:tiny --prompt-ids 1,260 2>&1 | FileCheck %s --check-prefix=ID
// RUN: not kforge-run generate --model %s --prompt x 2>&1 | FileCheck %s --check-prefix=MODEL
// RUN: not kforge-run emit-mlir --model %t.none/X.GGUF 2>&1 | FileCheck %s --check-prefix=ABSENT

// A model without tensors: its configuration is read before they are.
// RUN: mkdir -p %t.model
// RUN: printf '\002\000\000\000\000\000\000\000{}' > %t.model/weights
// RUN: echo '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 4, "max_position_embeddings": 128, "attention_multiplier": 0.5}' > %t.model/config.json
// RUN: not kforge-run emit-mlir --model %t.model/weights 2>&1 | FileCheck %s --check-prefix=KEY
// RUN: not kforge-run emit-mlir --model %t.model/weights --ignore-config attention_multiplier 2>&1 | FileCheck %s --check-prefix=IGNORED
// RUN: kforge-run emit-mlir --model random:tiny --ignore-config rope_theta 2>&1 | FileCheck %s --check-prefix=NEEDLESS

// RUN: not kforge-run --target reference generate --model random:tiny --prompt x 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not kforge-run emit-mlir --hidden 65 --heads 4 2>&1 | FileCheck %s --check-prefix=HIDDEN
// RUN: not kforge-run verify --model random:tiny --reference %s 2>&1 | FileCheck %s --check-prefix=REFERENCE

// MAIN: kforge-run: there is no function 'main'; the module has f
// COUNT: kforge-run: 'f' takes 1 input, but 0 --input were given
// DYNAMIC: kforge-run: input 0: it has dynamic dimensions; give their sizes, as in random:1:1x5x64
// SHAPE: kforge-run: f: input 0 must be tensor<3x17xf32>, but is tensor<3x18xf32>
// SEED: kforge-run: input 0: 'x' is no seed; write random:7, or random:7:1x5x64
// NONE: kforge-run: input 0: {{.*}}none.npy cannot be read; give an .npy file, or random:SEED
// NPY: kforge-run: input 0: {{.*}}run-errors.mlir is not an array that can be used here
// OUTPUT: kforge-run: {{.*}}y.npy cannot be written
// FILE: kforge-run: {{.*}}none.mlir cannot be read
// THREADS: error: invalid value '1025' for '--threads <THREADS>': 1025 is not in 0..=1024
// ISA: kforge-run: unknown instruction set 'mmx'; use host, avx512+vnni, avx512, avx2, sse2, neon
// NEON: kforge-run: 'aarch64-unknown-linux-gnu' has no avx2; use neon
// TRIPLE: kforge-run: no kernels are generated for 'riscv64-unknown-linux-gnu'; use an x86_64 or aarch64 triple
// RANDOM: kforge-run: random model `huge`: there is no random model of this name; there are tiny, smollm2-135m, llama-8b, tiny-llama, 
// HEAT: error: invalid value '-1' for '--temperature <TEMPERATURE>': it must be at least 0 and finite
// ID: kforge-run: prefill: input 0 has 260 at element 1, but must be in 0..260
// MODEL: {{^}}kforge-run: {{.*}}run-errors.mlir: the file: neither GGUF nor safetensors: it begins with "// What "{{$}}
// ABSENT: {{^}}kforge-run: there is no file or directory '{{.*}}.none/X.GGUF'; --model takes a GGUF file, a safetensors file or directory, ORG/NAME or random:tiny{{$}}
// KEY: {{^}}kforge-run: {{.*}}config.json: `attention_multiplier`: it is 0.5, which may change what the model computes, and is not supported; --ignore-config attention_multiplier goes on without it, at the risk of wrong answers{{$}}
// IGNORED: {{^}}kforge-run: {{.*}}: tensor `token_embd.weight`: the tensor is missing
// NEEDLESS: {{^}}kforge-run: warning: --ignore-config rope_theta does nothing: the model opens without it{{$}}
// TARGET: kforge-run: decoding runs on compiled kernels; --target reference is for single functions
// HIDDEN: kforge-run: --hidden must be --heads times an even head size
// REFERENCE: kforge-run: {{.*}}run-errors.mlir

func.func @f(%x: tensor<?x17xf32>) -> tensor<?x17xf32> {
  %0 = transformer.softmax %x : tensor<?x17xf32>
  return %0 : tensor<?x17xf32>
}
