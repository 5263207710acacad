//! One block, taken apart and put together.

use crate::{
    ACTIVATIONS, BlockFormat,
    format::{Plane, Scale},
};
use half::{bf16, f16};

/// The parts of a block. What a format does not have is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Bits of the scale: of an f16, or of a bf16 where the file has an exponent ([`BlockFormat::scale`]).
    pub d: u16,
    /// Minimum, or what scales the minima of the sub-blocks.
    pub m: f16,
    /// Of each sub-block.
    pub scales: [i8; 16],
    /// Of each sub-block.
    pub mins: [i8; 16],
    /// The codes as stored, weight 0 first. [`BlockFormat::integer`] gives the integer a code stands for.
    pub codes: [u8; BlockFormat::MOST],
}

impl Block {
    pub const ZERO: Block = Block { d: 0, m: f16::ZERO, scales: [0; 16], mins: [0; 16], codes: [0; BlockFormat::MOST] };
}

impl BlockFormat {
    /// The parts of a block.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn unpack(self, bytes: &[u8]) -> Block {
        assert_eq!(bytes.len(), self.block_bytes(), "a {self} block");
        let (scales, mins) = self.sub_scales(bytes);
        let mut block = Block { d: self.scale_bits(bytes), m: self.min(bytes), scales, mins, ..Block::ZERO };
        let (units, _) = block.codes[..self.block()].as_chunks_mut::<ACTIVATIONS>();
        for (unit, codes) in units.iter_mut().enumerate() {
            for (code, four) in codes.as_chunks_mut().0.iter_mut().zip(self.codes(bytes, unit)) {
                *code = four.to_le_bytes();
            }
        }
        block
    }

    /// [`Block::d`] of a block's bytes. This and the next three panic if the bytes are not a whole block.
    #[inline(always)]
    pub fn scale_bits(self, bytes: &[u8]) -> u16 {
        let at = self.facts().d;
        match self.scale_kind() {
            Scale::F16 => u16::from_le_bytes(array(bytes, at)),
            Scale::Exponent => power_of_two(bytes[at]),
        }
    }

    /// [`Block::m`] of a block's bytes.
    #[inline(always)]
    pub fn min(self, bytes: &[u8]) -> f16 {
        self.facts().m.map_or(f16::ZERO, |at| f16::from_bits(u16::from_le_bytes(array(bytes, at))))
    }

    /// [`Block::scales`] and [`Block::mins`] of a block's bytes.
    #[inline(always)]
    pub fn sub_scales(self, bytes: &[u8]) -> ([i8; 16], [i8; 16]) {
        self.scales().unpack(&bytes[self.facts().sub_scales..])
    }

    /// 32 of [`Block::codes`] of a block's bytes, four in a word, the first in its lowest byte: bytes of a word are taken
    /// apart together, which packs weights several times as fast as one after the other.
    #[inline(always)]
    pub fn codes(self, bytes: &[u8], unit: usize) -> [u32; ACTIVATIONS / 4] {
        let facts = self.facts();
        let mut codes = [0; ACTIVATIONS / 4];
        for (h, four) in codes.iter_mut().enumerate() {
            let column = ACTIVATIONS * unit + 4 * h;
            *four = facts.low.four(bytes, column);
            if let Some(high) = facts.high {
                *four |= high.four(bytes, column) << facts.low.bits;
            }
        }
        codes
    }

    /// Writes a block: the inverse of [`BlockFormat::unpack`]. Bits of a part beyond the format's are dropped.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn pack(self, block: &Block, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), self.block_bytes(), "a {self} block");
        let facts = self.facts();
        bytes.fill(0);
        match self.scale_kind() {
            Scale::F16 => bytes[facts.d..facts.d + 2].copy_from_slice(&block.d.to_le_bytes()),
            Scale::Exponent => bytes[facts.d] = exponent(block.d),
        }
        if let Some(at) = facts.m {
            bytes[at..at + 2].copy_from_slice(&block.m.to_le_bytes());
        }
        self.scales().pack(block, &mut bytes[facts.sub_scales..]);
        for (j, code) in block.codes[..self.block()].iter().enumerate() {
            facts.low.put(bytes, j, *code);
            if let Some(high) = facts.high {
                high.put(bytes, j, code >> facts.low.bits);
            }
        }
    }

    /// The value of [`Block::d`].
    pub fn scale(self, bits: u16) -> f32 {
        match self.scale_kind() {
            Scale::F16 => f16::from_bits(bits).to_f32(),
            Scale::Exponent => bf16::from_bits(bits).to_f32(),
        }
    }

    /// What the integers of sub-block `j` are multiplied with, and what is added then; both are exact in f32.
    pub fn factors(self, block: &Block, j: usize) -> (f32, Option<f32>) {
        let (d, m) = (self.scale(block.d), block.m.to_f32());
        if self.has_scales() {
            let min = self.has_min().then(|| -(m * f32::from(block.mins[j])));
            return (d * f32::from(block.scales[j]), min);
        }
        // Adding a minimum of zero would turn the weight -0 into +0.
        (d, self.has_min().then_some(m))
    }

    /// The weights of a block: [`factors`](Self::factors) times the integer, which is exact in f32 (at most 24 bits), and
    /// one rounding where a minimum is added.
    ///
    /// # Panics
    /// If `weights` are not [`BlockFormat::block`].
    pub fn weights(self, block: &Block, weights: &mut [f32]) {
        assert_eq!(weights.len(), self.block(), "the weights of a {self} block");
        let sub_blocks = weights.chunks_exact_mut(self.sub_block()).zip(block.codes.chunks_exact(self.sub_block()));
        for (j, (weights, codes)) in sub_blocks.enumerate() {
            let (scale, min) = self.factors(block, j);
            for (weight, code) in weights.iter_mut().zip(codes) {
                let product = scale * self.integer(*code) as f32;
                *weight = min.map_or(product, |min| product + min);
            }
        }
    }
}

