//! Identifiers of a shader: deterministic, legal and unique.

use melior::ir::Location;
use rustc_hash::FxHashSet as HashSet;

/// The names used so far in one shader.
#[derive(Default)]
pub struct Names {
    taken: HashSet<String>,
    values: usize,
}

impl Names {
    /// An unused name, as close to `wanted` as WGSL allows.
    pub fn fresh(&mut self, wanted: &str) -> String {
        let mut name: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        // Two leading underscores are reserved, and a single underscore is not a name.
        let stripped = name.trim_start_matches('_');
        if stripped.is_empty() || stripped.starts_with(|c: char| c.is_ascii_digit()) {
            name = format!("k{name}");
        } else {
            name = stripped.to_owned();
        }
        use naga::keywords::wgsl::{BUILTIN_IDENTIFIERS, RESERVED};
        let is_free = |name: &str, taken: &HashSet<String>| {
            !taken.contains(name) && !RESERVED.contains(&name) && !BUILTIN_IDENTIFIERS.contains(&name)
        };
        let mut free = name.clone();
        let mut count = 1;
        while !is_free(&free, &self.taken) {
            count += 1;
            free = format!("{name}_{count}");
        }
        self.taken.insert(free.clone());
        free
    }

    /// The next of `v0`, `v1`, ...
    pub fn value(&mut self) -> String {
        loop {
            let name = format!("v{}", self.values);
            self.values += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// The name in a location like `loc("weights")`, by which the builder of a kernel names an argument or a value.
pub fn given(location: Location<'_>) -> Option<String> {
    location.is_name().then(|| kforge_dialect::ir::text(location.name_value().as_string_ref()))
}
