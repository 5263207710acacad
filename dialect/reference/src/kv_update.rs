//! `kv_update`: writes new rows into a cache.

use crate::cache::{Layout, Sequences, spans};
use crate::check::Op;
use crate::{Result, Tensor};

/// The cache [B, C, H, D] (or, with a block table, [Blocks, BlockSize, H, D]) with row s < `lengths[b]` of `update`
/// [B, S, H, D] at position `positions[b] + s` of sequence b. Positions are required.
pub fn kv_update(cache: &Tensor, update: &Tensor, sequences: &Sequences) -> Result<Tensor> {
    let op = Op("kv_update");
    let [batch, rows, heads, depth] = op.dims("update", update)?;
    let layout = Layout::new(op, "cache", cache, sequences.block_table, batch)?;
    if cache.shape()[2..] != [heads, depth] {
        return Err(op.wrong("cache", format!("of {heads} heads of {depth}, as the update is"), cache));
    }
    let positions = sequences.positions.ok_or_else(|| op.attribute("positions", "given", "absent"))?;
    let spans = spans(op, positions, sequences.lengths, batch, rows)?;
    layout.check(&spans)?;
    let new = op.floats("update", update)?;
    let mut result = op.floats("cache", cache)?;
    let width = heads * depth;
    for (b, span) in spans.iter().enumerate() {
        for s in 0..span.count {
            let (from, to) = ((b * rows + s) * width, layout.row(b, span.start + s)? * width);
            result[to..to + width].copy_from_slice(&new[from..from + width]);
        }
    }
    Tensor::from_f32(cache.shape(), cache.element(), result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    fn ints(shape: &[usize], values: &[i32]) -> Tensor {
        Tensor::i32(shape, values).unwrap()
    }

    /// Caches and updates of one head of one element.
    fn f32s(batch: usize, values: &[f32]) -> Tensor {
        Tensor::f32([batch, values.len() / batch, 1, 1], values).unwrap()
    }

    #[test]
    fn rows_go_to_their_positions() {
        let (positions, lengths) = (ints(&[2], &[1, 0]), ints(&[2], &[2, 1]));
        let sequences = Sequences { positions: Some(&positions), lengths: Some(&lengths), block_table: None };
        let cache = f32s(2, &[9., 9., 9., 8., 8., 8.]);
        let updated = kv_update(&cache, &f32s(2, &[1., 2., 3., 4.]), &sequences).unwrap();
        assert_eq!(updated.to_f32(), [9., 1., 2., 3., 8., 8.]);
        let all = Sequences { lengths: None, ..sequences };
        let updated = kv_update(&cache, &f32s(2, &[1., 2., 3., 4.]), &all).unwrap();
        assert_eq!(updated.to_f32(), [9., 1., 2., 3., 4., 8.]);
    }

    #[test]
    fn rows_go_to_their_blocks() {
        let (positions, table) = (ints(&[2], &[1, 2]), ints(&[2, 2], &[3, 0, -1, 1]));
        let sequences = Sequences { positions: Some(&positions), lengths: None, block_table: Some(&table) };
        let updated = kv_update(&f32s(4, &[0.0; 8]), &f32s(2, &[1., 2., 3., 4.]), &sequences).unwrap();
        assert_eq!(updated.to_f32(), [2., 0., 3., 4., 0., 0., 0., 1.]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let cache = f32s(1, &[0.0; 3]);
        let message = |position, table: Option<&Tensor>| {
            let positions = ints(&[1], &[position]);
            let sequences = Sequences { positions: Some(&positions), lengths: None, block_table: table };
            kv_update(&cache, &f32s(1, &[1., 2.]), &sequences).unwrap_err().to_string()
        };
        let expected = "but must be such that 2 more rows fit in the capacity of 3";
        assert_eq!(message(2, None), format!("kv_update: positions[0] is 2, {expected}"));
        assert_eq!(message(i32::MAX, None), format!("kv_update: positions[0] is 2147483647, {expected}"));
        let expected = "kv_update: block_table[0, 1] is 1, but must be a block of the cache, 0 to 1 exclusive";
        assert_eq!(message(2, Some(&ints(&[1, 2], &[0, 1]))), expected);
        assert!(message(0, Some(&ints(&[2, 1], &[0, 0]))).contains("one row for each of 1 sequences"));
        let none = kv_update(&cache, &f32s(1, &[1.]), &Sequences::default()).unwrap_err();
        assert_eq!(none.to_string(), "kv_update: positions must be given, but is absent");
    }

    #[test]
    fn a_narrow_cache_rounds() {
        let cache = Tensor::zeros([1, 1, 1, 1], Element::BF16).unwrap();
        let positions = ints(&[1], &[0]);
        let sequences = Sequences { positions: Some(&positions), ..Sequences::default() };
        let updated = kv_update(&cache, &f32s(1, &[1.001]), &sequences).unwrap();
        assert_eq!((updated.element(), updated.to_f32()[0]), (Element::BF16, 1.0));
    }

    #[test]
    fn empty_dimensions() {
        let zeros = |shape: [usize; 4]| Tensor::zeros(shape, Element::F32).unwrap();
        for (cache, update) in
            [([2, 3, 1, 4], [2, 0, 1, 4]), ([0, 3, 1, 4], [0, 2, 1, 4]), ([1, 2, 0, 4], [1, 2, 0, 4])]
        {
            let positions = Tensor::zeros([update[0]], Element::I32).unwrap();
            let sequences = Sequences { positions: Some(&positions), ..Sequences::default() };
            assert_eq!(kv_update(&zeros(cache), &zeros(update), &sequences).unwrap(), zeros(cache));
        }
    }
}
