// RUN: kforge-opt %s --plan-memory | FileCheck %s
// RUN: kforge-opt %s --plan-memory --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS

// STATS: plan-memory
// STATS-NEXT: (S) 9 buffers
// STATS-NEXT: (S) 512 static-bytes -
// STATS-NEXT: (S) 768 static-bytes-unshared

// The first buffer's life is over when the third's begins: they share bytes. The result is no intermediate.
// CHECK-LABEL: @chain
// CHECK: memref.alloc() {transformer.class = 0 : i64, transformer.first = 0 : i64, transformer.last = 1 : i64, transformer.offset = 0 : i64}
// CHECK: memref.alloc() {transformer.class = 0 : i64, transformer.first = 1 : i64, transformer.last = 2 : i64, transformer.offset = 256 : i64}
// CHECK: memref.alloc() {transformer.class = 0 : i64, transformer.first = 2 : i64, transformer.last = 3 : i64, transformer.offset = 0 : i64}
// CHECK: memref.alloc() : memref<64xf32>
func.func @chain(%x: memref<64xf32>) -> memref<64xf32> {
  %c1 = arith.constant 1 : index
  %a = memref.alloc() : memref<64xf32>
  transformer.launch @k tasks(%c1) buffers(%x, %a : memref<64xf32>, memref<64xf32>) access [0, 1]
  %b = memref.alloc() : memref<64xf32>
  transformer.launch @k tasks(%c1) buffers(%a, %b : memref<64xf32>, memref<64xf32>) access [0, 1]
  %c = memref.alloc() : memref<64xf32>
  transformer.launch @k tasks(%c1) buffers(%b, %c : memref<64xf32>, memref<64xf32>) access [0, 1]
  %d = memref.alloc() : memref<64xf32>
  transformer.launch @k tasks(%c1) buffers(%c, %d : memref<64xf32>, memref<64xf32>) access [0, 1]
  return %d : memref<64xf32>
}

// Buffers of one dynamic size are a class, in bytes of its unit, each rounded up to a cache line. Another size is
// another class, which begins above what is in use of the first while it lives: nothing here, one buffer below.
// CHECK-LABEL: @classes
// CHECK-SAME: transformer.arena = [array<i64: 192>, array<i64: 64, 0>]
// CHECK: memref.alloc(%{{.*}}) {transformer.class = 0 : i64, {{.*}}transformer.offset = 0 : i64} : memref<?x32xf32>
// CHECK: memref.alloc(%{{.*}}) {transformer.class = 0 : i64, {{.*}}transformer.offset = 128 : i64} : memref<?x3xf16>
// CHECK: memref.alloc(%{{.*}}) {transformer.class = 1 : i64, {{.*}}transformer.offset = 0 : i64} : memref<?x1xf32>
// CHECK: memref.alloc(%{{.*}}) : memref<?x1xf32>
func.func @classes(%x: memref<?x1xf32>, %m: index, %n: index) {
  %a = memref.alloc(%m) : memref<?x32xf32>
  %b = memref.alloc(%m) : memref<?x3xf16>
  transformer.launch @k tasks(%m) buffers(%a, %b : memref<?x32xf32>, memref<?x3xf16>) access [1, 1]
  transformer.launch @k tasks(%m) buffers(%a, %b : memref<?x32xf32>, memref<?x3xf16>) access [0, 0]
  %c = memref.alloc(%n) : memref<?x1xf32>
  transformer.launch @k tasks(%m) buffers(%x, %c : memref<?x1xf32>, memref<?x1xf32>) access [0, 1]
  // No launch uses it: it gets no place.
  %d = memref.alloc(%n) : memref<?x1xf32>
  return
}

// CHECK-LABEL: @meeting
// CHECK-SAME: transformer.arena = [array<i64: 192>, array<i64: 64, 128>]
func.func @meeting(%x: memref<?x1xf32>, %m: index, %n: index) {
  %a = memref.alloc(%m) : memref<?x32xf32>
  %b = memref.alloc(%m) : memref<?x3xf16>
  transformer.launch @k tasks(%m) buffers(%a, %b : memref<?x32xf32>, memref<?x3xf16>) access [1, 1]
  %c = memref.alloc(%n) : memref<?x1xf32>
  transformer.launch @k tasks(%m) buffers(%a, %c : memref<?x32xf32>, memref<?x1xf32>) access [0, 1]
  return
}
