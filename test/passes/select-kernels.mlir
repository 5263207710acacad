// RUN: kforge-opt %s --outline-groups --select-kernels=target=avx2 | FileCheck %s
// RUN: kforge-opt %s --outline-groups --select-kernels=target=avx2 --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS
// RUN: kforge-opt %s --outline-groups --select-kernels=target=neon | FileCheck %s --check-prefix=NEON

// STATS: select-kernels
// STATS-NEXT: (S) 23 selected
// STATS-NEXT: (S) 0 tuned
// STATS-NEXT: (S) 11 packed

// NEON: module attributes {transformer.target = "neon"}
// CHECK: module attributes {transformer.target = "avx2"}
// CHECK: @weight(#extern) : !transformer.quant<q4_1, 64x64> {transformer.layout = "rows16"}
ml_program.global private @weight(#ml_program.extern<!transformer.quant<q4_1, 64x64>>) : !transformer.quant<q4_1, 64x64>
// CHECK: @k_cache : tensor<1x8x2x16xf32> {transformer.layout = "keys16"}
ml_program.global private mutable @k_cache : tensor<1x8x2x16xf32>
// CHECK: @v_cache : tensor<1x8x2x16xf32> {transformer.layout = "head_major"}
ml_program.global private mutable @v_cache : tensor<1x8x2x16xf32>

// Embedding and output head share one weight in one layout.
// CHECK-LABEL: @tied
// CHECK: kernel #transformer.kernel<"embedding"> attributes {transformer.layouts = ["row_major", "rows16"]}
// CHECK: kernel #transformer.kernel<"gemv"> attributes {transformer.layouts = ["row_major", "rows16"]}
func.func @tied(%ids: tensor<8xi32>) -> tensor<8x64xf32> {
  %w = ml_program.global_load_const @weight : !transformer.quant<q4_1, 64x64>
  %0 = transformer.embedding %ids, %w : tensor<8xi32>, !transformer.quant<q4_1, 64x64> -> tensor<8x64xf32>
  %1 = transformer.linear %0, %w : tensor<8x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<8x64xf32>
  return %1 : tensor<8x64xf32>
}

// Eight static rows are a GEMV, nine or an unknown number a GEMM. A weight that is also added to something is not packed.
// CHECK-LABEL: @rows
// CHECK-SAME: %{{[a-z0-9]*}}: tensor<64x64xf32> {transformer.layout = "rows16"}
// CHECK-SAME: %{{[a-z0-9]*}}: tensor<9x64xf32>)
// CHECK: kernel #transformer.kernel<"gemm"> attributes {transformer.layouts = ["row_major", "rows16"]}
// CHECK: kernel #transformer.kernel<"gemm"> attributes {transformer.layouts = ["row_major", "rows16"]}
// CHECK: kernel #transformer.kernel<"gemm"> attributes {transformer.layouts = ["row_major", "row_major"]}
func.func @rows(%x: tensor<9x64xf32>, %y: tensor<?x64xf32>, %w: tensor<64x64xf32>, %v: tensor<9x64xf32>)
    -> (tensor<9x64xf32>, tensor<?x64xf32>, tensor<9x9xf32>, tensor<9x64xf32>) {
  %0 = transformer.linear %x, %w : tensor<9x64xf32>, tensor<64x64xf32> -> tensor<9x64xf32>
  %1 = transformer.linear %y, %w : tensor<?x64xf32>, tensor<64x64xf32> -> tensor<?x64xf32>
  %2 = transformer.linear %x, %v : tensor<9x64xf32>, tensor<9x64xf32> -> tensor<9x9xf32>
  return %0, %1, %2, %v : tensor<9x64xf32>, tensor<?x64xf32>, tensor<9x9xf32>, tensor<9x64xf32>
}

// CHECK-LABEL: @caches
// CHECK: kernel #transformer.kernel<"rope"> attributes {transformer.layouts = ["keys16", "row_major", "row_major"]}
// CHECK: kernel #transformer.kernel<"attention"> attributes {transformer.layouts = ["row_major", "keys16", "head_major", "row_major"]}
func.func @caches(%q: tensor<1x1x4x16xf32>, %u: tensor<1x1x2x16xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x16xf32> {
  %k = ml_program.global_load @k_cache : tensor<1x8x2x16xf32>
  %v = ml_program.global_load @v_cache : tensor<1x8x2x16xf32>
  %k1 = transformer.kv_update %k, %u at %at : tensor<1x8x2x16xf32>, tensor<1x1x2x16xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v at %at : tensor<1x1x4x16xf32>, tensor<1x8x2x16xf32>, tensor<1x8x2x16xf32>, tensor<1xi32>
  ml_program.global_store @k_cache = %k1 : tensor<1x8x2x16xf32>
  return %o : tensor<1x1x4x16xf32>
}

// CHECK-LABEL: @families
// CHECK: kernel #transformer.kernel<"matmul">
// CHECK: kernel #transformer.kernel<"rowwise">
// CHECK: kernel #transformer.kernel<"elementwise">
// CHECK: kernel #transformer.kernel<"rope">
// CHECK: kernel #transformer.kernel<"top_k">
func.func @families(%a: tensor<4x4xf32>, %x: tensor<1x1x1x4xf32>, %at: tensor<1xi32>) -> (tensor<4x4xf32>, tensor<1x1x1x4xf32>, tensor<4x2xi32>) {
  %0 = transformer.matmul %a, %a : tensor<4x4xf32>, tensor<4x4xf32> -> tensor<4x4xf32>
  %1 = transformer.softmax %0 : tensor<4x4xf32>
  %2 = arith.negf %1 : tensor<4x4xf32>
  %3 = transformer.rope %x at %at {mode = "half", base = 1.0e4 : f32} : tensor<1x1x1x4xf32>, tensor<1xi32>
  %4, %5 = transformer.top_k %2 : tensor<4x4xf32> -> tensor<4x2xf32>, tensor<4x2xi32>
  return %2, %3, %5 : tensor<4x4xf32>, tensor<1x1x1x4xf32>, tensor<4x2xi32>
}

// A kernel written by hand stays, with its tile.
// CHECK-LABEL: @by_hand
// CHECK: kernel #transformer.kernel<"gemm", tile = [8, 4, 16]>
func.func @by_hand(%x: tensor<1x64xf32>, %w: tensor<64x64xf32>) -> tensor<1x64xf32> {
  %0 = transformer.fused(%a = %x : tensor<1x64xf32>, %b = %w : tensor<64x64xf32>) -> tensor<1x64xf32> kernel #transformer.kernel<"gemm", tile = [8, 4, 16]> {
    %1 = transformer.linear %a, %b : tensor<1x64xf32>, tensor<64x64xf32> -> tensor<1x64xf32>
    transformer.yield %1 : tensor<1x64xf32>
  }
  return %0 : tensor<1x64xf32>
}

// What only layers of quantised weights read is kept as integers; what anything else reads too stays floats.
// CHECK-LABEL: @quantized
// CHECK: kernel #transformer.kernel<"rowwise"> attributes {transformer.layouts = ["row_major"], transformer.result_layouts = ["blocks8"]}
// CHECK: kernel #transformer.kernel<"gemm"> attributes {transformer.layouts = ["blocks8", "rows16"]}
// CHECK-LABEL: @quantized_and_returned
// CHECK: kernel #transformer.kernel<"rowwise"> attributes {transformer.layouts = ["row_major"]}
// CHECK: kernel #transformer.kernel<"gemm"> attributes {transformer.layouts = ["row_major", "rows16"]}
func.func @quantized(%x: tensor<?x64xf32>, %w: !transformer.quant<q4_1, 64x64>) -> tensor<?x64xf32> {
  %q = transformer.quantize %x : tensor<?x64xf32>
  %y = transformer.linear %q, %w : tensor<?x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
func.func @quantized_and_returned(%x: tensor<?x64xf32>, %w: !transformer.quant<q4_1, 64x64>) -> (tensor<?x64xf32>, tensor<?x64xf32>) {
  %q = transformer.quantize %x : tensor<?x64xf32>
  %y = transformer.linear %q, %w : tensor<?x64xf32>, !transformer.quant<q4_1, 64x64> -> tensor<?x64xf32>
  return %q, %y : tensor<?x64xf32>, tensor<?x64xf32>
}

// A cache that all functions update by rounded rows alone is kept in 8 bits. One that only some do is not, nor one whose
// elements would be rounded once more.
// CHECK: @rounded_keys : tensor<1x?x2x32xf32> {transformer.layout = "keys16_i8"}
ml_program.global private mutable @rounded_keys : tensor<1x?x2x32xf32>
// CHECK: @rounded_values : tensor<1x?x2x32xf32> {transformer.layout = "head_major_i8"}
ml_program.global private mutable @rounded_values : tensor<1x?x2x32xf32>
// CHECK: @mixed_values : tensor<1x?x2x32xf32> {transformer.layout = "head_major"}
ml_program.global private mutable @mixed_values : tensor<1x?x2x32xf32>
// CHECK: @half_keys : tensor<1x?x2x32xf16> {transformer.layout = "keys16"}
ml_program.global private mutable @half_keys : tensor<1x?x2x32xf16>

// CHECK-LABEL: func.func @rounded(
// CHECK: transformer.layouts = ["row_major", "keys16_i8", "row_major"]
// CHECK: transformer.layouts = ["row_major", "head_major_i8", "row_major"]
// CHECK: transformer.layouts = ["row_major", "keys16_i8", "head_major_i8", "row_major"]
func.func @rounded(%q: tensor<1x1x4x32xf32>, %u: tensor<1x1x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x32xf32> {
  %k = ml_program.global_load @rounded_keys : tensor<1x?x2x32xf32>
  %v = ml_program.global_load @rounded_values : tensor<1x?x2x32xf32>
  %r = transformer.quantize %u : tensor<1x1x2x32xf32>
  %k1 = transformer.kv_update %k, %r at %at : tensor<1x?x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %s = transformer.quantize %u : tensor<1x1x2x32xf32>
  %v1 = transformer.kv_update %v, %s at %at : tensor<1x?x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v1 at %at : tensor<1x1x4x32xf32>, tensor<1x?x2x32xf32>, tensor<1x?x2x32xf32>, tensor<1xi32>
  ml_program.global_store @rounded_keys = %k1 : tensor<1x?x2x32xf32>
  ml_program.global_store @rounded_values = %v1 : tensor<1x?x2x32xf32>
  return %o : tensor<1x1x4x32xf32>
}
func.func @rounded_in_half(%q: tensor<1x1x4x32xf32>, %u: tensor<1x1x2x32xf32>, %at: tensor<1xi32>) -> tensor<1x1x4x32xf32> {
  %k = ml_program.global_load @half_keys : tensor<1x?x2x32xf16>
  %v = ml_program.global_load @mixed_values : tensor<1x?x2x32xf32>
  %r = transformer.quantize %u : tensor<1x1x2x32xf32>
  %k1 = transformer.kv_update %k, %r at %at : tensor<1x?x2x32xf16>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %s = transformer.quantize %u : tensor<1x1x2x32xf32>
  %v1 = transformer.kv_update %v, %s at %at : tensor<1x?x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  %o = transformer.attention %q, %k1, %v1 at %at : tensor<1x1x4x32xf32>, tensor<1x?x2x32xf16>, tensor<1x?x2x32xf32>, tensor<1xi32>
  ml_program.global_store @half_keys = %k1 : tensor<1x?x2x32xf16>
  ml_program.global_store @mixed_values = %v1 : tensor<1x?x2x32xf32>
  return %o : tensor<1x1x4x32xf32>
}
func.func @not_rounded(%u: tensor<1x1x2x32xf32>, %at: tensor<1xi32>) {
  %v = ml_program.global_load @mixed_values : tensor<1x?x2x32xf32>
  %v1 = transformer.kv_update %v, %u at %at : tensor<1x?x2x32xf32>, tensor<1x1x2x32xf32>, tensor<1xi32>
  ml_program.global_store @mixed_values = %v1 : tensor<1x?x2x32xf32>
  return
}
