//! Positions, lengths and block tables: which rows are real, and where the rows of a KV cache are.

use crate::check::Op;
use crate::{Result, Tensor};

/// The per-sequence operands of `attention` and `kv_update`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequences<'a> {
    /// tensor<Bxi32>: tokens of each sequence already in the cache.
    pub positions: Option<&'a Tensor>,
    /// tensor<Bxi32>: how many of the new rows are real; all of them where not given.
    pub lengths: Option<&'a Tensor>,
    /// tensor<BxPxi32>: the block that holds each run of BlockSize positions.
    pub block_table: Option<&'a Tensor>,
}

/// The real new rows of a sequence: `count` of them, the first at absolute position `start`.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub start: usize,
    pub count: usize,
}

/// One span for each of `batch` sequences of `rows` new rows.
pub(crate) fn spans(
    op: Op<'_>,
    positions: &Tensor,
    lengths: Option<&Tensor>,
    batch: usize,
    rows: usize,
) -> Result<Vec<Span>> {
    op.shape("positions", positions, &[batch])?;
    let starts = op.integers("positions", positions)?;
    let counts = match lengths {
        None => vec![rows as i64; batch],
        Some(lengths) => {
            op.shape("lengths", lengths, &[batch])?;
            op.integers("lengths", lengths)?
        }
    };
    let span = |(b, (start, count)): (usize, (i64, i64))| {
        let start = usize::try_from(start).map_err(|_| op.value("positions", &[b], start, "at least 0"))?;
        let count = usize::try_from(count).ok().filter(|&count| count <= rows);
        let count = count.ok_or_else(|| op.value("lengths", &[b], counts[b], format!("from 0 to {rows}")))?;
        Ok(Span { start, count })
    };
    starts.into_iter().zip(counts.iter().copied()).enumerate().map(span).collect()
}

/// Addresses of the rows [H, D] of a cache: [B, C, H, D], or [Blocks, BlockSize, H, D] with a block table.
pub(crate) struct Layout {
    op: Op<'static>,
    /// Blocks, or sequences where there is no table.
    blocks: usize,
    /// Positions in a block, or the capacity where there is no table.
    block_size: usize,
    /// Entries, and pages per sequence.
    table: Option<(Vec<i64>, usize)>,
}

impl Layout {
    pub fn new(
        op: Op<'static>,
        operand: &'static str,
        cache: &Tensor,
        table: Option<&Tensor>,
        batch: usize,
    ) -> Result<Layout> {
        let [blocks, block_size, _, _] = op.dims(operand, cache)?;
        let table = match table {
            None if blocks != batch => {
                return Err(op.wrong(operand, format!("a batch of {batch} sequences"), cache));
            }
            None => None,
            Some(table) => {
                let [sequences, pages] = op.dims("block_table", table)?;
                if sequences != batch {
                    return Err(op.wrong("block_table", format!("one row for each of {batch} sequences"), table));
                }
                Some((op.integers("block_table", table)?, pages))
            }
        };
        Ok(Layout { op, blocks, block_size, table })
    }

    /// Positions that a sequence can hold.
    pub fn capacity(&self) -> usize {
        self.table.as_ref().map_or(self.block_size, |(_, pages)| pages.saturating_mul(self.block_size))
    }

    /// Fails if a span does not fit.
    pub fn check(&self, spans: &[Span]) -> Result<()> {
        let capacity = self.capacity();
        for (b, span) in spans.iter().enumerate() {
            if span.start > capacity || span.count > capacity - span.start {
                let expected = format!("such that {} more rows fit in the capacity of {capacity}", span.count);
                return Err(self.op.value("positions", &[b], span.start as i64, expected));
            }
        }
        Ok(())
    }

    /// The row of the cache that holds `position` of `sequence`. Only used blocks are checked: the table may contain anything
    /// for pages without tokens.
    pub fn row(&self, sequence: usize, position: usize) -> Result<usize> {
        let block = match &self.table {
            None => return Ok(sequence * self.block_size + position),
            Some((entries, pages)) => {
                let page = position / self.block_size;
                let entry = entries[sequence * pages + page];
                usize::try_from(entry).ok().filter(|&block| block < self.blocks).ok_or_else(|| {
                    let expected = format!("a block of the cache, 0 to {} exclusive", self.blocks);
                    self.op.value("block_table", &[sequence, page], entry, expected)
                })?
            }
        };
        Ok(block * self.block_size + position % self.block_size)
    }
}
