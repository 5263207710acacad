// kforge-run and kforge-translate say what is wrong with a module as kforge-opt does: file, line, column, the line and a caret.
// RUN: echo 'func.func @f() -> i32 { return %%y : i32 }' > %t.mlir
// RUN: not kforge-opt %t.mlir > %t.opt 2>&1
// RUN: FileCheck %s --check-prefix=SYNTAX < %t.opt
// RUN: not kforge-run %t.mlir > %t.run 2>&1
// RUN: cmp %t.opt %t.run
// RUN: not kforge-run compile %t.mlir --emit asm > %t.run 2>&1
// RUN: cmp %t.opt %t.run
// RUN: not kforge-run asm %t.mlir > %t.run 2>&1
// RUN: cmp %t.opt %t.run
// RUN: not kforge-run inspect %t.mlir > %t.run 2>&1
// RUN: cmp %t.opt %t.run
// RUN: not kforge-run tune %t.mlir > %t.run 2>&1
// RUN: cmp %t.opt %t.run
// RUN: not kforge-translate --mlir-to-wgsl %t.mlir > %t.run 2>&1
// RUN: cmp %t.opt %t.run
// RUN: not kforge-opt - < %t.mlir > %t.opt 2>&1
// RUN: not kforge-run - < %t.mlir > %t.run 2>&1
// RUN: cmp %t.opt %t.run

// A pass, a launch program, the interpreter, a translation: each at the op, with what a note adds.
// RUN: not kforge-opt %s --kforge-cpu 2> %t.opt
// RUN: not kforge-run %s --input random:1 2> %t.run
// RUN: cmp %t.opt %t.run
// RUN: FileCheck %s --check-prefix=PASS < %t.run
// RUN: not kforge-run %s --input random:1 --target reference 2>&1 | FileCheck %s --check-prefix=REFERENCE
// RUN: not kforge-translate --mlir-to-wgsl %s 2>&1 | FileCheck %s --check-prefix=WGSL

// SYNTAX: {{^}}{{.*}}.mlir:1:32: error: use of undeclared SSA value name
// SYNTAX-NEXT: {{^}}func.func @f()
// SYNTAX-NEXT: {{^ +\^}}
// SYNTAX-NOT: error

// PASS: {{^}}{{.*}}diagnostics.mlir:[[#@LINE+12]]:8: error: 'tensor.concat' op
// PASS-NEXT: {{^ +}}%y = tensor.concat
// PASS-NEXT: {{^ +\^}}
// REFERENCE: {{^}}{{.*}}diagnostics.mlir:[[#@LINE+9]]:8: error: 'tensor.concat' op is not among the ops that the reference interprets
// REFERENCE-NEXT: {{^ +}}%y = tensor.concat
// REFERENCE-NEXT: {{^ +\^}}
// WGSL: {{^}}{{.*}}diagnostics.mlir:[[#@LINE+10]]:3: error: 'gpu.func' on f64 has no WGSL
// WGSL-NEXT: {{^ +}}gpu.func @k(
// WGSL-NEXT: {{^ +\^}}

module {
func.func @main(%x: tensor<4xf32>) -> tensor<8xf32> {
  %y = tensor.concat dim(0) %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32>
  return %y : tensor<8xf32>
}
gpu.module @m {
  gpu.func @k(%o: memref<4xi32>, %v: f64) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %n = math.exp %v : f64
    gpu.return
  }
}
}
