//! The quantisers of formats with a codebook; `gguf_py.rs` checks the other direction.

use kforge_quant::BlockFormat;

const TABLE: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

fn round_trip(weights: &[f32; 32]) -> ([u8; 18], [f32; 32]) {
    let (mut bytes, mut again) = ([0; 18], [0.0; 32]);
    BlockFormat::IQ4_NL.quantize_row(weights, &mut bytes).expect("a whole block");
    BlockFormat::IQ4_NL.dequantize_row(&bytes, &mut again).expect("a whole block");
    (bytes, again)
}

#[test]
fn the_first_half_is_in_the_low_nibbles() {
    // Weight i has code i in the first half and 15 - i in the second.
    let weights = std::array::from_fn(|i| f32::from(TABLE[if i < 16 { i } else { 31 - i }]) / 4.0);
    let (bytes, again) = round_trip(&weights);
    assert_eq!(again, weights);
    assert_eq!(bytes[..2], half::f16::from_f32(0.25).to_le_bytes());
    let nibbles: [u8; 16] = std::array::from_fn(|i| i as u8 | (15 - i as u8) << 4);
    assert_eq!(bytes[2..], nibbles);
}

#[test]
fn the_weight_of_the_largest_magnitude_decides_the_sign_of_the_scale() {
    let weights = std::array::from_fn(|i| f32::from(TABLE[i % 16]) / -8.0);
    assert_eq!(round_trip(&weights).1, weights);
}

/// Half the widest gap of the table and the fit of the scale: together below a fifth of the largest magnitude.
#[test]
fn errors_are_bounded() {
    let mut state = 1u32;
    for _ in 0..1000 {
        let weights: [f32; 32] = std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        });
        let most = weights.iter().fold(0f32, |most, weight| most.max(weight.abs()));
        for (weight, again) in weights.iter().zip(round_trip(&weights).1) {
            assert!((weight - again).abs() <= 0.2 * most, "{weight} became {again} of at most {most}");
        }
    }
}

/// Eight sub-blocks whose scales are d times -32 to 31, with every entry of the table.
#[test]
fn scales_of_sub_blocks_have_six_bits_with_a_sign() {
    let scales = [-32, 31, -1, 1, 0, 17, -18, 5];
    let weights: [f32; 256] = std::array::from_fn(|i| scales[i / 32] as f32 * f32::from(TABLE[i % 32 / 2]) / 4.0);
    let (mut bytes, mut again) = ([0; 136], [0.0; 256]);
    BlockFormat::IQ4_XS.quantize_row(&weights, &mut bytes).expect("a whole block");
    BlockFormat::IQ4_XS.dequantize_row(&bytes, &mut again).expect("a whole block");
    assert_eq!(again, weights);
    assert_eq!(bytes[..2], half::f16::from_f32(0.25).to_le_bytes());
    // Upper bits 0 3 1 2 and 2 3 0 2, then pairs of lower ones.
    assert_eq!(bytes[2..8], [0b1001_1100, 0b1000_1110, 0xf0, 0x1f, 0x10, 0x5e]);
    assert_eq!(bytes[8], 0x80);
}
