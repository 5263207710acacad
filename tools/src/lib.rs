//! What the programs share with each other and with the tests: how results are written, models from checkpoints, and how
//! results are checked.

// They panic where the output is full or closed; `outln!` and `errln!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bounds;
pub mod explain;
pub mod gpu;
pub mod output;
pub mod product;
pub mod program;
pub mod reference;
pub mod source;
pub mod tensors;
pub mod tuner;
