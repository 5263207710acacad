//! One pass a file; a pass is declared and registered here.

pub mod kernel_entries;
pub mod lower_to_launches;
pub mod plan_memory;

use kforge_dialect::pass::PassInfo;

/// The passes of this crate.
pub static PASSES: &[&PassInfo] = &[&lower_to_launches::INFO, &plan_memory::INFO, &kernel_entries::INFO];
