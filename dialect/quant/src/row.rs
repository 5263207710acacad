//! Rows of blocks to f32 and back. The quantisers follow ggml's reference ones (`quantize_row_*_ref`).

use crate::{Block, BlockFormat, Error, Scale, Values, block::power_of_two};
use half::f16;

impl BlockFormat {
    /// The weights of whole blocks, a row or several.
    pub fn dequantize_row(self, bytes: &[u8], weights: &mut [f32]) -> Result<(), Error> {
        self.check(bytes.len(), weights.len())?;
        for (bytes, weights) in bytes.chunks_exact(self.block_bytes()).zip(weights.chunks_exact_mut(self.block())) {
            self.weights(&self.unpack(bytes), weights);
        }
        Ok(())
    }

    /// Quantises whole blocks, a row or several. Weights must be finite and within the range of f16.
    pub fn quantize_row(self, weights: &[f32], bytes: &mut [u8]) -> Result<(), Error> {
        self.check(bytes.len(), weights.len())?;
        for (weights, bytes) in weights.chunks_exact(self.block()).zip(bytes.chunks_exact_mut(self.block_bytes())) {
            self.pack(&self.quantize_block(weights), bytes);
        }
        Ok(())
    }

    /// The block nearest to `weights` as ggml's reference quantisers choose it, of blocks of 256 without their search for a
    /// better scale.
    ///
    /// # Panics
    /// If `weights` are not [`BlockFormat::block`].
    pub fn quantize_block(self, weights: &[f32]) -> Block {
        assert_eq!(weights.len(), self.block(), "the weights of a {self} block");
        match (self.values(), self.has_scales(), self.has_min()) {
            (_, true, true) => self.quantize_ranges(weights),
            (_, true, false) => self.quantize_scales(weights),
            (Values::Codebook(table), ..) if self.scale_kind() == Scale::Exponent => {
                self.quantize_exponent(table, weights)
            }
            (Values::Codebook(table), ..) => quantize_codebook(table, weights),
            (Values::Signed, ..) => {
                let d = extreme(weights).abs() / 127.0;
                with_codes(d, 0.0, weights.iter().map(|w| (w * inverse(d)).round() as i8 as u8))
            }
            (Values::Offset(_), _, true) => self.quantize_range(weights),
            (Values::Offset(_), _, false) => self.quantize_offset(weights),
        }
    }

    /// The largest code.
    fn top(self) -> u8 {
        ((1u16 << self.bits()) - 1) as u8
    }

    /// Codes from 0 to the largest, spread from the least weight to the greatest.
    fn quantize_range(self, weights: &[f32]) -> Block {
        let (least, greatest) = range(weights);
        let d = (greatest - least) / f32::from(self.top());
        with_codes(d, least, weights.iter().map(|w| (((w - least) * inverse(d) + 0.5) as u8).min(self.top())))
    }

    /// Codes around the offset: the weight of the largest magnitude gets code 0, so that its sign decides that of `d`.
    fn quantize_offset(self, weights: &[f32]) -> Block {
        let offset = f32::from(self.offset());
        let d = extreme(weights) / -offset;
        with_codes(d, 0.0, weights.iter().map(|w| ((w * inverse(d) + (offset + 0.5)) as u8).min(self.top())))
    }

    /// The exponent of the weight of the largest magnitude gives the scale; each weight to the nearest entry, of several
    /// the first (`quantize_row_mxfp4_ref`).
    fn quantize_exponent(self, table: &[i8; 16], weights: &[f32]) -> Block {
        let most = extreme(weights).abs();
        let e = if most > 0.0 { (most.log2().floor() + 125.0).clamp(0.0, 255.0) as u8 } else { 0 };
        let bits = power_of_two(e);
        let d = self.scale(bits);
        let code = |w: &f32| {
            let error = |code: usize| (d * f32::from(table[code]) - w).abs();
            (0..table.len()).fold(0, |best, code| if error(code) < error(best) { code } else { best }) as u8
        };
        Block { d: bits, ..with_codes(0.0, 0.0, weights.iter().map(code)) }
    }

