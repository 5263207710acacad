// Results and iteration arguments are variables; a yield assigns them all at once.
// RUN: kforge-translate --mlir-to-wgsl %s | FileCheck %s

gpu.module @m {
  // CHECK-LABEL: fn loops(
  gpu.func @loops(%n: index loc("n"), %o: memref<64xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0 : i32
    %one = arith.constant 1 : i32
    // CHECK: var v0 = 0i;
    // CHECK-NEXT: var v1 = 1i;
    // CHECK-NEXT: var v2 = 1i;
    // CHECK-NEXT: for (var v3 = 0i; v3 < arguments.n; v3 += 1i) {
    // CHECK-NEXT:   let v4 = v0 + v1;
    // Fibonacci: the second value is the first one's next, from before the assignments.
    // CHECK-NEXT:   let v5 = v0;
    // CHECK-NEXT:   let v6 = v1;
    // CHECK-NEXT:   v0 = v2;
    // CHECK-NEXT:   v1 = v5;
    // CHECK-NEXT:   v2 = v6;
    // CHECK-NEXT: }
    %r:3 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %zero, %b = %one, %c = %one) -> (i32, i32, i32) {
      %s = arith.addi %a, %b : i32
      scf.yield %c, %a, %b : i32, i32, i32
    }
    memref.store %r#1, %o[%c0] : memref<64xi32>
    // CHECK: for (var v7 = 0i; u32(v7) < u32(arguments.n); v7 += 1i) {
    // CHECK-NEXT:   for (var v8 = v7; v8 < arguments.n; v8 += arguments.n) {
    // CHECK-NEXT:     arg1[v8] = 1i;
    scf.for unsigned %i = %c0 to %n step %c1 {
      scf.for %j = %i to %n step %n {
        memref.store %one, %o[%j] : memref<64xi32>
      }
    }
    gpu.return
  }

  // CHECK-LABEL: fn branches(
  gpu.func @branches(%n: i32 loc("n"), %o: memref<64xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %one = arith.constant 1 : i32
    %two = arith.constant 2 : i32
    %yes = arith.constant true
    // CHECK: let v0 = arguments.n < 2i;
    %small = arith.cmpi slt, %n, %two : i32
    // CHECK-NEXT: var v1: i32;
    // CHECK-NEXT: var v2: bool;
    // CHECK-NEXT: if v0 {
    // CHECK-NEXT:   v1 = 1i;
    // CHECK-NEXT:   v2 = true;
    // CHECK-NEXT: } else {
    // CHECK-NEXT:   let v3 = arguments.n * 2i;
    // CHECK-NEXT:   v1 = v3;
    // CHECK-NEXT:   v2 = v0;
    // CHECK-NEXT: }
    %r:2 = scf.if %small -> (i32, i1) {
      scf.yield %one, %yes : i32, i1
    } else {
      %d = arith.muli %n, %two : i32
      scf.yield %d, %small : i32, i1
    }
    // CHECK-NEXT: if v2 {
    // CHECK-NEXT:   arg1[0] = v1;
    // CHECK-NEXT: }
    scf.if %r#1 {
      memref.store %r#0, %o[%c0] : memref<64xi32>
    }
    // CHECK-NEXT: var v4: i32;
    // CHECK-NEXT: switch arguments.n {
    // CHECK-NEXT:   case 2i: {
    // CHECK-NEXT:     v4 = 1i;
    // CHECK-NEXT:   }
    // CHECK-NEXT:   case -7i: {
    // CHECK-NEXT:     v4 = v1;
    // CHECK-NEXT:   }
    // CHECK-NEXT:   default: {
    // CHECK-NEXT:     v4 = 2i;
    // CHECK-NEXT:   }
    // CHECK-NEXT: }
    %i = arith.index_cast %n : i32 to index
    %s = scf.index_switch %i -> i32
    case 2 {
      scf.yield %one : i32
    }
    case -7 {
      scf.yield %r#0 : i32
    }
    default {
      scf.yield %two : i32
    }
    memref.store %s, %o[%c0] : memref<64xi32>
    gpu.return
  }

  // CHECK-LABEL: fn while_loop(
  gpu.func @while_loop(%n: i32 loc("n"), %o: memref<64xi32>) kernel attributes {known_block_size = array<i32: 1, 1, 1>} {
    %c0 = arith.constant 0 : index
    %one = arith.constant 1 : i32
    // CHECK: var v0 = arguments.n;
    // CHECK-NEXT: var v1 = 1i;
    // CHECK-NEXT: var v2: i32;
    // CHECK-NEXT: loop {
    // CHECK-NEXT:   let v3 = v0 > 1i;
    // CHECK-NEXT:   let v4 = v0 * v1;
    // CHECK-NEXT:   v2 = v4;
    // CHECK-NEXT:   if !(v3) {
    // CHECK-NEXT:     break;
    // CHECK-NEXT:   }
    // CHECK-NEXT:   let v5 = v2 - 1i;
    // CHECK-NEXT:   v0 = v5;
    // CHECK-NEXT:   v1 = v2;
    // CHECK-NEXT: }
    // CHECK-NEXT: arg1[0] = v2;
    %r = scf.while (%a = %n, %b = %one) : (i32, i32) -> i32 {
      %more = arith.cmpi sgt, %a, %one : i32
      %p = arith.muli %a, %b : i32
      scf.condition(%more) %p : i32
    } do {
    ^bb0(%p: i32):
      %less = arith.subi %p, %one : i32
      scf.yield %less, %p : i32, i32
    }
    memref.store %r, %o[%c0] : memref<64xi32>
    gpu.return
  }
}
