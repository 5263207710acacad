//! One block, taken apart and put together.

use crate::{ACTIVATIONS, BlockFormat};
use half::f16;

/// The parts of a block. What a format does not have is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Scale.
    pub d: f16,
    /// Minimum, or what scales the minima of the sub-blocks.
    pub m: f16,
    /// Of each sub-block, as stored: six bits, or the byte of an i8 for q6_k.
    pub scales: [u8; 16],
    /// Of each sub-block, six bits.
    pub mins: [u8; 8],
    /// The codes as stored, weight 0 first: unsigned, or the byte of an i8 for q8_0. [`BlockFormat::integer`] gives the
    /// integer a code stands for.
    pub codes: [u8; BlockFormat::MOST],
}

impl Block {
    pub const ZERO: Block =
        Block { d: f16::ZERO, m: f16::ZERO, scales: [0; 16], mins: [0; 8], codes: [0; BlockFormat::MOST] };
}

/// Where the parts of a block are in its bytes.
struct Parts {
    d: usize,
    m: usize,
    scales: usize,
    high: usize,
    low: usize,
}

impl BlockFormat {
    const fn parts(self) -> Parts {
        let upper = self.block() * (self.bits() as usize).saturating_sub(4) / 8;
        match self {
            BlockFormat::Q8_0 => Parts { d: 0, m: 0, scales: 0, high: 2, low: 2 },
            BlockFormat::Q4_0 | BlockFormat::Q5_0 => Parts { d: 0, m: 0, scales: 0, high: 2, low: 2 + upper },
            BlockFormat::Q4_1 | BlockFormat::Q5_1 => Parts { d: 0, m: 2, scales: 0, high: 4, low: 4 + upper },
            BlockFormat::Q4_K | BlockFormat::Q5_K => Parts { d: 0, m: 2, scales: 4, high: 16, low: 16 + upper },
            BlockFormat::Q6_K => Parts { d: 208, m: 0, scales: 192, high: 128, low: 0 },
        }
    }

    /// Bytes of nibbles whose low halves come before their high halves.
    const fn nibble_group(self) -> usize {
        match self {
            BlockFormat::Q6_K => 64,
            _ if self.has_scales() => 32,
            _ => 16,
        }
    }

    /// The parts of a block.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn unpack(self, bytes: &[u8]) -> Block {
        assert_eq!(bytes.len(), self.block_bytes(), "a {self} block");
        let (scales, mins) = self.sub_scales(bytes);
        let mut block = Block { d: self.scale(bytes), m: self.min(bytes), scales, mins, ..Block::ZERO };
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
    pub fn scale(self, bytes: &[u8]) -> f16 {
        f16::from_bits(u16::from_le_bytes(array(bytes, self.parts().d)))
    }

    /// [`Block::m`] of a block's bytes.
    #[inline(always)]
    pub fn min(self, bytes: &[u8]) -> f16 {
        if self.has_min() { f16::from_bits(u16::from_le_bytes(array(bytes, self.parts().m))) } else { f16::ZERO }
    }

    /// [`Block::scales`] and [`Block::mins`] of a block's bytes.
    #[inline(always)]
    pub fn sub_scales(self, bytes: &[u8]) -> ([u8; 16], [u8; 8]) {
        match self {
            BlockFormat::Q6_K => (array(bytes, self.parts().scales), [0; 8]),
            _ if self.has_scales() => unpack_scales(array(bytes, self.parts().scales)),
            _ => ([0; 16], [0; 8]),
        }
    }

    /// 32 of [`Block::codes`] of a block's bytes, four in a word, the first in its lowest byte: bytes of a word are taken
    /// apart together, which packs weights several times as fast as one after the other.
    #[inline(always)]
    pub fn codes(self, bytes: &[u8], unit: usize) -> [u32; ACTIVATIONS / 4] {
        let at = self.parts();
        let word = |at: usize| u32::from_le_bytes(array(bytes, at));
        let group = self.nibble_group();
        let fifth_bits = if matches!(self, BlockFormat::Q5_0 | BlockFormat::Q5_1) { word(at.high) } else { 0 };
        let mut codes = [0; ACTIVATIONS / 4];
        for (h, four) in codes.iter_mut().enumerate() {
            let column = ACTIVATIONS * unit + 4 * h;
            if self == BlockFormat::Q8_0 {
                *four = word(at.low + column);
                continue;
            }
            let nibbles = word(at.low + column / (2 * group) * group + column % group);
            let upper = match self {
                // Bit i of four moves to bit 8 i: the factor has the bits 0, 7, 14 and 21.
                BlockFormat::Q5_0 | BlockFormat::Q5_1 => ((fifth_bits >> (4 * h) & 15) * 0x0020_4081) & 0x0101_0101,
                BlockFormat::Q5_K => word(at.high + 4 * h) >> unit & 0x0101_0101,
                BlockFormat::Q6_K => word(at.high + 32 * (unit / 4) + 4 * h) >> (2 * (unit % 4)) & 0x0303_0303,
                _ => 0,
            };
            *four = nibbles >> (column / group % 2 * 4) & 0x0f0f_0f0f | upper << 4;
        }
        codes
    }