    /// Each sub-block from its least weight, or zero, to its greatest; then scales and minima to integers, and codes by
    /// what they have become.
    fn quantize_ranges(self, weights: &[f32]) -> Block {
        let ranges: Vec<(f32, f32)> = weights
            .chunks_exact(self.sub_block())
            .map(|weights| {
                let (least, greatest) = range(weights);
                let min = (-least).max(0.0);
                ((greatest + min) / f32::from(self.top()), min)
            })
            .collect();
        let top = f32::from(self.scales().most());
        let most = |of: fn(&(f32, f32)) -> f32| ranges.iter().map(of).fold(0.0, f32::max) / top;
        let (d, m) = (f16::from_f32(most(|r| r.0)), f16::from_f32(most(|r| r.1)));
        let integer = |x: f32, d: f16| (x * inverse(d.to_f32())).round().min(top) as i8;
        let mut block = Block { d: d.to_bits(), m, ..Block::ZERO };
        for (j, (scale, min)) in ranges.into_iter().enumerate() {
            (block.scales[j], block.mins[j]) = (integer(scale, d), integer(min, m));
        }
        self.set_codes(weights, block)
    }

    /// Each sub-block by its weight of the largest magnitude, which gets code 0; then scales to integers, and codes by
    /// what they have become.
    fn quantize_scales(self, weights: &[f32]) -> Block {
        let scale = |weights: &[f32]| extreme(weights) / self.integer(0) as f32;
        let scales: Vec<f32> = weights.chunks_exact(self.sub_block()).map(scale).collect();
        let most = f32::from(self.scales().most());
        let d = f16::from_f32(extreme(&scales) / -most);
        let mut block = Block { d: d.to_bits(), ..Block::ZERO };
        for (to, scale) in block.scales.iter_mut().zip(scales) {
            *to = (scale * inverse(d.to_f32())).round().clamp(-most, most - 1.0) as i8;
        }
        self.set_codes(weights, block)
    }

    /// The nearest code of each weight, for the scales and minima of `block`.
    fn set_codes(self, weights: &[f32], mut block: Block) -> Block {
        for (j, weights) in weights.chunks_exact(self.sub_block()).enumerate() {
            let (scale, min) = self.factors(&block, j);
            let code = |w: &f32| {
                let q = (w - min.unwrap_or(0.0)) * inverse(scale);
                if let Some(table) = self.codebook() {
                    return nearest(table, q);
                }
                (q.round() + f32::from(self.offset())).clamp(0.0, f32::from(self.top())) as u8
            };
            let at = j * self.sub_block();
            block.codes[at..].iter_mut().zip(weights.iter().map(code)).for_each(|(to, code)| *to = code);
        }
        block
    }

    fn check(self, actual: usize, weights: usize) -> Result<(), Error> {
        match self.bytes(1, weights) {
            None => Err(Error::PartialBlock { format: self, weights }),
            Some(expected) if expected != actual => Err(Error::Length { format: self, weights, expected, actual }),
            Some(_) => Ok(()),
        }
    }
}

/// Each weight to the nearest entry, for a scale that gives the weight of the largest magnitude the first entry; then the
/// scale that these codes fit best, each error weighed by the square of its weight (`quantize_row_iq4_nl_ref`).
fn quantize_codebook(table: &[i8; 16], weights: &[f32]) -> Block {
    let inverse = inverse(extreme(weights) / f32::from(table[0]));
    let codes: Vec<u8> = weights.iter().map(|w| nearest(table, w * inverse)).collect();
    let (mut products, mut squares) = (0.0, 0.0);
    for (weight, code) in weights.iter().zip(&codes) {
        let q = f32::from(table[usize::from(*code)]);
        let importance = weight * weight;
        products += importance * q * weight;
        squares += importance * q * q;
    }
    with_codes(if squares > 0.0 { products / squares } else { 0.0 }, 0.0, codes.into_iter())
}

/// The code of the entry nearest to `value`, of two the greater one; the table ascends.
fn nearest(table: &[i8; 16], value: f32) -> u8 {
    let above = |pair: &&[i8]| f32::from(pair[1]) - value <= value - f32::from(pair[0]);
    table.windows(2).take_while(above).count() as u8
}

/// A block without sub-blocks.
fn with_codes(d: f32, m: f32, codes: impl Iterator<Item = u8>) -> Block {
    let mut block = Block { d: f16::from_f32(d).to_bits(), m: f16::from_f32(m), ..Block::ZERO };
    block.codes.iter_mut().zip(codes).for_each(|(to, code)| *to = code);
    block
}

/// The first weight of the largest magnitude.
fn extreme(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |most: f32, &w| if w.abs() > most.abs() { w } else { most })
}

