//! One pass a file.

pub mod kernel_entries;
pub mod lower_to_launches;
pub mod plan_memory;
