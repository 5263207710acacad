//! What `kforge-run` shares with the tests: models from checkpoints, and their comparison with reference results.

pub mod model;
pub mod reference;
