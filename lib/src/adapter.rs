//! What a GPU offers beside the core of WGSL: which kernels it is given depends on it.

use std::{fmt, str::FromStr};

/// Features and limits that a kernel may use. The default is what every adapter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Adapter {
    /// f16 in memory and arithmetic.
    pub f16: bool,
    /// Operations across a subgroup.
    pub subgroups: bool,
    /// Threads of a workgroup.
    pub threads: usize,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: usize,
}

impl Default for Adapter {
    fn default() -> Self {
        Adapter { f16: false, subgroups: false, threads: 256, workgroup_bytes: 16384 }
    }
}

impl fmt::Display for Adapter {
    /// `f16+subgroups+256x16384`, where the last are threads and bytes.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (has, name) in [(self.f16, "f16+"), (self.subgroups, "subgroups+")] {
            f.write_str(if has { name } else { "" })?;
        }
        write!(f, "{}x{}", self.threads, self.workgroup_bytes)
    }
}

impl FromStr for Adapter {
    type Err = String;

    /// Parses features joined by `+`, in any order; what is not named is as in the default.
    fn from_str(text: &str) -> Result<Adapter, String> {
        let mut adapter = Adapter::default();
        for part in text.split('+').filter(|part| !part.is_empty()) {
            match part {
                "f16" => adapter.f16 = true,
                "subgroups" => adapter.subgroups = true,
                limits => {
                    let limits = limits.split_once('x').and_then(|(threads, bytes)| {
                        let limit = |text: &str| text.parse().ok().filter(|limit| (1..1 << 31).contains(limit));
                        Some((limit(threads)?, limit(bytes)?))
                    });
                    (adapter.threads, adapter.workgroup_bytes) = limits.ok_or_else(|| {
                        format!("an adapter has no '{part}'; join f16, subgroups and limits as 256x16384 by '+'")
                    })?;
                }
            }
        }
        Ok(adapter)
    }
}

#[cfg(test)]
mod tests {
    use super::Adapter;

    #[test]
    fn text_is_read_back() {
        for adapter in [
            Adapter::default(),
            Adapter { f16: true, ..Adapter::default() },
            Adapter { f16: true, subgroups: true, threads: 1024, workgroup_bytes: 49152 },
        ] {
            assert_eq!(adapter.to_string().parse(), Ok(adapter));
        }
        assert_eq!("".parse(), Ok(Adapter::default()));
        for wrong in ["f32", "f16+x", "12x", "0x16384", "256x-1"] {
            assert!(wrong.parse::<Adapter>().is_err(), "{wrong}");
        }
    }
}
