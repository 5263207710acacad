//! The tiles of kernels of linear layers: what is to be computed, which tiles are legal, and which one the rules take.
//!
//! Kernel generators check and read their tiles here; the tuner searches the same space by measurement.

pub mod cpu;
pub mod gpu;
pub mod problem;
pub mod product;
pub mod space;

pub use problem::Problem;
pub use product::{Family, Product};
