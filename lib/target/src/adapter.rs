//! What a GPU offers beside the core of WGSL: which kernels it is given depends on it.

use std::{fmt, str::FromStr};

/// Features and limits that a kernel may use. The default is what every adapter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Adapter {
    /// f16 in memory and arithmetic.
    pub f16: bool,
    /// Operations across a subgroup: so many threads at least are one, a power of two; 0 without.
    pub subgroups: usize,
    /// Cooperative matrices of 16 x 16: products of f16 summed in f32, of subgroups of that very size.
    pub matrices: bool,
    /// Threads of a workgroup.
    pub threads: usize,
    /// Bytes of memory that a workgroup shares.
    pub workgroup_bytes: usize,
    /// Storage buffers of a shader.
    pub bindings: usize,
    /// Bytes of such a buffer: a weight that has more lies in several.
    pub binding_bytes: usize,
}

impl Default for Adapter {
    fn default() -> Self {
        Adapter {
            f16: false,
            subgroups: 0,
            matrices: false,
            threads: 256,
            workgroup_bytes: 16384,
            bindings: 8,
            binding_bytes: 128 << 20,
        }
    }
}

impl Adapter {
    /// Whether kernels that use no more than `other` run on this.
    pub fn covers(self, other: Adapter) -> bool {
        self.f16 >= other.f16
            && self.subgroups >= other.subgroups
            // Those are of subgroups of that very size.
            && (!other.matrices || self.matrices && self.subgroups == other.subgroups)
            && self.threads >= other.threads
            && self.workgroup_bytes >= other.workgroup_bytes
    }
}

impl fmt::Display for Adapter {
    /// `f16+subgroups32+256x16384+bindings32x134217728`, where `256x16384` are threads and bytes, and the last, left out
    /// where it is the default's, are buffers and bytes.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.f16 {
            f.write_str("f16+")?;
        }
        if self.subgroups > 0 {
            write!(f, "subgroups{}+", self.subgroups)?;
        }
        if self.matrices {
            f.write_str("matrices+")?;
        }
        write!(f, "{}x{}", self.threads, self.workgroup_bytes)?;
        let Adapter { bindings, binding_bytes, .. } = Adapter::default();
        if (self.bindings, self.binding_bytes) != (bindings, binding_bytes) {
            write!(f, "+bindings{}x{}", self.bindings, self.binding_bytes)?;
        }
        Ok(())
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
                "matrices" => adapter.matrices = true,
                subgroups if subgroups.starts_with("subgroups") => {
                    let size = subgroups["subgroups".len()..].parse().ok();
                    let size = size.filter(|size: &usize| size.is_power_of_two() && (4..=128).contains(size));
                    adapter.subgroups = size.ok_or_else(|| {
                        format!("'{part}' has no size of subgroups: 4, 8, 16, 32, 64 or 128, as in subgroups32")
                    })?;
                }
                bindings if bindings.starts_with("bindings") => {
                    let limits = limits(&bindings["bindings".len()..], 1 << 32);
                    (adapter.bindings, adapter.binding_bytes) = limits.ok_or_else(|| {
                        format!("'{part}' has no number of buffers and their bytes, as in bindings8x134217728")
                    })?;
                }
                workgroup => {
                    let limits = limits(workgroup, 1 << 31);
                    (adapter.threads, adapter.workgroup_bytes) = limits.ok_or_else(|| {
                        format!(
                            "an adapter has no '{part}'; join f16, subgroups32, matrices, limits as 256x16384 and \
                             bindings8x134217728 by '+'"
                        )
                    })?;
                }
            }
        }
        let least = Adapter::default();
        if adapter.threads < least.threads || adapter.workgroup_bytes < least.workgroup_bytes {
            return Err(format!(
                "no adapter has {}x{}: WebGPU promises {}x{}, threads and bytes of a workgroup",
                adapter.threads, adapter.workgroup_bytes, least.threads, least.workgroup_bytes
            ));
        }
        if adapter.matrices && adapter.subgroups == 0 {
            return Err("matrices are of a subgroup, and the adapter has none; add subgroups32 or the like".into());
        }
        Ok(adapter)
    }
}

/// Two numbers from 1 to below `end`, as `256x16384`.
fn limits(text: &str, end: usize) -> Option<(usize, usize)> {
    let (count, bytes) = text.split_once('x')?;
    let limit = |text: &str| text.parse().ok().filter(|limit| (1..end).contains(limit));
    Some((limit(count)?, limit(bytes)?))
}

#[cfg(test)]
mod tests {
    use super::Adapter;

    #[test]
    fn an_adapter_covers_what_has_less() {
        let [all, less, none] = ["f16+subgroups32+matrices+1024x49152", "f16+subgroups16+1024x32768", ""]
            .map(|text| text.parse::<Adapter>().unwrap());
        assert!(all.covers(all) && all.covers(less) && all.covers(none) && less.covers(none));
        assert!(!less.covers(all) && !none.covers(less));
        assert!(!all.covers(Adapter { subgroups: 16, ..all }), "matrices are of one size of subgroups");
    }

    #[test]
    fn text_is_read_back() {
        for adapter in [
            Adapter::default(),
            Adapter { f16: true, ..Adapter::default() },
            Adapter {
                f16: true,
                subgroups: 32,
                matrices: true,
                threads: 1024,
                workgroup_bytes: 49152,
                ..Adapter::default()
            },
            Adapter { bindings: 1048576, binding_bytes: u32::MAX as usize, ..Adapter::default() },
        ] {
            assert_eq!(adapter.to_string().parse(), Ok(adapter));
        }
        assert_eq!("".parse(), Ok(Adapter::default()));
        for less in ["1x16384", "f16+256x8192"] {
            assert!(less.parse::<Adapter>().unwrap_err().contains("WebGPU promises 256x16384"));
        }
        for wrong in
            ["f32", "f16+x", "12x", "0x16384", "256x-1", "subgroups", "subgroups12", "bindings8", "bindings0x64"]
        {
            assert!(wrong.parse::<Adapter>().is_err(), "{wrong}");
        }
    }
}
