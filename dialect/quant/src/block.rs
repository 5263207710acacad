//! One block, taken apart and put together.

use crate::BlockFormat;
use half::f16;

/// The parts of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// Scale.
    pub d: f16,
    /// Minimum; zero in a format without one.
    pub m: f16,
    /// The codes as stored, weight 0 first: unsigned 4 or 5 bits, or the byte of an i8 for q8_0.
    /// [`BlockFormat::integer`] gives the integer a code stands for.
    pub codes: [u8; BlockFormat::BLOCK],
}

impl BlockFormat {
    /// The parts of a block.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn unpack(self, bytes: &[u8]) -> Block {
        assert_eq!(bytes.len(), self.block_bytes(), "a {self} block");
        let (d, rest) = split_f16(bytes);
        let (m, rest) = if self.has_min() { split_f16(rest) } else { (f16::ZERO, rest) };
        let mut codes = [0; Self::BLOCK];
        if self == BlockFormat::Q8_0 {
            codes.copy_from_slice(rest);
            return Block { d, m, codes };
        }
        let (fifth, nibbles) = rest.split_at(rest.len() - 16);
        for (j, byte) in nibbles.iter().enumerate() {
            codes[j] = byte & 15;
            codes[j + 16] = byte >> 4;
        }
        for (j, code) in codes.iter_mut().enumerate().take(fifth.len() * 8) {
            *code |= (fifth[j / 8] >> (j % 8) & 1) << 4;
        }
        Block { d, m, codes }
    }

    /// Writes a block: the inverse of [`BlockFormat::unpack`]. Bits of a code beyond the format's are dropped.
    ///
    /// # Panics
    /// If `bytes` is not [`BlockFormat::block_bytes`] long.
    pub fn pack(self, block: &Block, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), self.block_bytes(), "a {self} block");
        let (d, mut rest) = bytes.split_at_mut(2);
        d.copy_from_slice(&block.d.to_le_bytes());
        if self.has_min() {
            let (m, after) = rest.split_at_mut(2);
            m.copy_from_slice(&block.m.to_le_bytes());
            rest = after;
        }
        if self == BlockFormat::Q8_0 {
            rest.copy_from_slice(&block.codes);
            return;
        }
        let (fifth, nibbles) = rest.split_at_mut(rest.len() - 16);
        for (j, byte) in nibbles.iter_mut().enumerate() {
            *byte = block.codes[j] & 15 | block.codes[j + 16] << 4;
        }
        for (i, byte) in fifth.iter_mut().enumerate() {
            *byte = (0..8).map(|bit| (block.codes[8 * i + bit] >> 4 & 1) << bit).sum();
        }
    }

    /// The weights of a block: `d * q + m`, rounded once, for `d * q` is exact in f32 (11 bits times at most 8).
    pub fn weights(self, block: &Block) -> [f32; Self::BLOCK] {
        let (d, m) = (block.d.to_f32(), block.m.to_f32());
        // Adding a minimum of zero would turn the weight -0 into +0.
        if self.has_min() {
            block.codes.map(|code| d * self.integer(code) as f32 + m)
        } else {
            block.codes.map(|code| d * self.integer(code) as f32)
        }
    }
}

fn split_f16(bytes: &[u8]) -> (f16, &[u8]) {
    (f16::from_le_bytes([bytes[0], bytes[1]]), &bytes[2..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A block whose weight 0 has code `low`, weight 16 code `high`, all others zero.
    fn known(format: BlockFormat, low: u8, high: u8) -> Vec<u8> {
        let mut block = Block { d: f16::from_f32(0.5), m: f16::from_f32(-3.0), codes: [0; 32] };
        (block.codes[0], block.codes[16]) = (low, high);
        let mut bytes = vec![0; format.block_bytes()];
        format.pack(&block, &mut bytes);
        bytes
    }

    #[test]
    fn bytes_lie_as_in_ggml() {
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
            let weights = format.weights(&format.unpack(&known(format, low, high)));
            (weights[0], weights[16])
        };
        assert_eq!(pair(BlockFormat::Q4_0, 3, 10), (-2.5, 1.0));
        assert_eq!(pair(BlockFormat::Q4_1, 3, 10), (-1.5, 2.0));
        assert_eq!(pair(BlockFormat::Q5_0, 19, 10), (1.5, -3.0));
        assert_eq!(pair(BlockFormat::Q5_1, 3, 26), (-1.5, 10.0));
        assert_eq!(pair(BlockFormat::Q8_0, 0x85, 0x7f), (-61.5, 63.5));
    }

    proptest! {
        #[test]
        fn any_bytes_survive(index in 0..5usize, bytes in prop::collection::vec(any::<u8>(), 34)) {
            let format = BlockFormat::ALL[index];
            let bytes = &bytes[..format.block_bytes()];
            let mut again = vec![0; bytes.len()];
            format.pack(&format.unpack(bytes), &mut again);
            prop_assert_eq!(bytes, &again[..]);
        }

        #[test]
        fn one_rounding(index in 0..5usize, bytes in prop::collection::vec(any::<u8>(), 34)) {
            let format = BlockFormat::ALL[index];
            let block = format.unpack(&bytes[..format.block_bytes()]);
            prop_assume!(block.d.is_finite() && block.m.is_finite());
            for (weight, code) in format.weights(&block).into_iter().zip(block.codes) {
                // Exact in f64: both terms are multiples of 2^-24 below 2^24.
                let exact = block.d.to_f64() * f64::from(format.integer(code)) + block.m.to_f64();
                prop_assert_eq!(weight, exact as f32);
            }
        }
    }
}
