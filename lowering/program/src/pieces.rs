//! Weights split over several buffers, because a GPU limits the bytes of a binding.

use crate::{
    Expr,
    layout::{LANES, Layout, bytes},
    types::TensorType,
};

/// How a weight [N, K] is split over several buffers: all have as many rows as the first, except the last, which has
/// the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Rows per piece, a multiple of sixteen.
    pub rows: usize,
    /// Bytes per piece.
    pub bytes: usize,
    pub count: usize,
}

impl Pieces {
    /// Splits a packed weight into buffers of at most `limit` bytes; `None` if it fits into one, and for any other
    /// tensor.
    ///
    /// # Errors
    /// If sixteen rows do not fit.
    pub fn of(ty: &TensorType, layout: Layout, limit: usize) -> Result<Option<Pieces>, String> {
        let size = |size: &Expr| size.as_const().and_then(|size| usize::try_from(size).ok());
        let ([rows, _], Layout::Rows16) = (&ty.dims[..], layout) else { return Ok(None) };
        let Some((rows, whole)) = size(rows).zip(size(&bytes(ty, layout))) else { return Ok(None) };
        // Buffers are multiples of 16 bytes.
        let limit = limit / 16 * 16;
        if whole <= limit {
            return Ok(None);
        }
        let group = whole / rows.div_ceil(LANES);
        let groups = limit / group;
        if groups == 0 {
            return Err(format!("sixteen rows of it are {group} bytes, and the adapter binds {limit} at once"));
        }
        let count = rows.div_ceil(LANES).div_ceil(groups);
        Ok(Some(Pieces { rows: groups * LANES, bytes: groups * group, count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;
    use kforge_quant::BlockFormat;

    fn pieces(
        rows: i64,
        columns: i64,
        element: Element,
        layout: Layout,
        limit: usize,
    ) -> Option<(usize, usize, usize)> {
        let ty = TensorType { dims: vec![Expr::Const(rows), Expr::Const(columns)], element };
        let pieces = Pieces::of(&ty, layout, limit).expect("sixteen rows fit");
        pieces.map(|Pieces { rows, bytes, count }| (rows, bytes, count))
    }

    #[test]
    fn pieces_are_whole_groups_of_rows_within_the_limit() {
        let f32s = |rows, columns, limit| pieces(rows, columns, Element::F32, Layout::Rows16, limit);
        assert_eq!(f32s(64, 32, 64 * 32 * 4), None);
        assert_eq!(f32s(64, 32, 64 * 32 * 4 - 1), Some((48, 48 * 32 * 4, 2)));
        // Rows are padded to sixteen.
        assert_eq!(f32s(65, 32, 65 * 32 * 4), Some((64, 64 * 32 * 4, 2)));
        assert_eq!(pieces(65, 32, Element::F32, Layout::RowMajor, 65 * 32 * 4), None);
        let q4_1 = Element::Quant(BlockFormat::Q4_1);
        assert_eq!(pieces(40, 64, q4_1, Layout::Rows16, 16 * 64 * 20 / 32), Some((16, 16 * 64 * 20 / 32, 3)));
        let cache = TensorType { dims: vec![Expr::Const(1), Expr::Const(-1)], element: Element::F32 };
        assert_eq!(Pieces::of(&cache, Layout::Rows16, 16), Ok(None));
        let wide = TensorType { dims: vec![Expr::Const(16), Expr::Const(1 << 20)], element: Element::F32 };
        let error = Pieces::of(&wide, Layout::Rows16, 1 << 20).expect_err("64 MiB do not fit 1 MiB");
        assert_eq!(error, "sixteen rows of it are 67108864 bytes, and the adapter binds 1048576 at once");
    }
}