impl Plane {
    /// The bits of codes `column` to `column + 3`, each in the lowest of a byte; `column` is a multiple of 4.
    #[inline(always)]
    fn four(self, bytes: &[u8], column: usize) -> u32 {
        let (byte, bit) = self.place(column);
        if self.group == 1 {
            // Bit i of four moves to bit 8 i: the factor has the bits 0, 7, 14 and 21.
            return (u32::from(bytes[byte] >> bit & 15) * 0x0020_4081) & 0x0101_0101;
        }
        u32::from_le_bytes(array(bytes, byte)) >> bit & (0x0101_0101 * u32::from(self.mask()))
    }

    /// Sets the bits of code `column`, which are zero.
    fn put(self, bytes: &mut [u8], column: usize, code: u8) {
        let (byte, bit) = self.place(column);
        bytes[byte] |= (code & self.mask()) << bit;
    }
}

/// 2^(e - 128) as a bf16, which is subnormal for 0 and 1 (`ggml_e8m0_to_fp32_half`).
pub(crate) fn power_of_two(e: u8) -> u16 {
    match e {
        0 | 1 => 0x20 << e,
        _ => u16::from(e - 1) << 7,
    }
}

/// The inverse of [`power_of_two`].
fn exponent(d: u16) -> u8 {
    match d >> 7 {
        0 => (d >> 6) as u8,
        biased => (biased as u8).wrapping_add(1),
    }
}

