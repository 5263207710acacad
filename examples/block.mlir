// One layer of a Llama-style decoder: width 64, four query and two key-value heads of 16, hidden 128, weights in q4_1.
// The weights are external: whoever runs the module supplies them by name.
ml_program.global private @attn_norm.weight(#ml_program.extern<tensor<64xf32>>) : tensor<64xf32>
ml_program.global private @attn_q.weight(#ml_program.extern<!transformer.quant<q4_1, 64x64>>) : !transformer.quant<q4_1, 64x64>
ml_program.global private @attn_k.weight(#ml_program.extern<!transformer.quant<q4_1, 32x64>>) : !transformer.quant<q4_1, 32x64>
ml_program.global private @attn_v.weight(#ml_program.extern<!transformer.quant<q4_1, 32x64>>) : !transformer.quant<q4_1, 32x64>
ml_program.global private @attn_output.weight(#ml_program.extern<!transformer.quant<q4_1, 64x64>>) : !transformer.quant<q4_1, 64x64>
ml_program.global private @ffn_norm.weight(#ml_program.extern<tensor<64xf32>>) : tensor<64xf32>
ml_program.global private @ffn_gate.weight(#ml_program.extern<!transformer.quant<q4_1, 128x64>>) : !transformer.quant<q4_1, 128x64>
ml_program.global private @ffn_up.weight(#ml_program.extern<!transformer.quant<q4_1, 128x64>>) : !transformer.quant<q4_1, 128x64>
ml_program.global private @ffn_down.weight(#ml_program.extern<!transformer.quant<q4_1, 64x128>>) : !transformer.quant<q4_1, 64x128>
ml_program.global private mutable @k_cache : tensor<1x128x2x16xf32>
ml_program.global private mutable @v_cache : tensor<1x128x2x16xf32>

func.func @main(%x: tensor<1x?x64xf32>, %positions: tensor<1xi32>) -> tensor<1x?x64xf32> {
  %attn_norm = ml_program.global_load_const @attn_norm.weight : tensor<64xf32>
  %wq = ml_program.global_load_const @attn_q.weight : !transformer.quant<q4_1, 64x64>
  %wk = ml_program.global_load_const @attn_k.weight : !transformer.quant<q4_1, 32x64>
  %wv = ml_program.global_load_const @attn_v.weight : !transformer.quant<q4_1, 32x64>
  %wo = ml_program.global_load_const @attn_output.weight : !transformer.quant<q4_1, 64x64>
  %mlp_norm = ml_program.global_load_const @ffn_norm.weight : tensor<64xf32>
  %gate = ml_program.global_load_const @ffn_gate.weight : !transformer.quant<q4_1, 128x64>
  %up = ml_program.global_load_const @ffn_up.weight : !transformer.quant<q4_1, 128x64>
  %down = ml_program.global_load_const @ffn_down.weight : !transformer.quant<q4_1, 64x128>
  %k_cache = ml_program.global_load @k_cache : tensor<1x128x2x16xf32>
  %v_cache = ml_program.global_load @v_cache : tensor<1x128x2x16xf32>

  %y, %new_k, %new_v = transformer.decoder_block %x
    attn(%attn_norm, %wq, %wk, %wv, %wo) mlp(%mlp_norm, %gate, %up, %down) cache(%k_cache, %v_cache) at %positions
    {heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_mode = "interleaved", rope_base = 1.0e4 : f32}
    : tensor<1x?x64xf32>
    attn(tensor<64xf32>, !transformer.quant<q4_1, 64x64>, !transformer.quant<q4_1, 32x64>, !transformer.quant<q4_1, 32x64>, !transformer.quant<q4_1, 64x64>)
    mlp(tensor<64xf32>, !transformer.quant<q4_1, 128x64>, !transformer.quant<q4_1, 128x64>, !transformer.quant<q4_1, 64x128>)
    cache(tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>) at tensor<1xi32>

  ml_program.global_store @k_cache = %new_k : tensor<1x128x2x16xf32>
  ml_program.global_store @v_cache = %new_v : tensor<1x128x2x16xf32>
  return %y : tensor<1x?x64xf32>
}
