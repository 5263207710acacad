//! Code shared by the programs and the tests: writing results, models from checkpoints, and checking results.

// `println!` and `eprintln!` panic if the output is full or closed; `outln!` and `errln!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod bounds;
pub mod explain;
pub mod gpu;
pub mod output;
pub mod perplexity;
pub mod product;
pub mod program;
pub mod reference;
pub mod source;
pub mod tensors;
pub mod tuner;