    /// Writes a block: the inverse of [`BlockFormat::unpack`]. Bits of a part beyond the format's are dropped.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn pack(self, block: &Block, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), self.block_bytes(), "a {self} block");
        let at = self.parts();
        bytes.fill(0);
        bytes[at.d..at.d + 2].copy_from_slice(&block.d.to_le_bytes());
        if self.has_min() {
            bytes[at.m..at.m + 2].copy_from_slice(&block.m.to_le_bytes());
        }
        match self {
            BlockFormat::Q6_K => bytes[at.scales..at.scales + 16].copy_from_slice(&block.scales),
            _ if self.has_scales() => pack_scales(block, &mut bytes[at.scales..at.scales + 12]),
            _ => {}
        }
        let codes = &block.codes[..self.block()];
        if self == BlockFormat::Q8_0 {
            bytes[at.low..].copy_from_slice(codes);
            return;
        }
        let group = self.nibble_group();
        for (codes, nibbles) in codes.chunks_exact(2 * group).zip(bytes[at.low..].chunks_exact_mut(group)) {
            let (low, high) = codes.split_at(group);
            nibbles.iter_mut().zip(low.iter().zip(high)).for_each(|(byte, (l, h))| *byte = l & 15 | h << 4);
        }
        let high = &mut bytes[at.high..];
        for (j, code) in codes.iter().enumerate() {
            match self {
                BlockFormat::Q5_0 | BlockFormat::Q5_1 => high[j / 8] |= (code >> 4 & 1) << (j % 8),
                BlockFormat::Q5_K => high[j % 32] |= (code >> 4 & 1) << (j / 32),
                BlockFormat::Q6_K => high[32 * (j / 128) + j % 32] |= (code >> 4 & 3) << (2 * (j / 32 % 4)),
                _ => {}
            }
        }
    }

    /// What the integers of sub-block `j` are multiplied with, and what is added then; both are exact in f32.
    pub fn factors(self, block: &Block, j: usize) -> (f32, Option<f32>) {
        let (d, m) = (block.d.to_f32(), block.m.to_f32());
        match self {
            BlockFormat::Q6_K => (d * f32::from(block.scales[j] as i8), None),
            _ if self.has_scales() => (d * f32::from(block.scales[j]), Some(-(m * f32::from(block.mins[j])))),
            // Adding a minimum of zero would turn the weight -0 into +0.
            _ => (d, self.has_min().then_some(m)),
        }
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

/// The bytes from `at` on.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// Six bits each of eight scales and eight minima. The first four of both have a byte, whose upper two bits belong to the
/// last four; of those, the scale's lower bits are a low nibble and the minimum's a high one (`get_scale_min_k4`).
fn unpack_scales(bytes: [u8; 12]) -> ([u8; 16], [u8; 8]) {
    let (mut scales, mut mins) = ([0; 16], [0; 8]);
    for j in 0..4 {
        scales[j] = bytes[j] & 63;
        mins[j] = bytes[j + 4] & 63;
        scales[j + 4] = bytes[j + 8] & 15 | bytes[j] >> 6 << 4;
        mins[j + 4] = bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4;
    }
    (scales, mins)
}

fn pack_scales(block: &Block, bytes: &mut [u8]) {
    let (scales, mins) = (&block.scales, &block.mins);
    for j in 0..4 {
        bytes[j] = scales[j] & 63 | scales[j + 4] >> 4 << 6;
        bytes[j + 4] = mins[j] & 63 | mins[j + 4] >> 4 << 6;
        bytes[j + 8] = scales[j + 4] & 15 | mins[j + 4] << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block whose weight 0 has code `low`, weight 16 code `high`, all others zero.
    fn known(format: BlockFormat, low: u8, high: u8) -> Vec<u8> {
        let mut block = Block { d: f16::from_f32(0.5), m: f16::from_f32(-3.0), ..Block::ZERO };
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
            prop_assume!(block.d.is_finite() && block.m.is_finite());
            prop_assert_eq!(weights(format, bytes), ggml(format, bytes));
        }

        #[test]
        fn one_rounding(index in 0..BlockFormat::ALL.len(), bytes in prop::collection::vec(any::<u8>(), 210)) {
            let format = BlockFormat::ALL[index];
            let bytes = &bytes[..format.block_bytes()];
            let block = format.unpack(bytes);
            prop_assume!(block.d.is_finite() && block.m.is_finite());
            for (i, (weight, code)) in weights(format, bytes).into_iter().zip(block.codes).enumerate() {
                // Exact in f64: both terms are multiples of 2^-24 below 2^29.
                let j = i / format.sub_block();
                let (scale, min) = match format {
                    BlockFormat::Q6_K => (f64::from(block.scales[j] as i8), 0.0),
                    _ if format.has_scales() => (f64::from(block.scales[j]), -f64::from(block.mins[j])),
                    _ => (1.0, 1.0),
                };
                let exact = block.d.to_f64() * scale * f64::from(format.integer(code)) + block.m.to_f64() * min;
                prop_assert_eq!(weight, exact as f32);
            }
        }
    }
}
