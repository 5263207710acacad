//! The words of a measurement: what samples say, and what a machine can do at most.

mod roofs;
mod samples;

pub use roofs::{Peaks, Roofs};
pub use samples::{deviation, mad, max, mean, median, min, spread};
