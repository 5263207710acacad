//! Rows of blocks to f32 and back. The quantisers follow ggml's reference ones (`quantize_row_*_ref`).

use crate::{Block, BlockFormat, Error};
use half::f16;

impl BlockFormat {
    /// The weights of one block.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn dequantize_block(self, bytes: &[u8], weights: &mut [f32; Self::BLOCK]) {
        *weights = self.weights(&self.unpack(bytes));
    }

    /// The weights of whole blocks, a row or several.
    pub fn dequantize_row(self, bytes: &[u8], weights: &mut [f32]) -> Result<(), Error> {
        self.check(bytes.len(), weights.len())?;
        let (blocks, _) = weights.as_chunks_mut::<{ Self::BLOCK }>();
        for (bytes, weights) in bytes.chunks_exact(self.block_bytes()).zip(blocks) {
            self.dequantize_block(bytes, weights);
        }
        Ok(())
    }

    /// Quantises whole blocks, a row or several. Weights must be finite and within the range of f16.
    pub fn quantize_row(self, weights: &[f32], bytes: &mut [u8]) -> Result<(), Error> {
        self.check(bytes.len(), weights.len())?;
        let (blocks, _) = weights.as_chunks::<{ Self::BLOCK }>();
        for (weights, bytes) in blocks.iter().zip(bytes.chunks_exact_mut(self.block_bytes())) {
            self.pack(&self.quantize_block(weights), bytes);
        }
        Ok(())
    }

    /// The block nearest to `weights` as ggml's reference quantisers choose it.
    pub fn quantize_block(self, weights: &[f32; Self::BLOCK]) -> Block {
        match self {
            BlockFormat::Q4_1 | BlockFormat::Q5_1 => self.quantize_range(weights),
            BlockFormat::Q4_0 | BlockFormat::Q5_0 => self.quantize_offset(weights),
            BlockFormat::Q8_0 => {
                let d = extreme(weights).abs() / 127.0;
                let codes = weights.map(|w| (w * inverse(d)).round() as i8 as u8);
                Block { d: f16::from_f32(d), m: f16::ZERO, codes }
            }
        }
    }

    /// Codes from 0 to the largest, spread from the least weight to the greatest.
    fn quantize_range(self, weights: &[f32; Self::BLOCK]) -> Block {
        let top = (1u8 << self.bits()) - 1;
        let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let d = (greatest - least) / f32::from(top);
        let codes = weights.map(|w| (((w - least) * inverse(d) + 0.5) as u8).min(top));
        Block { d: f16::from_f32(d), m: f16::from_f32(least), codes }
    }

    /// Codes around the offset: the weight of the largest magnitude gets code 0, so that its sign decides that of `d`.
    fn quantize_offset(self, weights: &[f32; Self::BLOCK]) -> Block {
        let top = (1u8 << self.bits()) - 1;
        let offset = f32::from(self.offset());
        let d = extreme(weights) / -offset;
        let codes = weights.map(|w| ((w * inverse(d) + (offset + 0.5)) as u8).min(top));
        Block { d: f16::from_f32(d), m: f16::ZERO, codes }
    }

    fn check(self, actual: usize, weights: usize) -> Result<(), Error> {
        match self.bytes(1, weights) {
            None => Err(Error::PartialBlock { format: self, weights }),
            Some(expected) if expected != actual => Err(Error::Length { format: self, weights, expected, actual }),
            Some(_) => Ok(()),
        }
    }
}

/// The first weight of the largest magnitude.
fn extreme(weights: &[f32; BlockFormat::BLOCK]) -> f32 {
    weights.iter().fold(0.0, |most: f32, &w| if w.abs() > most.abs() { w } else { most })
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
        let ramp = |from: i32, count: i32| (0..64).map(|i| (from + i % count) as f32 * 0.25).collect::<Vec<_>>();
        for (format, from, count) in [
            (BlockFormat::Q4_0, -8, 16),
            (BlockFormat::Q4_1, -3, 16),
            (BlockFormat::Q5_0, -16, 32),
            (BlockFormat::Q5_1, 5, 32),
            (BlockFormat::Q8_0, -127, 32),
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
        assert_eq!(block.d, f16::from_f32(-0.5));
        assert_eq!(block.codes[..4], [8, 0, 12, 8]);
    }

    #[test]
    fn zeros_stay_zero() {
        for format in BlockFormat::ALL {
            assert_eq!(round_trip(format, &[0.0; 32]), [0.0; 32], "{format}");
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
        fn error_is_bounded(weights in prop::collection::vec(-100f32..100.0, 32)) {
            let most = weights.iter().fold(0f32, |a, w| a.max(w.abs()));
            let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
            let range = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
            let rounding = 2e-3 * most;
            for (format, step) in [
                (BlockFormat::Q4_0, most / 8.0 * 2.0),
                (BlockFormat::Q4_1, range / 15.0),
                (BlockFormat::Q5_0, most / 16.0 * 2.0),
                (BlockFormat::Q5_1, range / 31.0),
                (BlockFormat::Q8_0, most / 127.0),
            ] {
                for (weight, again) in weights.iter().zip(round_trip(format, &weights)) {
                    let bound = 0.5 * step + rounding;
                    prop_assert!((weight - again).abs() <= bound, "{format}: {weight} became {again}, bound {bound}");
                }
            }
        }
    }
}
