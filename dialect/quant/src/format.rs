//! The block formats, one row of [`FORMATS`] each: sizes, where the parts of a block are in its bytes, and what a code
//! stands for. The reader of GGUF files, the packer and the kernels derive from the row; none of them matches on a format.

use crate::{ACTIVATIONS, Error, Scales};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A block format. The byte layouts are those of ggml (`ggml-common.h`, `ggml-quants.c`):
///
/// | format | weights | bytes in order | weight |
/// |---|---|---|---|
/// | q4_0 | 32 | d f16, nibbles 16 | d * (code - 8) |
/// | q4_1 | 32 | d f16, m f16, nibbles 16 | d * code + m |
/// | q5_0 | 32 | d f16, fifth bits u32, nibbles 16 | d * (code - 16) |
/// | q5_1 | 32 | d f16, m f16, fifth bits u32, nibbles 16 | d * code + m |
/// | q8_0 | 32 | d f16, bytes 32 | d * (code as i8) |
/// | q2_k | 16 of 16 | scales and minima 16, codes of two bits 64, d f16, m f16 | d * scale * code - m * minimum |
/// | q3_k | 16 of 16 | upper bits 32, lower two bits 64, scales 12, d f16 | d * scale * (code - 4) |
/// | q4_k | 8 of 32 | d f16, m f16, scales and minima 12, nibbles 128 | d * scale * code - m * minimum |
/// | q5_k | 8 of 32 | d f16, m f16, scales and minima 12, fifth bits 32, nibbles 128 | d * scale * code - m * minimum |
/// | q6_k | 16 of 16 | nibbles 128, upper bits 64, scales i8 16, d f16 | d * scale * (code - 32) |
/// | iq4_nl | 32 | d f16, nibbles 16 | d * codebook\[code\] |
/// | iq4_xs | 8 of 32 | d f16, scales 6, nibbles 128 | d * scale * codebook\[code\] |
/// | mxfp4 | 32 | exponent e u8, nibbles 16 | 2^(e - 128) * codebook\[code\] |
///
/// Everything is little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(non_camel_case_types, reason = "the names are ggml's")]
pub enum BlockFormat {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

/// The facts of one format.
pub(crate) struct Facts {
    format: BlockFormat,
    name: &'static str,
    /// Number of the type in a GGUF file.
    ggml_id: u32,
    /// Weights in a block.
    block: usize,
    /// Weights that share a scale.
    sub_block: usize,
    values: Values,
    scales: Scales,
    scale: Scale,
    /// First byte of the scale `d` of a block.
    pub d: usize,
    /// First byte of the minimum `m`, if there is one.
    pub m: Option<usize>,
    /// First byte of the scales of sub-blocks.
    pub sub_scales: usize,
    /// The low bits of the codes, or all of them.
    pub low: Plane,
    /// The bits above those.
    pub high: Option<Plane>,
}

/// Where some bits of every code are. `group` neighbouring bytes hold those of `group` codes in their lowest bits, those of
/// the next `group` codes above them, and so on until the bytes are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    /// First byte.
    pub at: usize,
    /// Bits of one code.
    pub bits: u32,
    /// 1 if the bits of a code follow those of the code before; else a multiple of 4.
    pub group: usize,
}

impl Plane {
    const fn new(at: usize, bits: u32, group: usize) -> Plane {
        Plane { at, bits, group }
    }

    /// The byte that holds the bits of code `column`, and the first of these bits.
    #[inline(always)]
    pub const fn place(self, column: usize) -> (usize, u32) {
        let (run, codes) = (column / self.group, 8 / self.bits as usize);
        (self.at + run / codes * self.group + column % self.group, (run % codes) as u32 * self.bits)
    }

    /// The bits of a code.
    #[inline(always)]
    pub const fn mask(self) -> u8 {
        (255u16 >> (8 - self.bits)) as u8
    }
}

/// The integer that a code stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// The unsigned code less an offset: half its range where there is no minimum, else zero.
    Offset(u8),
    /// The byte of an i8.
    Signed,
    /// An entry of a table; codes have four bits.
    Codebook(&'static [i8; 16]),
}

