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

/// Scales and weights of all exponents are those of `ggml_e8m0_to_fp32_half`.
#[test]
fn exponents_are_powers_of_two() {
    let e2m1 = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];
    for e in 0..=255 {
        let mut bytes = [0; 17];
        bytes[0] = e;
        for (i, byte) in bytes[1..].iter_mut().enumerate() {
            *byte = (i | (15 - i) << 4) as u8;
        }
        let bits = if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 };
        let expected: [f32; 32] = std::array::from_fn(|i| f32::from_bits(bits) * e2m1[if i < 16 { i } else { 31 - i }]);
        let mut weights = [0.0; 32];
        BlockFormat::MXFP4.dequantize_row(&bytes, &mut weights).expect("a whole block");
        assert_eq!(weights.map(f32::to_bits), expected.map(f32::to_bits), "exponent {e}");
        let block = BlockFormat::MXFP4.unpack(&bytes);
        let mut again = [0; 17];
        BlockFormat::MXFP4.pack(&block, &mut again);
        assert_eq!(again, bytes);
    }
}

/// What gguf-py quantises these weights to.
#[test]
fn mxfp4_is_quantised_as_by_gguf_py() {
    let weights: [f32; 32] = std::array::from_fn(|i| (i as f32 * 37.0 % 32.0 - 15.5) * 0.75);
    let mut bytes = [0; 17];
    BlockFormat::MXFP4.quantize_row(&weights, &mut bytes).expect("a whole block");
    assert_eq!(bytes, [128, 15, 78, 108, 112, 227, 198, 151, 62, 93, 122, 242, 213, 182, 31, 78, 107]);
}
