//! The scales and minima of sub-blocks, as ggml packs them.

use crate::{Block, block::array};

/// How the scales of the sub-blocks of a block are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// The block has no sub-blocks.
    None,
    /// A byte for each of sixteen sub-blocks: four bits of scale, then four of minimum.
    FourBits,
    /// Six bits for each scale, and as many for each minimum: eight of both in twelve bytes. The first four of both have a
    /// byte, whose upper two bits belong to the last four; of those, the scale's lower bits are a low nibble and the
    /// minimum's a high one (`get_scale_min_k4`).
    SixBits,
    /// An i8 each, sixteen without minima.
    Int8,
    /// Six bits each, less 32, eight without minima: two bytes of upper two bits, then four of lower nibbles.
    Signed6x8,
    /// Six bits each, less 32, sixteen without minima: eight bytes of lower nibbles, of the j-th scale and the one eight
    /// later; then four bytes of upper two bits, of every fourth.
    Signed6x16,
}

impl Scales {
    /// Bytes of the scales and minima of a block.
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Scales::None => 0,
            Scales::SixBits | Scales::Signed6x16 => 12,
            Scales::FourBits | Scales::Int8 => 16,
            Scales::Signed6x8 => 6,
        }
    }

    /// The largest magnitude; of scales with a sign, that of the least.
    pub(crate) const fn most(self) -> u8 {
        match self {
            Scales::None => 1,
            Scales::FourBits => 15,
            Scales::SixBits => 63,
            Scales::Int8 => 128,
            Scales::Signed6x8 | Scales::Signed6x16 => 32,
        }
    }

    /// Scales and minima from the bytes at the start of `bytes`.
    #[inline(always)]
    pub(crate) fn unpack(self, bytes: &[u8]) -> ([i8; 16], [i8; 16]) {
        let (mut scales, mut mins) = ([0; 16], [0; 16]);
        match self {
            Scales::None => {}
            Scales::FourBits => {
                let bytes: [u8; 16] = array(bytes, 0);
                (scales, mins) = (bytes.map(|byte| (byte & 15) as i8), bytes.map(|byte| (byte >> 4) as i8));
            }
            Scales::SixBits => {
                let bytes: [u8; 12] = array(bytes, 0);
                for j in 0..4 {
                    scales[j] = (bytes[j] & 63) as i8;
                    mins[j] = (bytes[j + 4] & 63) as i8;
                    scales[j + 4] = (bytes[j + 8] & 15 | bytes[j] >> 6 << 4) as i8;
                    mins[j + 4] = (bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4) as i8;
                }
            }
            Scales::Int8 => scales = array(bytes, 0).map(|byte: u8| byte as i8),
            Scales::Signed6x8 => {
                let bytes: [u8; 6] = array(bytes, 0);
                for (j, scale) in scales[..8].iter_mut().enumerate() {
                    let upper = bytes[j / 4] >> (j % 4 * 2) & 3;
                    let lower = bytes[2 + j / 2] >> (j % 2 * 4) & 15;
                    *scale = (upper << 4 | lower) as i8 - 32;
                }
            }
            Scales::Signed6x16 => {
                let bytes: [u8; 12] = array(bytes, 0);
                for (j, scale) in scales.iter_mut().enumerate() {
                    let upper = bytes[8 + j % 4] >> (j / 4 * 2) & 3;
                    let lower = bytes[j % 8] >> (j / 8 * 4) & 15;
                    *scale = (upper << 4 | lower) as i8 - 32;
                }
            }
        }
        (scales, mins)
    }

    /// Writes the scales and minima of `block` to the start of `bytes`, which are zero.
    pub(crate) fn pack(self, block: &Block, bytes: &mut [u8]) {
        let (scales, mins) = (block.scales.map(|scale| scale as u8), block.mins.map(|min| min as u8));
        match self {
            Scales::None => {}
            Scales::FourBits => {
                for (byte, (scale, min)) in bytes.iter_mut().zip(scales.iter().zip(mins)) {
                    *byte = scale & 15 | min << 4;
                }
            }
            Scales::SixBits => {
                for j in 0..4 {
                    bytes[j] = scales[j] & 63 | scales[j + 4] >> 4 << 6;
                    bytes[j + 4] = mins[j] & 63 | mins[j + 4] >> 4 << 6;
                    bytes[j + 8] = scales[j + 4] & 15 | mins[j + 4] << 4;
                }
            }
            Scales::Int8 => bytes[..16].copy_from_slice(&scales),
            Scales::Signed6x8 => {
                for (j, scale) in scales[..8].iter().enumerate() {
                    let six = scale.wrapping_add(32) & 63;
                    bytes[j / 4] |= six >> 4 << (j % 4 * 2);
                    bytes[2 + j / 2] |= (six & 15) << (j % 2 * 4);
                }
            }
            Scales::Signed6x16 => {
                for (j, scale) in scales.iter().enumerate() {
                    let six = scale.wrapping_add(32) & 63;
                    bytes[8 + j % 4] |= six >> 4 << (j / 4 * 2);
                    bytes[j % 8] |= (six & 15) << (j / 8 * 4);
                }
            }
        }
    }
}