/// How the scale `d` of a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    F16,
    /// A byte e, the scale 2^(e - 128): an E8M0 exponent of the Open Compute Project's microscaling formats, halved because
    /// the codebook has twice the values of E2M1. As ggml does, 255 is an exponent like the others. A bf16 holds all of
    /// these scales, an f16 does not.
    Exponent,
}

impl Facts {
    /// The facts that a block of 32 with nibbles has unless its row says otherwise.
    const NIBBLES: Facts = Facts {
        format: BlockFormat::Q4_0,
        name: "",
        ggml_id: 0,
        block: 32,
        sub_block: 32,
        values: Values::Offset(0),
        scales: Scales::None,
        scale: Scale::F16,
        d: 0,
        m: None,
        sub_scales: 0,
        low: Plane::new(2, 4, 16),
        high: None,
    };
}

/// `kvalues_iq4nl` of ggml.
const NON_LINEAR: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// In the order of the variants.
static FORMATS: [Facts; 13] = [
    Facts { format: BlockFormat::Q4_0, name: "q4_0", ggml_id: 2, values: Values::Offset(8), ..Facts::NIBBLES },
    Facts {
        format: BlockFormat::Q4_1,
        name: "q4_1",
        ggml_id: 3,
        m: Some(2),
        low: Plane::new(4, 4, 16),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q5_0,
        name: "q5_0",
        ggml_id: 6,
        values: Values::Offset(16),
        high: Some(Plane::new(2, 1, 1)),
        low: Plane::new(6, 4, 16),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q5_1,
        name: "q5_1",
        ggml_id: 7,
        m: Some(2),
        high: Some(Plane::new(4, 1, 1)),
        low: Plane::new(8, 4, 16),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q8_0,
        name: "q8_0",
        ggml_id: 8,
        values: Values::Signed,
        low: Plane::new(2, 8, 32),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q2_K,
        name: "q2_k",
        ggml_id: 10,
        block: 256,
        sub_block: 16,
        scales: Scales::FourBits,
        sub_scales: 0,
        low: Plane::new(16, 2, 32),
        d: 80,
        m: Some(82),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q3_K,
        name: "q3_k",
        ggml_id: 11,
        block: 256,
        sub_block: 16,
        values: Values::Offset(4),
        scales: Scales::Signed6x16,
        high: Some(Plane::new(0, 1, 32)),
        low: Plane::new(32, 2, 32),
        sub_scales: 96,
        d: 108,
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q4_K,
        name: "q4_k",
        ggml_id: 12,
        block: 256,
        scales: Scales::SixBits,
        m: Some(2),
        sub_scales: 4,
        low: Plane::new(16, 4, 32),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q5_K,
        name: "q5_k",
        ggml_id: 13,
        block: 256,
        scales: Scales::SixBits,
        m: Some(2),
        sub_scales: 4,
        high: Some(Plane::new(16, 1, 32)),
        low: Plane::new(48, 4, 32),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::Q6_K,
        name: "q6_k",
        ggml_id: 14,
        block: 256,
        sub_block: 16,
        values: Values::Offset(32),
        scales: Scales::Int8,
        low: Plane::new(0, 4, 64),
        high: Some(Plane::new(128, 2, 32)),
        sub_scales: 192,
        d: 208,
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::IQ4_NL,
        name: "iq4_nl",
        ggml_id: 20,
        values: Values::Codebook(&NON_LINEAR),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::IQ4_XS,
        name: "iq4_xs",
        ggml_id: 23,
        block: 256,
        values: Values::Codebook(&NON_LINEAR),
        scales: Scales::Signed6x8,
        sub_scales: 2,
        low: Plane::new(8, 4, 16),
        ..Facts::NIBBLES
    },
    Facts {
        format: BlockFormat::MXFP4,
        name: "mxfp4",
        ggml_id: 39,
        values: Values::Codebook(&[0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]),
        scale: Scale::Exponent,
        low: Plane::new(1, 4, 16),
        ..Facts::NIBBLES
    },
];

