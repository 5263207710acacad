//! What `kforge-run` shares with the tests: models from checkpoints, and how results are checked.

pub mod element;
pub mod model;
pub mod product;
pub mod reference;
pub mod tuner;
