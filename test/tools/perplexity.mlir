// The text is this file, whose tokens are its bytes.
// RUN: kforge-run perplexity --model random:tiny --ctx 64 --chunks 3 --json %s | FileCheck %s
// RUN: kforge-run perplexity --model random:tiny --ctx 64 --chunks 3 --json %s --against-numerics exact | FileCheck %s --check-prefix=SAME
// RUN: kforge-run perplexity --model random:tiny --ctx 64 --chunks 1 %s --against random:tiny-qwen3 | FileCheck %s --check-prefix=TABLE
// RUN: not kforge-run perplexity --model random:tiny --ctx 3 %s 2>&1 | FileCheck %s --check-prefix=SMALL
// RUN: not kforge-run perplexity --model random:tiny --ctx 100000 %s 2>&1 | FileCheck %s --check-prefix=SHORT
// RUN: not kforge-run perplexity --model random:tiny %t.none 2>&1 | FileCheck %s --check-prefix=NONE

// 31 of each chunk.
// CHECK: "tokens": 93,
// CHECK-NEXT: "chunks": 3,
// CHECK-NEXT: "nll": {{[0-9.]+}},
// CHECK-NEXT: "perplexity": {{[0-9.]+}},
// CHECK-NEXT: "standard_error": {{[0-9.]+}}
// CHECK-NOT: against

// SAME: "kl_divergence": 0.0,
// SAME-NEXT: "same_best": 1.0

// TABLE: tokens {{.*}} 31 in 1 chunks
// TABLE: perplexity {{.*}} ± {{.*}}
// TABLE: KL divergence
// TABLE: same best token

// SMALL: kforge-run: --ctx 3 is too small; half of a chunk is predicted from the other half: give at least 4
// SHORT: tokens, less than a chunk of 100000; give a longer text, or a smaller --ctx
// NONE: none cannot be read as UTF-8
