// RUN: kforge-opt %s --plan-memory --split-input-file --verify-diagnostics

func.func @wide(%x: memref<64xf64>) {
  %c1 = arith.constant 1 : index
  // expected-error @below {{'memref.alloc' op has a size that cannot be planned: use elements of f32, i32, f16 or bf16, and less than 2^63 bytes}}
  %a = memref.alloc() : memref<64xf64>
  transformer.launch @k tasks(%c1) buffers(%x, %a : memref<64xf64>, memref<64xf64>) access [0, 1]
  return
}

// -----

func.func @endless(%x: memref<64xf32>) {
  %c1 = arith.constant 1 : index
  // expected-error @below {{'memref.alloc' op has a size that cannot be planned: use elements of f32, i32, f16 or bf16, and less than 2^63 bytes}}
  %a = memref.alloc() : memref<4611686018427387904xf32>
  transformer.launch @k tasks(%c1) buffers(%x, %a : memref<64xf32>, memref<4611686018427387904xf32>) access [0, 1]
  return
}
