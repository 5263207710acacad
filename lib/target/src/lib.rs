//! What kernels are generated for: a CPU's instruction set, or what a GPU's adapter offers.
//!
//! A target is one text, in a module's attribute `transformer.target`, in options and in what is stored: `avx2`,
//! `avx512+vnni`, `gpu+f16+subgroups32+1024x49152`. Generators ask it for facts ([`Target::has_fma`]), not for its name.

pub mod adapter;
pub mod isa;

pub use adapter::Adapter;
pub use isa::{Feature, Isa, Level};

use std::{fmt, str::FromStr};

/// What kernels are generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// LLVM, for a CPU with this instruction set.
    Cpu(Isa),
    /// WGSL, for a GPU with these features and limits.
    Gpu(Adapter),
}

/// How products of bytes are added into 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteProducts {
    /// By widening each byte first.
    Widened,
    /// Two at a time into 16 bits, unsigned by signed: `vpmaddubsw`.
    Pairs,
    /// Four at a time into 32 bits, unsigned by signed: `vpdpbusd`.
    Quads,
}

impl Target {
    /// The machine running this code.
    pub fn host() -> Target {
        Target::Cpu(Isa::host())
    }

    pub fn is_gpu(self) -> bool {
        matches!(self, Target::Gpu(_))
    }

    /// The adapter of a GPU.
    pub fn adapter(self) -> Option<Adapter> {
        match self {
            Target::Cpu(_) => None,
            Target::Gpu(adapter) => Some(adapter),
        }
    }

    /// Whether a fused multiply-add is one instruction.
    pub fn has_fma(self) -> bool {
        !self.is_level(Level::Sse2)
    }

    /// Whether f16 converts to and from f32 in one instruction.
    pub fn has_f16_conversion(self) -> bool {
        !self.is_level(Level::Sse2)
    }

    /// Whether an instruction can leave lanes out, at no cost.
    pub fn has_masks(self) -> bool {
        self.is_level(Level::Avx512)
    }

    pub fn byte_products(self) -> ByteProducts {
        match self {
            Target::Cpu(isa) if isa.has(Feature::Vnni) => ByteProducts::Quads,
            Target::Cpu(isa) if matches!(isa.level, Level::Avx512 | Level::Avx2) => ByteProducts::Pairs,
            _ => ByteProducts::Widened,
        }
    }

    /// 32-bit lanes of a vector register.
    pub fn lanes(self) -> usize {
        match self {
            Target::Cpu(isa) => isa.level.lanes(),
            Target::Gpu(_) => 4,
        }
    }

    /// Vector registers of [`lanes`](Self::lanes).
    pub fn registers(self) -> usize {
        match self {
            Target::Cpu(isa) => isa.level.registers(),
            Target::Gpu(_) => 32,
        }
    }

    /// Vectors of sixteen f32 that the register file holds.
    pub fn wide_registers(self) -> usize {
        self.registers() * self.lanes() / 16
    }

    fn is_level(self, level: Level) -> bool {
        matches!(self, Target::Cpu(isa) if isa.level == level)
    }
}

impl From<Isa> for Target {
    fn from(isa: Isa) -> Target {
        Target::Cpu(isa)
    }
}

impl From<Adapter> for Target {
    fn from(adapter: Adapter) -> Target {
        Target::Gpu(adapter)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Target::Cpu(isa) => write!(f, "{isa}"),
            Target::Gpu(adapter) => write!(f, "gpu+{adapter}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    /// Parses `host`, an instruction set ([`Isa`]), or `gpu` and what its adapter has beyond the least ([`Adapter`]), joined
    /// by `+`.
    fn from_str(text: &str) -> Result<Target, String> {
        match text.split_once('+').unwrap_or((text, "")) {
            ("gpu", adapter) => Ok(Target::Gpu(adapter.parse()?)),
            _ => text.parse().map(Target::Cpu).map_err(|_| {
                format!(
                    "unknown target '{text}'; use host, {}, or gpu and what its adapter has, as gpu+f16",
                    Isa::names()
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back() {
        for target in Isa::ALL.map(Target::Cpu).into_iter().chain([Target::Gpu(Adapter::default())]) {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        assert_eq!("host".parse(), Ok(Target::host()));
        assert_eq!("gpu".parse(), Ok(Target::Gpu(Adapter::default())));
        let adapter = Adapter { f16: true, subgroups: 32, ..Adapter::default() };
        assert_eq!("gpu+f16+subgroups32".parse(), Ok(Target::Gpu(adapter)));
        for wrong in ["", "gpu+avx2", "avx3", "avx2+f16"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn register_files() {
        let wide = |isa: Isa| Target::Cpu(isa).wide_registers();
        assert_eq!(Isa::ALL.map(wide), [32, 32, 8, 4, 8]);
    }
}
