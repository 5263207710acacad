// An op, a type, a pass or a pipeline is described as text for a terminal.
// RUN: kforge-opt --explain transformer.rope | FileCheck %s --check-prefix=OP
// RUN: kforge-opt --explain=rope | FileCheck %s --check-prefix=OP
// RUN: kforge-opt --explain '!transformer.quant' | FileCheck %s --check-prefix=TYPE
// RUN: kforge-opt --explain fuse-norm | FileCheck %s --check-prefix=PASS
// RUN: kforge-opt --explain --plan-memory | FileCheck %s --check-prefix=LOWERING
// RUN: kforge-opt --explain kforge-cpu | FileCheck %s --check-prefix=PIPELINE
// RUN: not kforge-opt --explain fuse-qvk 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not kforge-opt --explain 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: kforge-opt --help | FileCheck %s --check-prefix=HELP

// OP: transformer.rope: Rotary position embedding
// OP-EMPTY:
// OP-NEXT: Reference semantics: rope of dialect/reference/src/rope.rs.
// OP: Syntax:
// OP: operation ::= `transformer.rope` $input `at` $positions
// OP: a = (positions[b] + s) * base^(-2i/dims) / freq_divisors[i]
// OP: Source: Su et al., 2021, arXiv:2104.09864
// OP-NOT: ```
// OP: %r = transformer.rope %q at %at {mode = "interleaved", base = 1.0e5 : f32}
// OP: Attributes:
// OP-NEXT: mode {{ *}}string attribute that is "interleaved" or "half"; required; which elements
// OP: base {{ *}}32-bit float attribute that is finite and above 0; required; the formula's base
// OP: Operands:
// OP: lengths {{ *}}1D tensor of 32-bit signless integer values
// OP: Results:
// OP: result {{ *}}ranked tensor

// TYPE: !transformer.quant: A block-quantised weight [rows, columns]
// TYPE: q4_k {{ *}}4; 8 x 32; 144; d * s * q - m * t
// TYPE: Parameters:
// TYPE: columns {{ *}}a multiple of the weights of a block; required; elements of a row

// PASS: fuse-norm: Group a norm with the linear layers that read it
// PASS: A pass on func.func, in lib/src/passes/fuse_norm.rs.
// PASS: %y = transformer.linear %n, %w {transformer.group = 0 : i64}
// PASS: Options:
// PASS-NEXT: max-rows {{ *}}Most rows to normalise again in every task (integer, default 8)
// PASS: Statistics:
// PASS-NEXT: fused {{ *}}norms grouped

// LOWERING: A pass on func.func, in lowering/src/passes/plan_memory.rs.
// LOWERING: %y = memref.alloc(%s) {transformer.class = 0 : i64
// LOWERING: Options:
// LOWERING-NEXT: none

// PIPELINE: kforge-cpu: Fuse, select, tile, and lower to kernels and launches for a CPU
// PIPELINE: A pipeline on builtin.module.
// PIPELINE: target {{ *}}What kernels are for: host, 
// PIPELINE: Passes by default:
// PIPELINE-NEXT: inline{default-pipeline=}
// PIPELINE-NEXT: func.func(decompose-decoder-block)
// PIPELINE: select-kernels{target=host}

// UNKNOWN: kforge-opt: 'fuse-qvk' is no op, type, pass or pipeline of KernelForge; the nearest names are fuse-qkv,
// MISSING: kforge-opt: --explain takes the name of an op, a type, a pass or a pipeline
// HELP: --explain=<OP|PASS>{{.*}}Describe an op, a type, a pass or a pipeline of KernelForge and exit