/// The least and the greatest weight.
fn range(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), w| (least.min(*w), most.max(*w)))
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(format: BlockFormat, weights: &[f32]) -> Vec<f32> {
        let mut bytes = vec![0; format.bytes(1, weights.len()).unwrap()];
        format.quantize_row(weights, &mut bytes).unwrap();
        let mut again = vec![0.0; weights.len()];
        format.dequantize_row(&bytes, &mut again).unwrap();
        again
    }

    #[test]
    fn representable_rows_come_back() {
        // A step that a fifteenth, a sixty-third and a power of two divide.
        let ramp =
            |from: i32, count: i32| (0..512).map(|i| (from + i % count) as f32 * 315.0 / 1024.0).collect::<Vec<_>>();
        for (format, from, count) in [
            (BlockFormat::Q4_0, -8, 16),
            (BlockFormat::Q4_1, -3, 16),
            (BlockFormat::Q5_0, -16, 32),
            (BlockFormat::Q5_1, 5, 32),
            (BlockFormat::Q8_0, -127, 32),
            (BlockFormat::Q2_K, -1, 4),
            (BlockFormat::Q3_K, -4, 8),
            (BlockFormat::Q4_K, -3, 16),
            (BlockFormat::Q5_K, -7, 32),
            (BlockFormat::Q6_K, -32, 16),
        ] {
            let row = ramp(from, count);
            assert_eq!(round_trip(format, &row), row, "{format}");
        }
    }

    #[test]
    fn the_largest_magnitude_gets_code_zero() {
        let mut weights = [0.0; 32];
        (weights[1], weights[2]) = (4.0, -2.0);
        let block = BlockFormat::Q4_0.quantize_block(&weights);
        assert_eq!(block.d, f16::from_f32(-0.5).to_bits());
        assert_eq!(block.codes[..4], [8, 0, 12, 8]);
    }

    #[test]
    fn zeros_stay_zero() {
        for format in BlockFormat::ALL {
            assert_eq!(round_trip(format, &[0.0; 256]), [0.0; 256], "{format}");
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let format = BlockFormat::Q4_0;
        assert_eq!(format.dequantize_row(&[0; 18], &mut [0.0; 33]), Err(Error::PartialBlock { format, weights: 33 }));
        let error = format.quantize_row(&[0.0; 64], &mut [0; 35]).unwrap_err();
        assert_eq!(error.to_string(), "q4_0: 64 weights take 36 bytes, but there are 35");
        assert_eq!(format.dequantize_row(&[], &mut []), Ok(()));
    }

    proptest! {
        /// Half a step of the codes, plus what rounding d and m to f16 may shift, and for the offset formats the step
        /// that the code beyond the largest would have needed.
        #[test]
        fn error_is_bounded(weights in prop::collection::vec(-100f32..100.0, 256)) {
            let most = weights.iter().fold(0f32, |a, w| a.max(w.abs()));
            let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
            let range = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
            let (full, rounding) = (range.max(most), 2e-3 * most);
            for (format, step) in [
                (BlockFormat::Q4_0, most / 8.0 * 2.0),
                (BlockFormat::Q4_1, range / 15.0),
                (BlockFormat::Q5_0, most / 16.0 * 2.0),
                (BlockFormat::Q5_1, range / 31.0),
                (BlockFormat::Q8_0, most / 127.0),
                // A scale is off by half a sixty-third of the greatest, and so are all of its steps; a minimum likewise.
                // Of q2_k these are fifteenths.
                (BlockFormat::Q2_K, full / 3.0 + full / 15.0 + most / 15.0),
                (BlockFormat::Q4_K, full / 15.0 + full / 63.0 + most / 63.0),
                (BlockFormat::Q5_K, full / 31.0 + full / 63.0 + most / 63.0),
                // The scale of the other sign than the greatest one's is a whole unit short of it.
                (BlockFormat::Q3_K, most / 4.0 * 2.0 + 2.0 * most / 32.0),
                (BlockFormat::Q6_K, most / 32.0 * 2.0 + 2.0 * most / 128.0),
                // Its widest gap is a quarter of the power of two above the largest magnitude or of twice it.
                (BlockFormat::MXFP4, most / 8.0 * 2.0 * 2.0),
                // The widest gap of the table is 24; beyond the last entry there are 14 more.
                (BlockFormat::IQ4_XS, most / 127.0 * 28.0 + 2.0 * most / 32.0),
            ] {
                for (weight, again) in weights.iter().zip(round_trip(format, &weights)) {
                    let bound = 0.5 * step + rounding;
                    prop_assert!((weight - again).abs() <= bound, "{format}: {weight} became {again}, bound {bound}");
                }
            }
        }
    }
}
