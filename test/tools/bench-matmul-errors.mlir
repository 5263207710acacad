// Sizes, kernels and counts that cannot be measured are said in one line, with exit code 1.
// RUN: not kforge-run bench matmul --m 0 --n 4 --k 4 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not kforge-run bench matmul --m 4 --n 4 --k 4 --repetitions 0 2>&1 | FileCheck %s --check-prefix=REPETITIONS
// RUN: not kforge-run bench matmul --m 10000000 --n 10000000 --k 1 2>&1 | FileCheck %s --check-prefix=MEMORY
// RUN: not kforge-run bench matmul --m 2147483647 --n 2147483647 --k 2147483647 2>&1 | FileCheck %s --check-prefix=OVERFLOW
// RUN: not kforge-run bench matmul --m 18446744073709551616 --n 4 --k 4 2>&1 | FileCheck %s --check-prefix=PARSE
// RUN: not kforge-run bench matmul --target reference --m 4 --n 4 --k 4 --kernel tuned 2>&1 | FileCheck %s --check-prefix=TUNED
// RUN: not kforge-run bench matmul --m 4 --n 4 --k 4 --kernel fast 2>&1 | FileCheck %s --check-prefix=KERNEL
// RUN: not kforge-run bench matmul --m 4 --n 4 --k 4 --dtype int8 2>&1 | FileCheck %s --check-prefix=DTYPE
// RUN: not kforge-run bench matmul --m 4 --n 4 --k 4 --kernel blocked --target reference 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not kforge-run benchmark-matmul --m 4 --n 4 2>&1 | FileCheck %s --check-prefix=MISSING

// ZERO: error: invalid value '0' for '--m <M>': 0 is not in 1..
// REPETITIONS: error: invalid value '0' for '--repetitions <REPETITIONS>': 0 is not in 1..
// MEMORY: kforge-run: --m 10000000 --n 10000000 --k 1 takes 24000{{.*}} GB of memory, and half of this machine's is {{.*}} GB; give smaller sizes
// OVERFLOW: kforge-run: --m 2147483647 --n 2147483647 --k 2147483647 takes more than 2^64 bytes of memory
// PARSE: error: invalid value '18446744073709551616' for '--m <M>'
// TUNED: kforge-run: --kernel tuned is compiled code; leave --target reference out, or use --kernel reference
// KERNEL: error: invalid value 'fast' for '--kernel <KERNEL>'
// DTYPE: error: invalid value 'int8' for '--dtype <DTYPE>'
// TARGET: kforge-run: --kernel blocked is compiled code; leave --target reference out, or use --kernel reference
// MISSING: error: the following required arguments were not provided:
// MISSING: --k <K>
