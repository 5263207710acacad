//! Instruction sets that kernels are generated for.
//!
//! A kernel is written once, on sixteen-lane vectors; the instruction set decides the register tile and which
//! conversions must be spelled out so that no library call is needed. A GPU's is one of them: what its kernels can use
//! beside is said by its [`Adapter`](crate::adapter::Adapter).

use std::{fmt, str::FromStr};

/// What the vector unit offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// The same as `Avx512`, and four products of bytes added into 32 bits in one instruction.
    Avx512Vnni,
    /// x86-64-v4: 32 registers of 512 bits, masks.
    Avx512,
    /// x86-64-v3: 16 registers of 256 bits, FMA, F16C.
    Avx2,
    /// x86-64 baseline: 16 registers of 128 bits, no FMA, no half precision.
    Sse2,
    /// AArch64: 32 registers of 128 bits, FMA, half-precision conversion.
    Neon,
    /// What WGSL has: scalars and four lanes a thread.
    Gpu,
}

impl Isa {
    /// Those of CPUs, the widest first.
    pub const ALL: [Isa; 5] = [Isa::Avx512Vnni, Isa::Avx512, Isa::Avx2, Isa::Sse2, Isa::Neon];

    /// The widest set that the machine running this code has.
    pub fn host() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") {
                if has!("avx512vnni") { Isa::Avx512Vnni } else { Isa::Avx512 }
            } else if has!("avx2") && has!("fma") && has!("f16c") {
                Isa::Avx2
            } else {
                Isa::Sse2
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Neon
    }

    /// Whether vectors have 512 bits.
    pub fn is_avx512(self) -> bool {
        matches!(self, Isa::Avx512Vnni | Isa::Avx512)
    }

    /// Whether a fused multiply-add is one instruction.
    pub fn has_fma(self) -> bool {
        self != Isa::Sse2
    }

    /// Whether f16 converts to and from f32 in one instruction.
    pub fn has_f16_conversion(self) -> bool {
        self != Isa::Sse2
    }

    /// Sixteen-lane f32 vectors that the register file holds.
    pub fn registers(self) -> usize {
        match self {
            Isa::Avx512Vnni | Isa::Avx512 => 32,
            Isa::Avx2 => 8,
            Isa::Sse2 => 4,
            Isa::Neon | Isa::Gpu => 8,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512Vnni => "avx512vnni",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Sse2 => "sse2",
            Isa::Neon => "neon",
            Isa::Gpu => "gpu",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = String;

    /// Parses a name, or `host`.
    fn from_str(name: &str) -> Result<Isa, String> {
        if name == "host" {
            return Ok(Isa::host());
        }
        Isa::ALL.into_iter().chain([Isa::Gpu]).find(|isa| isa.name() == name).ok_or_else(|| {
            format!("unknown instruction set '{name}'; use host, avx512vnni, avx512, avx2, sse2, neon or gpu")
        })
    }
}