/// Evaluates an expression in which `$constant` is the format as a constant: what depends on the format is then decided
/// when it is compiled, once for each.
#[macro_export]
macro_rules! with_format {
    ($format:expr, $constant:ident => $body:expr) => {
        $crate::with_format!(@ $format, $constant => $body, Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4)
    };
    (@ $format:expr, $constant:ident => $body:expr, $($name:ident)*) => {
        match $format {
            $($crate::BlockFormat::$name => {
                const $constant: $crate::BlockFormat = $crate::BlockFormat::$name;
                $body
            })*
        }
    };
}

impl BlockFormat {
    pub const ALL: [BlockFormat; FORMATS.len()] = {
        let mut all = [BlockFormat::Q4_0; FORMATS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = FORMATS[i].format;
            i += 1;
        }
        all
    };

    /// Most weights in a block of any format.
    pub const MOST: usize = 256;

    #[inline(always)]
    pub(crate) const fn facts(self) -> &'static Facts {
        &FORMATS[self as usize]
    }

    /// Lower-case name, as the dialect spells it: `q4_1`.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Number of its type in a GGUF file.
    pub const fn ggml_id(self) -> u32 {
        self.facts().ggml_id
    }

    /// Weights in a block.
    pub const fn block(self) -> usize {
        self.facts().block
    }

    /// Weights that share a scale: the whole block, or a sub-block.
    pub const fn sub_block(self) -> usize {
        self.facts().sub_block
    }

    /// Whether fewer weights share a scale than activations do.
    pub const fn has_short_sub_blocks(self) -> bool {
        self.sub_block() < ACTIVATIONS
    }

    /// Bits of one code.
    pub const fn bits(self) -> u32 {
        self.low_bits() + self.high_bits()
    }

    /// Bits of a code that are stored together: 8, 4 or 2.
    pub const fn low_bits(self) -> u32 {
        self.facts().low.bits
    }

    /// Bits of a code that are stored apart from the others: 0, 1 or 2, those above [`low_bits`](Self::low_bits).
    pub const fn high_bits(self) -> u32 {
        match self.facts().high {
            Some(plane) => plane.bits,
            None => 0,
        }
    }

    /// What codes stand for.
    pub const fn values(self) -> Values {
        self.facts().values
    }

    /// How the scale of a block is stored.
    pub const fn scale_kind(self) -> Scale {
        self.facts().scale
    }

    /// How scales of sub-blocks are stored.
    pub const fn scales(self) -> Scales {
        self.facts().scales
    }

    /// Whether a block stores a minimum, with six-bit scales what scales the minima of its sub-blocks.
    pub const fn has_min(self) -> bool {
        self.facts().m.is_some()
    }

    /// Whether sub-blocks have scales of their own.
    pub const fn has_scales(self) -> bool {
        !matches!(self.scales(), Scales::None)
    }

    /// What is subtracted from an unsigned code, zero for any other.
    pub const fn offset(self) -> u8 {
        match self.values() {
            Values::Offset(offset) => offset,
            Values::Signed | Values::Codebook(_) => 0,
        }
    }

    /// The table that codes index, if they do.
    pub const fn codebook(self) -> Option<&'static [i8; 16]> {
        match self.values() {
            Values::Codebook(table) => Some(table),
            Values::Offset(_) | Values::Signed => None,
        }
    }

    /// Whether the integers are signed bytes, of the code or of a codebook, instead of an unsigned code less an offset.
    pub const fn has_signed_bytes(self) -> bool {
        !matches!(self.values(), Values::Offset(_))
    }

    /// The integer `q` that a stored code stands for.
    #[inline(always)]
    pub const fn integer(self, code: u8) -> i32 {
        match self.values() {
            Values::Offset(offset) => code as i32 - offset as i32,
            Values::Signed => code as i8 as i32,
            Values::Codebook(table) => table[(code & 15) as usize] as i32,
        }
    }

    /// Bytes of a block in a file.
    pub const fn block_bytes(self) -> usize {
        let scale = match self.scale_kind() {
            Scale::F16 => 2,
            Scale::Exponent => 1,
        };
        let minimum = if self.has_min() { 2 } else { 0 };
        scale + minimum + self.scales().bytes() + self.block() * self.bits() as usize / 8
    }

    /// Bytes of a weight of `rows` x `columns`; none if `columns` is not a multiple of the block or the size overflows.
    pub const fn bytes(self, rows: usize, columns: usize) -> Option<usize> {
        if !columns.is_multiple_of(self.block()) {
            return None;
        }
        match (columns / self.block()).checked_mul(self.block_bytes()) {
            Some(row) => row.checked_mul(rows),
            None => None,
        }
    }

    /// The names of all formats as a sentence lists them: `q4_0, q4_1 and q5_0`.
    pub fn names() -> String {
        let [first @ .., last] = Self::ALL.map(Self::name);
        format!("{} and {last}", first.join(", "))
    }
}

