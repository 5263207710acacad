//! Which fusions a pipeline has.

use kforge_target::Target;
use std::{fmt, str::FromStr};

/// A fusion pass.
#[derive(Clone, Copy)]
struct Row {
    pass: &'static str,
    /// Only GPUs have a kernel for its groups.
    gpu_only: bool,
}

impl Row {
    const fn new(pass: &'static str) -> Row {
        Row { pass, gpu_only: false }
    }

    /// The pass's name, `fuse-` left out.
    fn name(self) -> &'static str {
        self.pass.strip_prefix("fuse-").unwrap_or(self.pass)
    }
}

/// In the order of the pipeline.
const ROWS: [Row; 6] = [
    Row::new("fuse-qkv"),
    Row::new("fuse-gate-up"),
    Row::new("fuse-norm"),
    Row::new("fuse-epilogue"),
    Row::new("fuse-rope-kv"),
    Row { gpu_only: true, ..Row::new("fuse-rope-attention") },
];

/// A set of fusion passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fusions([bool; ROWS.len()]);

impl Fusions {
    pub const ALL: Fusions = Fusions([true; ROWS.len()]);
    /// Each op is a kernel of its own.
    pub const NONE: Fusions = Fusions([false; ROWS.len()]);

    /// The sets of one fusion each.
    pub fn singles() -> impl Iterator<Item = Fusions> {
        (0..ROWS.len()).map(|i| {
            let mut set = Fusions::NONE;
            set.0[i] = true;
            set
        })
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        ROWS.into_iter().zip(self.0).filter_map(|(row, is_in)| is_in.then_some(row.name()))
    }

    /// The passes that annotate groups for a target, in order.
    pub fn passes(&self, target: Target) -> Vec<&'static str> {
        let rows = ROWS.into_iter().zip(self.0).filter(|(row, is_in)| *is_in && (target.is_gpu() || !row.gpu_only));
        rows.map(|(row, _)| row.pass).collect()
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
            let known =
                || format!("there is no fusion '{name}'; use all, none, or some of {}", ROWS.map(Row::name).join(","));
            set.0[ROWS.iter().position(|row| row.name() == name).ok_or_else(known)?] = true;
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
        let gpu = Target::Gpu(kforge_target::Adapter::default());
        assert_eq!(set.passes(gpu), ["fuse-qkv", "fuse-norm", "fuse-rope-attention"]);
        assert_eq!(set.passes(Target::host()), ["fuse-qkv", "fuse-norm"]);
        for set in Fusions::singles().chain([Fusions::ALL, Fusions::NONE]) {
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        for wrong in ["", "norm,", "none,norm", "softmax"] {
            assert!(Fusions::from_str(wrong).unwrap_err().contains("use all, none, or some of qkv,"), "{wrong}");
        }
    }
}
