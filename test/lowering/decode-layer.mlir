// One layer of the default model at one token: hidden 576, nine heads and three key-value heads of 64, feed-forward 1536,
// q4_1. Fused it is seven launches; op by op it is eighteen.
// RUN: kforge-opt %s --kforge-cpu=target=avx2 | FileCheck %s
// RUN: kforge-opt %s --kforge-cpu=target=avx2 --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=STATS
// RUN: kforge-opt %s --pass-pipeline='builtin.module(func.func(decompose-decoder-block,decompose-mlp,canonicalize,cse,outline-groups),select-kernels{target=avx2},func.func(tile),lower-to-launches)' \
// RUN:   --mlir-pass-statistics 2>&1 | FileCheck %s --check-prefix=UNFUSED
// RUN: kforge-opt %s --kforge-gpu=target=gpu+subgroups32+1024x49152 | FileCheck %s --check-prefix=GPU

// STATS: lower-to-launches
// STATS-NEXT: (S) 7 kernels
// STATS-NEXT: (S) 7 launches
// UNFUSED: lower-to-launches
// UNFUSED-NEXT: (S) 13 kernels
// UNFUSED-NEXT: (S) 18 launches

// CHECK-LABEL: func.func @main
// CHECK: transformer.launch @gemv_0 {{.*}}summary = "norm+linear x3"}
// CHECK: transformer.check "position" buffers(%{{.*}} : memref<1xi32>) sizes(%c1, %c2048)
// CHECK-NOT: transformer.check
// CHECK: transformer.launch @rope_1 {{.*}} access [0, 0, 0, 0, 0, 0, 1, 2, 2]
// CHECK: transformer.launch @attention_2
// CHECK: transformer.launch @attention_2_fold
// CHECK: transformer.launch @gemv_3 {{.*}}summary = "linear+addf"}
// CHECK: transformer.launch @gemv_4 {{.*}}summary = "norm+linear x2+swiglu"}
// CHECK: transformer.launch @gemv_5 {{.*}}summary = "linear+addf"}
// CHECK-NOT: transformer.launch
// CHECK: return

// On a GPU it is five: rotations and updates are in the attention, whose caches are read and written.
// GPU: ml_program.global private mutable @k_cache : {{.*}} {transformer.layout = "keys16"}
// GPU: ml_program.global private mutable @v_cache : {{.*}} {transformer.layout = "head_major"}
// GPU-LABEL: func.func @main
// GPU: transformer.launch @gemv_{{[0-9]+}} {{.*}}summary = "norm+linear x3"}
// GPU-NOT: transformer.launch
// GPU: transformer.launch @attention_{{[0-9]+}} {{.*}} access [{{.*}}2{{.*}}2{{.*}}]{{.*}}summary = "rope x2+kv_update x2+attention"}
// GPU: transformer.launch @gemv_{{[0-9]+}} {{.*}}summary = "linear+addf"}
// GPU: transformer.launch @gemv_{{[0-9]+}} {{.*}}summary = "norm+linear x2+swiglu"}
// GPU: transformer.launch @gemv_{{[0-9]+}} {{.*}}summary = "linear+addf"}
// GPU-NOT: transformer.launch
// GPU: return

ml_program.global private @attn_norm(#ml_program.extern<tensor<576xf32>>) : tensor<576xf32>
ml_program.global private @attn_q(#ml_program.extern<!transformer.quant<q4_1, 576x576>>) : !transformer.quant<q4_1, 576x576>
ml_program.global private @attn_k(#ml_program.extern<!transformer.quant<q4_1, 192x576>>) : !transformer.quant<q4_1, 192x576>
ml_program.global private @attn_v(#ml_program.extern<!transformer.quant<q4_1, 192x576>>) : !transformer.quant<q4_1, 192x576>
ml_program.global private @attn_output(#ml_program.extern<!transformer.quant<q4_1, 576x576>>) : !transformer.quant<q4_1, 576x576>
ml_program.global private @ffn_norm(#ml_program.extern<tensor<576xf32>>) : tensor<576xf32>
ml_program.global private @ffn_gate(#ml_program.extern<!transformer.quant<q4_1, 1536x576>>) : !transformer.quant<q4_1, 1536x576>
ml_program.global private @ffn_up(#ml_program.extern<!transformer.quant<q4_1, 1536x576>>) : !transformer.quant<q4_1, 1536x576>
ml_program.global private @ffn_down(#ml_program.extern<!transformer.quant<q4_1, 576x1536>>) : !transformer.quant<q4_1, 576x1536>
ml_program.global private mutable @k_cache : tensor<1x2048x3x64xf32>
ml_program.global private mutable @v_cache : tensor<1x2048x3x64xf32>

func.func @main(%x: tensor<1x1x576xf32>, %at: tensor<1xi32>) -> tensor<1x1x576xf32> {
  %attn_norm = ml_program.global_load_const @attn_norm : tensor<576xf32>
  %attn_q = ml_program.global_load_const @attn_q : !transformer.quant<q4_1, 576x576>
  %attn_k = ml_program.global_load_const @attn_k : !transformer.quant<q4_1, 192x576>
  %attn_v = ml_program.global_load_const @attn_v : !transformer.quant<q4_1, 192x576>
  %attn_output = ml_program.global_load_const @attn_output : !transformer.quant<q4_1, 576x576>
  %ffn_norm = ml_program.global_load_const @ffn_norm : tensor<576xf32>
  %ffn_gate = ml_program.global_load_const @ffn_gate : !transformer.quant<q4_1, 1536x576>
  %ffn_up = ml_program.global_load_const @ffn_up : !transformer.quant<q4_1, 1536x576>
  %ffn_down = ml_program.global_load_const @ffn_down : !transformer.quant<q4_1, 576x1536>
  %k = ml_program.global_load @k_cache : tensor<1x2048x3x64xf32>
  %v = ml_program.global_load @v_cache : tensor<1x2048x3x64xf32>
  %y, %k1, %v1 = transformer.decoder_block %x attn(%attn_norm, %attn_q, %attn_k, %attn_v, %attn_output) mlp(%ffn_norm, %ffn_gate, %ffn_up, %ffn_down)
    cache(%k, %v) at %at {heads = 9 : i64, kv_heads = 3 : i64, eps = 1.0e-5 : f32, rope_mode = "interleaved", rope_base = 1.0e5 : f32}
    : tensor<1x1x576xf32> attn(tensor<576xf32>, !transformer.quant<q4_1, 576x576>, !transformer.quant<q4_1, 192x576>, !transformer.quant<q4_1, 192x576>, !transformer.quant<q4_1, 576x576>)
      mlp(tensor<576xf32>, !transformer.quant<q4_1, 1536x576>, !transformer.quant<q4_1, 1536x576>, !transformer.quant<q4_1, 576x1536>)
      cache(tensor<1x2048x3x64xf32>, tensor<1x2048x3x64xf32>) at tensor<1xi32>
  ml_program.global_store @k_cache = %k1 : tensor<1x2048x3x64xf32>
  ml_program.global_store @v_cache = %v1 : tensor<1x2048x3x64xf32>
  return %y : tensor<1x1x576xf32>
}
