//! What `kforge-run` shares with the tests: models from checkpoints, and how results are checked.

pub mod gpu;
pub mod model;
pub mod product;
pub mod reference;
pub mod tensors;
pub mod tuner;
