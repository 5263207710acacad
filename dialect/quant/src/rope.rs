//! The order of a head's rows that a rotary embedding expects: a property of weights as files store them.

use std::{fmt, str::FromStr};

/// Which elements of a head RoPE turns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeMode {
    /// Pairs (2i, 2i + 1): llama in GGUF, whose conversion permutes the rows of q and k for it.
    Interleaved,
    /// Pairs (i, i + D/2): Hugging Face's models, and GGUF's "neox" architectures.
    Half,
}

/// A name that is no [`RopeMode`]'s.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown rope mode `{0}`; the modes are interleaved and half")]
pub struct UnknownRopeMode(pub String);

impl RopeMode {
    /// As the dialect spells it.
    pub const fn name(self) -> &'static str {
        match self {
            RopeMode::Interleaved => "interleaved",
            RopeMode::Half => "half",
        }
    }
}

impl fmt::Display for RopeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for RopeMode {
    type Err = UnknownRopeMode;

    fn from_str(name: &str) -> Result<Self, UnknownRopeMode> {
        let mode = [RopeMode::Interleaved, RopeMode::Half].into_iter().find(|mode| mode.name() == name);
        mode.ok_or_else(|| UnknownRopeMode(name.to_owned()))
    }
}