impl fmt::Display for BlockFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for BlockFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| Error::UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_ggmls() {
        let sizes = BlockFormat::ALL.map(BlockFormat::block_bytes);
        assert_eq!(sizes, [18, 20, 22, 24, 34, 84, 110, 144, 176, 210, 18, 136, 17]);
        assert_eq!(BlockFormat::Q4_1.bytes(576, 1536), Some(576 * 48 * 20));
        assert_eq!(BlockFormat::Q6_K.bytes(576, 1536), Some(576 * 6 * 210));
        assert_eq!(BlockFormat::Q8_0.bytes(0, 64), Some(0));
        assert_eq!(BlockFormat::Q8_0.bytes(3, 0), Some(0));
    }

    #[test]
    fn sizes_that_cannot_be_are_none() {
        assert_eq!(BlockFormat::Q4_0.bytes(1, 33), None);
        assert_eq!(BlockFormat::Q4_K.bytes(1, 32), None);
        assert_eq!(BlockFormat::Q6_K.bytes(usize::MAX / 200, 256), None);
        assert_eq!(BlockFormat::Q4_0.bytes(usize::MAX, 32), None);
        assert_eq!(BlockFormat::Q8_0.bytes(1, usize::MAX - 31), None);
    }

    #[test]
    fn names_round_trip() {
        for format in BlockFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
        }
        assert_eq!("Q4_K".parse::<BlockFormat>(), Err(Error::UnknownFormat("Q4_K".into())));
        assert!(BlockFormat::ALL.iter().all(|format| format.block().is_multiple_of(ACTIVATIONS)));
        let error = Error::UnknownFormat("iq3_s".into()).to_string();
        assert!(error.starts_with("unknown block format `iq3_s`; the formats are q4_0, q4_1, "), "{error}");
    }

    #[test]
    fn rows_describe_their_variants() {
        for format in BlockFormat::ALL {
            let facts = format.facts();
            assert_eq!(facts.format, format);
            assert_eq!(facts.sub_block < facts.block, format.has_scales(), "{format}");
            for plane in [Some(facts.low), facts.high].into_iter().flatten() {
                assert!(
                    8 % plane.bits == 0 && (plane.group % 4 == 0 || (plane.group, plane.bits) == (1, 1)),
                    "{format}"
                );
            }
            assert!(matches!((facts.low.bits, format.high_bits()), (8, 0) | (4, 0..=2) | (2, 0..=1)), "{format}");
            assert!(facts.block <= BlockFormat::MOST, "{format}");
            if let Some(table) = format.codebook() {
                assert_eq!((format.bits(), format.has_short_sub_blocks(), facts.m), (4, false, None), "{format}");
                // What the quantisers of these formats expect.
                assert!(table.is_sorted() || facts.scale == Scale::Exponent, "{format}");
            } else {
                assert_eq!(facts.scale, Scale::F16, "{format}");
            }
            assert_eq!(with_format!(format, FORMAT => FORMAT), format);
        }
    }
}
