//! Block-quantised weight formats, as GGUF files store them.
use serde::{Deserialize, Serialize};

/// A block format of 32 weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BlockFormat {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
}
