//! Instruction sets of CPUs.
//!
//! A kernel is written once, on vectors of sixteen lanes; the instruction set decides the register tile, which products it
//! may use, and which conversions must be expanded so that no library call is needed. A level is a vector register file,
//! and includes the levels below it; features are a set, since they do not imply each other.

use std::{fmt, str::FromStr};

/// Vector registers and the instructions that come with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// x86-64 baseline: 16 registers of 128 bits, no FMA, no half precision.
    Sse2,
    /// x86-64-v3: 16 registers of 256 bits, FMA, F16C.
    Avx2,
    /// x86-64-v4: 32 registers of 512 bits, masks.
    Avx512,
    /// AArch64: 32 registers of 128 bits, FMA, half-precision conversion.
    Neon,
}

impl Level {
    const ALL: [Level; 4] = [Level::Sse2, Level::Avx2, Level::Avx512, Level::Neon];

    /// 32-bit lanes of a register.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Level::Sse2 | Level::Neon => 4,
            Level::Avx2 => 8,
            Level::Avx512 => 16,
        }
    }

    pub(crate) fn registers(self) -> usize {
        match self {
            Level::Sse2 | Level::Avx2 => 16,
            Level::Avx512 | Level::Neon => 32,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Level::Sse2 => "sse2",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Neon => "neon",
        }
    }
}

/// What some CPUs of a level have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Four products of bytes added into 32 bits in one instruction.
    Vnni,
}

/// Name, the level that it extends, LLVM's name.
struct FeatureRow {
    feature: Feature,
    name: &'static str,
    level: Level,
    llvm: &'static str,
}

/// The features that kernels make use of.
const FEATURES: [FeatureRow; 1] =
    [FeatureRow { feature: Feature::Vnni, name: "vnni", level: Level::Avx512, llvm: "+avx512vnni" }];

/// A level and the features beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Isa {
    pub level: Level,
    /// One bit for each row of [`FEATURES`].
    features: u32,
}

impl Isa {
    pub const SSE2: Isa = Isa::plain(Level::Sse2);
    pub const AVX2: Isa = Isa::plain(Level::Avx2);
    pub const AVX512: Isa = Isa::plain(Level::Avx512);
    pub const AVX512_VNNI: Isa = Isa::plain(Level::Avx512).with(Feature::Vnni);
    pub const NEON: Isa = Isa::plain(Level::Neon);

    /// Those that tests cover, the widest first.
    pub const ALL: [Isa; 5] = [Isa::AVX512_VNNI, Isa::AVX512, Isa::AVX2, Isa::SSE2, Isa::NEON];

    const fn plain(level: Level) -> Isa {
        Isa { level, features: 0 }
    }

    pub const fn with(self, feature: Feature) -> Isa {
        Isa { level: self.level, features: self.features | 1 << feature as u32 }
    }

    pub fn has(self, feature: Feature) -> bool {
        self.features & 1 << feature as u32 != 0
    }

    /// All that the machine running this code has.
    pub fn host() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") {
                if has!("avx512vnni") { Isa::AVX512_VNNI } else { Isa::AVX512 }
            } else if has!("avx2") && has!("fma") && has!("f16c") {
                Isa::AVX2
            } else {
                Isa::SSE2
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Isa::NEON
    }

    /// Whether a machine with this runs what is generated for `other`.
    pub fn covers(self, other: Isa) -> bool {
        let is_arm = |isa: Isa| isa.level == Level::Neon;
        is_arm(self) == is_arm(other) && self.level >= other.level && self.features & other.features == other.features
    }

    /// The names of [`Isa::ALL`].
    pub(crate) fn names() -> String {
        Isa::ALL.map(|isa| isa.to_string()).join(", ")
    }

    /// The architecture's name in a target triple.
    pub fn architecture(self) -> &'static str {
        if self.level == Level::Neon { "aarch64" } else { "x86_64" }
    }

    /// LLVM's CPU and feature string for this and no more.
    pub fn llvm(self) -> (&'static str, String) {
        let (cpu, base) = match self.level {
            Level::Sse2 => ("x86-64", None),
            Level::Avx2 => ("x86-64-v3", None),
            // 512-bit vectors must be asked for: LLVM prefers 256 for this level.
            Level::Avx512 => ("x86-64-v4", Some("-prefer-256-bit")),
            Level::Neon => ("generic", Some("+neon")),
        };
        let features = FEATURES.iter().filter(|row| self.has(row.feature)).map(|row| row.llvm);
        (cpu, base.into_iter().chain(features).collect::<Vec<_>>().join(","))
    }
}

impl fmt::Display for Isa {
    /// `avx2`, `avx512+vnni`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.level.name())?;
        FEATURES.iter().filter(|row| self.has(row.feature)).try_for_each(|row| write!(f, "+{}", row.name))
    }
}

impl FromStr for Isa {
    type Err = String;

    /// Parses `host`, or a level and its features joined by `+`.
    fn from_str(text: &str) -> Result<Isa, String> {
        if text == "host" {
            return Ok(Isa::host());
        }
        let unknown = || format!("unknown instruction set '{text}'; use host, {}", Isa::names());
        let mut parts = text.split('+');
        let level = parts.next().and_then(|name| Level::ALL.into_iter().find(|level| level.name() == name));
        let mut isa = Isa::plain(level.ok_or_else(unknown)?);
        for name in parts {
            let row = FEATURES.iter().find(|row| row.name == name && row.level == isa.level);
            isa = isa.with(row.ok_or_else(unknown)?.feature);
        }
        Ok(isa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_covers_its_parts() {
        assert!(Isa::AVX512_VNNI.covers(Isa::AVX512) && Isa::AVX512.covers(Isa::AVX2) && Isa::AVX2.covers(Isa::SSE2));
        assert!(!Isa::AVX512.covers(Isa::AVX512_VNNI) && !Isa::AVX2.covers(Isa::AVX512));
        assert!(!Isa::NEON.covers(Isa::SSE2) && !Isa::AVX512_VNNI.covers(Isa::NEON));
    }

    #[test]
    fn llvm_has_the_same_sets() {
        assert_eq!(Isa::AVX512_VNNI.llvm(), ("x86-64-v4", "-prefer-256-bit,+avx512vnni".to_owned()));
        assert_eq!(Isa::SSE2.llvm(), ("x86-64", String::new()));
    }

    #[test]
    fn text_is_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert_eq!("avx512+vnni".parse(), Ok(Isa::AVX512_VNNI));
        for wrong in ["avx2+vnni", "avx512+", "avx512vnni", "gpu"] {
            assert!(
                Isa::from_str(wrong).unwrap_err().contains("use host, avx512+vnni, avx512, avx2, sse2, neon"),
                "{wrong}"
            );
        }
    }
}
