// Grouped-query attention over a key-value cache: four query heads share two key-value heads of 16. The new keys are
// rotated and written at each sequence's position before the rotated queries look at everything up to their own.
ml_program.global private mutable @k_cache : tensor<1x128x2x16xf32>
ml_program.global private mutable @v_cache : tensor<1x128x2x16xf32>

func.func @main(%q: tensor<1x?x4x16xf32>, %k: tensor<1x?x2x16xf32>, %v: tensor<1x?x2x16xf32>,
                %positions: tensor<1xi32>) -> tensor<1x?x4x16xf32> {
  %keys = ml_program.global_load @k_cache : tensor<1x128x2x16xf32>
  %values = ml_program.global_load @v_cache : tensor<1x128x2x16xf32>

  %qr = transformer.rope %q at %positions {mode = "interleaved", base = 1.0e4 : f32} : tensor<1x?x4x16xf32>, tensor<1xi32>
  %kr = transformer.rope %k at %positions {mode = "interleaved", base = 1.0e4 : f32} : tensor<1x?x2x16xf32>, tensor<1xi32>
  %new_keys = transformer.kv_update %keys, %kr at %positions : tensor<1x128x2x16xf32>, tensor<1x?x2x16xf32>, tensor<1xi32>
  %new_values = transformer.kv_update %values, %v at %positions : tensor<1x128x2x16xf32>, tensor<1x?x2x16xf32>, tensor<1xi32>
  ml_program.global_store @k_cache = %new_keys : tensor<1x128x2x16xf32>
  ml_program.global_store @v_cache = %new_values : tensor<1x128x2x16xf32>

  %out = transformer.attention %qr, %new_keys, %new_values at %positions {causal}
    : tensor<1x?x4x16xf32>, tensor<1x128x2x16xf32>, tensor<1x128x2x16xf32>, tensor<1xi32>
  return %out : tensor<1x?x4x16xf32>
}
