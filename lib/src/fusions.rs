//! Which fusions a pipeline has.

use crate::isa::Isa;
use std::{fmt, str::FromStr};

/// The fusion passes in the order of the pipeline, `fuse-` left out.
const NAMES: [&str; 6] = ["qkv", "gate-up", "norm", "epilogue", "rope-kv", OF_GPUS];
/// The one whose groups only a GPU has a kernel for; the pipeline of a CPU goes without.
const OF_GPUS: &str = "rope-attention";

/// A set of fusion passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fusions([bool; NAMES.len()]);

impl Fusions {
    pub const ALL: Fusions = Fusions([true; NAMES.len()]);
    /// Each op is a kernel of its own.
    pub const NONE: Fusions = Fusions([false; NAMES.len()]);

    /// The sets of one fusion each.
    pub fn singles() -> impl Iterator<Item = Fusions> {
        (0..NAMES.len()).map(|i| {
            let mut set = Fusions::NONE;
            set.0[i] = true;
            set
        })
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().zip(self.0).filter_map(|(name, is_in)| is_in.then_some(name))
    }

    /// The passes that annotate and outline groups for a CPU or a GPU, comma-separated.
    pub fn passes(&self, isa: Isa) -> String {
        let names = self.names().filter(|name| isa == Isa::Gpu || *name != OF_GPUS);
        let fusions: String = names.map(|name| format!("fuse-{name},")).collect();
        fusions + "outline-groups"
    }
}

impl fmt::Display for Fusions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Fusions::ALL => f.write_str("all"),
            Fusions::NONE => f.write_str("none"),
            some => f.write_str(&some.names().collect::<Vec<_>>().join(",")),
        }
    }
}

impl FromStr for Fusions {
    type Err = String;

    /// Parses `all`, `none`, or names separated by commas.
    fn from_str(text: &str) -> Result<Fusions, String> {
        let mut set = match text {
            "all" => return Ok(Fusions::ALL),
            _ => Fusions::NONE,
        };
        for name in text.split(',').filter(|name| *name != "none" || text != "none") {
            let known = || format!("there is no fusion '{name}'; use all, none, or some of {}", NAMES.join(","));
            set.0[NAMES.iter().position(|n| *n == name).ok_or_else(known)?] = true;
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passes() {
        let set: Fusions = "rope-attention,norm,qkv".parse().unwrap();
        assert_eq!(set.to_string(), "qkv,norm,rope-attention");
        assert_eq!(set.passes(Isa::Gpu), "fuse-qkv,fuse-norm,fuse-rope-attention,outline-groups");
        assert_eq!(set.passes(Isa::Avx2), "fuse-qkv,fuse-norm,outline-groups");
        for set in Fusions::singles().chain([Fusions::ALL, Fusions::NONE]) {
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        for wrong in ["", "norm,", "none,norm", "softmax"] {
            assert!(Fusions::from_str(wrong).unwrap_err().contains("use all, none, or some of qkv,"), "{wrong}");
        }
    }
}
