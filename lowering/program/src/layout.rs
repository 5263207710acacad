//! How a tensor's elements lie in memory.

use serde::{Deserialize, Serialize};

/// Physical order of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layout {
    /// As the file and the caller have it; the last axis is contiguous.
    RowMajor,
    /// A weight [N, K], sixteen rows interleaved, rows padded with zeros to a multiple of sixteen, so that one vector
    /// load yields one column of sixteen rows. See [`pack`](crate::layout).
    Rows16,
    /// A key cache [B, T, H, D] stored [B, H, T/16, D, 16]: sixteen keys interleaved; T rounded up to sixteen.
    Keys16,
    /// A value cache [B, T, H, D] stored [B, H, T, D], T rounded up to sixteen.
    HeadMajor,
}