/// The bytes from `at` on.
#[inline(always)]
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block whose weight 0 has code `low`, weight 16 code `high`, all others zero.
    fn known(format: BlockFormat, low: u8, high: u8) -> Vec<u8> {
        let mut block = Block { d: f16::from_f32(0.5).to_bits(), m: f16::from_f32(-3.0), ..Block::ZERO };
        (block.codes[0], block.codes[16]) = (low, high);
        let mut bytes = vec![0; format.block_bytes()];
        format.pack(&block, &mut bytes);
        bytes
    }

    fn weights(format: BlockFormat, bytes: &[u8]) -> Vec<f32> {
        let mut weights = vec![0.0; format.block()];
        format.weights(&format.unpack(bytes), &mut weights);
        weights
    }

    #[test]
    fn bytes_are_ggml() {
        let d = [0x00, 0x38];
        let m = [0x00, 0xc2];
        let after = |parts: &[&[u8]], length: usize| {
            let mut bytes = parts.concat();
            bytes.resize(length, 0);
            bytes
        };
        assert_eq!(known(BlockFormat::Q4_0, 3, 10), after(&[&d, &[0xa3]], 18));
        assert_eq!(known(BlockFormat::Q4_1, 3, 10), after(&[&d, &m, &[0xa3]], 20));
        assert_eq!(known(BlockFormat::Q5_0, 19, 10), after(&[&d, &[1, 0, 0, 0], &[0xa3]], 22));
        assert_eq!(known(BlockFormat::Q5_1, 3, 26), after(&[&d, &m, &[0, 0, 1, 0], &[0xa3]], 24));
        let mut q8 = after(&[&d, &[0x85]], 34);
        q8[2 + 16] = 0x7f;
        assert_eq!(known(BlockFormat::Q8_0, 0x85, 0x7f), q8);
    }

    #[test]
    fn weights_of_known_bytes() {
        let pair = |format: BlockFormat, low, high| {
            let weights = weights(format, &known(format, low, high));
            (weights[0], weights[16])
        };
        assert_eq!(pair(BlockFormat::Q4_0, 3, 10), (-2.5, 1.0));
        assert_eq!(pair(BlockFormat::Q4_1, 3, 10), (-1.5, 2.0));
        assert_eq!(pair(BlockFormat::Q5_0, 19, 10), (1.5, -3.0));
        assert_eq!(pair(BlockFormat::Q5_1, 3, 26), (-1.5, 10.0));
        assert_eq!(pair(BlockFormat::Q8_0, 0x85, 0x7f), (-61.5, 63.5));
    }

    /// `dequantize_row_q4_K`, `_q5_K` and `_q6_K` of ggml-quants.c, index by index.
    fn ggml(format: BlockFormat, bytes: &[u8]) -> Vec<f32> {
        let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
        let mut y = vec![];
        if format == BlockFormat::Q6_K {
            let d = half(208);
            for n in 0..2 {
                let (ql, qh, sc) = (&bytes[64 * n..], &bytes[128 + 32 * n..], &bytes[192 + 8 * n..]);
                let mut out = [0.0; 128];
                for l in 0..32 {
                    let q = [
                        ql[l] & 0xf | (qh[l] & 3) << 4,
                        ql[l + 32] & 0xf | (qh[l] >> 2 & 3) << 4,
                        ql[l] >> 4 | (qh[l] >> 4 & 3) << 4,
                        ql[l + 32] >> 4 | (qh[l] >> 6 & 3) << 4,
                    ];
                    for (i, q) in q.into_iter().enumerate() {
                        out[32 * i + l] = d * f32::from(sc[l / 16 + 2 * i] as i8) * (i32::from(q) - 32) as f32;
                    }
                }
                y.extend(out);
            }
            return y;
        }
        let q = &bytes[4..];
        let scale_min = |j: usize| match j {
            0..4 => (q[j] & 63, q[j + 4] & 63),
            _ => (q[j + 4] & 0xf | (q[j - 4] >> 6) << 4, q[j + 4] >> 4 | (q[j] >> 6) << 4),
        };
        let five = format == BlockFormat::Q5_K;
        let qs = &bytes[if five { 48 } else { 16 }..];
        for j in 0..8 {
            let (sc, m) = scale_min(j);
            let (d, m) = (half(0) * f32::from(sc), half(2) * f32::from(m));
            for l in 0..32 {
                let nibble = qs[32 * (j / 2) + l] >> (4 * (j % 2)) & 0xf;
                let fifth = if five && bytes[16 + l] & 1 << j != 0 { 16 } else { 0 };
                y.push(d * f32::from(nibble + fifth) - m);
            }
        }
        y
    }

    const K: [BlockFormat; 3] = [BlockFormat::Q4_K, BlockFormat::Q5_K, BlockFormat::Q6_K];

    proptest! {
        #[test]
        fn any_bytes_survive(index in 0..BlockFormat::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 210)) {
            let format = BlockFormat::ALL[index];
            let bytes = &bytes[..format.block_bytes()];
            let mut again = vec![0; bytes.len()];
            format.pack(&format.unpack(bytes), &mut again);
            prop_assert_eq!(bytes, &again[..]);
        }

        #[test]
        fn k_weights_are_ggml(index in 0..3usize, bytes in prop::collection::vec(any::<u8>(), 210)) {
            let format = K[index];
            let bytes = &bytes[..format.block_bytes()];
            let block = format.unpack(bytes);
            prop_assume!(format.scale(block.d).is_finite() && block.m.is_finite());
            prop_assert_eq!(weights(format, bytes), ggml(format, bytes));
        }

        #[test]
        fn one_rounding(index in 0..BlockFormat::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 210)) {
            let format = BlockFormat::ALL[index];
            let bytes = &bytes[..format.block_bytes()];
            let block = format.unpack(bytes);
            prop_assume!(format.scale(block.d).is_finite() && block.m.is_finite());
            for (i, (weight, code)) in weights(format, bytes).into_iter().zip(block.codes).enumerate() {
                // Exact in f64: both terms are multiples of 2^-24 below 2^29.
                let j = i / format.sub_block();
                let (scale, min) = match format.has_scales() {
                    true => (f64::from(block.scales[j]), -f64::from(block.mins[j])),
                    false => (1.0, 1.0),
                };
                let exact = f64::from(format.scale(block.d)) * scale * f64::from(format.integer(code)) + block.m.to_f64() * min;
                prop_assert_eq!(weight, exact as f32);
            }
        }
    }
}
