//! `attention`: scaled dot-product attention over a KV cache, or over key and value tensors.

use crate::cache::{Layout, Sequences, spans};
use crate::check::Op;
use crate::linear::{dot, sum};
use crate::norm::softmax_row;
use crate::{Result, Tensor};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AttentionAttributes {
    /// Hides keys after the query's position.
    pub causal: bool,
    /// Scale of the scores; 1 / sqrt(D) if absent.
    pub scale: Option<f32>,
    /// Hides keys at or before the query's position minus this.
    pub window: Option<i64>,
    /// c: a scaled score x becomes c tanh(x / c).
    pub softcap: Option<f32>,
}

/// `softmax(scale * q k^T) v` for each head of the query [B, S, Hq, D]; head h reads key and value head h / (Hq / Hkv).
///
/// Key and value are [B, T, Hkv, D], or [Blocks, BlockSize, Hkv, D] with a block table. With positions they are a cache:
/// query row s of sequence b is at position p = positions[b] + s, and the keys before positions[b] + lengths[b] exist.
/// Without, p = T - S + s and all T keys exist. Rows without a visible key and rows past `lengths[b]` give zeros.
pub fn attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    sequences: &Sequences,
    attributes: &AttentionAttributes,
) -> Result<Tensor> {
    let op = Op("attention");
    let [batch, rows, heads, depth] = op.dims("query", query)?;
    let [_, _, kv_heads, key_depth] = op.dims("key", key)?;
    op.shape("value", value, key.shape())?;
    if key_depth != depth || kv_heads == 0 || heads % kv_heads != 0 {
        let expected = format!("of heads that divide the query's {heads}, of {depth} elements each");
        return Err(op.wrong("key", expected, key));
    }
    check_attributes(op, sequences, attributes)?;
    let layout = Layout::new(op, "key", key, sequences.block_table, batch)?;
    let spans = match sequences.positions {
        Some(positions) => {
            let spans = spans(op, positions, sequences.lengths, batch, rows)?;
            layout.check(&spans)?;
            Some(spans)
        }
        None => None,
    };
    let (q, k, v) = (op.floats("query", query)?, op.floats("key", key)?, op.floats("value", value)?);
    let scale = attributes.scale.map_or_else(|| 1.0 / (depth as f64).sqrt(), f64::from);
    let mut result = vec![0.0; q.len()];
    for b in 0..batch {
        let (first, count, keys) = match &spans {
            Some(spans) => (spans[b].start as i64, spans[b].count, spans[b].start + spans[b].count),
            None => (layout.capacity() as i64 - rows as i64, rows, layout.capacity()),
        };
        for s in 0..count {
            let visible = visible_keys(first + s as i64, keys, attributes);
            let places = visible.map(|j| layout.row(b, j)).collect::<Result<Vec<_>>>()?;
            for h in 0..heads {
                let row = ((b * rows + s) * heads + h) * depth;
                let head = |place: usize| {
                    let start = (place * kv_heads + h / (heads / kv_heads)) * depth;
                    start..start + depth
                };
                let score = |&place: &usize| {
                    let score = scale * dot(&q[row..row + depth], &k[head(place)]);
                    attributes.softcap.map_or(score, |c| f64::from(c) * (score / f64::from(c)).tanh())
                };
                let mut weights: Vec<f64> = places.iter().map(score).collect();
                softmax_row(&mut weights);
                for d in 0..depth {
                    let terms = weights.iter().zip(&places).map(|(w, &place)| w * f64::from(v[head(place)][d]));
                    result[row + d] = sum(terms) as f32;
                }
            }
        }
    }
    Tensor::from_f32(query.shape(), query.element(), result)
}

/// The keys, of the first `keys`, that a query at `position` sees.
fn visible_keys(position: i64, keys: usize, attributes: &AttentionAttributes) -> std::ops::Range<usize> {
    let keys = keys as i64;
    let end = if attributes.causal { keys.min(position + 1) } else { keys };
    let start = attributes.window.map_or(0, |window| position.saturating_sub(window) + 1);
    // Both are within 0..=keys after the clamp; an empty range may be reversed.
    start.clamp(0, keys) as usize..end.clamp(0, keys) as usize
}

fn check_attributes(op: Op<'_>, sequences: &Sequences, attributes: &AttentionAttributes) -> Result<()> {
    if sequences.positions.is_none() && (sequences.lengths.is_some() || sequences.block_table.is_some()) {
        return Err(op.attribute("positions", "given where lengths or a block table are", "absent"));
    }
    if let Some(window) = attributes.window.filter(|&window| window < 1) {
        return Err(op.attribute("window", "at least 1", window));
    }
    if let Some(softcap) = attributes.softcap.filter(|&softcap| softcap.is_nan() || softcap <= 0.0) {
        return Err(op.attribute("softcap", "positive", softcap));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Element, random};

    const CAUSAL: AttentionAttributes = AttentionAttributes { causal: true, scale: None, window: None, softcap: None };

    fn ints(shape: &[usize], values: &[i32]) -> Tensor {
        Tensor::i32(shape, values).unwrap()
    }

    /// One sequence of one head of one element a row.
    fn column(values: &[f32]) -> Tensor {
        Tensor::f32([1, values.len(), 1, 1], values).unwrap()
    }

    /// Attention of zero queries, which see all visible keys alike: the mean of the values they see.
    fn means(rows: usize, values: &[f32], sequences: &Sequences, attributes: &AttentionAttributes) -> Vec<f32> {
        let v = column(values);
        attention(&column(&vec![0.0; rows]), &v, &v, sequences, attributes).unwrap().to_f32()
    }

    #[test]
    fn by_hand() {
        // Scores 0 and ln 3 after the scale of 1/2 for D = 4: weights 1/4 and 3/4.
        let q = Tensor::f32([1, 1, 1, 4], [2.0, 0.0, 0.0, 0.0]).unwrap();
        let k = Tensor::f32([1, 2, 1, 4], [0.0, 1.0, 1.0, 1.0, 3f32.ln(), 0.0, 0.0, 0.0]).unwrap();
        let v = Tensor::f32([1, 2, 1, 4], [0.0, 4.0, 8.0, 0.0, 4.0, 0.0, 8.0, 1.0]).unwrap();
        let y = attention(&q, &k, &v, &Sequences::default(), &AttentionAttributes::default()).unwrap().to_f32();
        for (a, e) in y.iter().zip([3.0, 1.0, 8.0, 0.75]) {
            assert!((a - e).abs() < 1e-6, "{y:?}");
        }
    }

    #[test]
    fn scale_and_softcap() {
        let weight = |attributes: &AttentionAttributes| {
            let y = attention(
                &column(&[1.0]),
                &column(&[0.0, 2.0]),
                &column(&[0.0, 1.0]),
                &Sequences::default(),
                attributes,
            );
            f64::from(y.unwrap().to_f32()[0])
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut attributes = AttentionAttributes { scale: Some(0.5), ..Default::default() };
        assert!((weight(&attributes) - sigmoid(1.0)).abs() < 1e-7);
        attributes.softcap = Some(0.25);
        assert!((weight(&attributes) - sigmoid(0.25 * 4f64.tanh())).abs() < 1e-7);
    }

    #[test]
    fn masks_without_positions() {
        let v = [2.0, 4.0, 6.0, 8.0];
        let none = Sequences::default();
        assert_eq!(means(2, &v, &none, &AttentionAttributes::default()), [5.0, 5.0]);
        assert_eq!(means(2, &v, &none, &CAUSAL), [4.0, 5.0]);
        let window = AttentionAttributes { window: Some(2), ..CAUSAL };
        assert_eq!(means(2, &v, &none, &window), [5.0, 7.0]);
        let both_ways = AttentionAttributes { window: Some(2), ..Default::default() };
        assert_eq!(means(2, &v, &none, &both_ways), [6.0, 7.0]);
        // More queries than keys: the first see none.
        assert_eq!(means(3, &[5.0], &none, &CAUSAL), [0.0, 0.0, 5.0]);
    }

    #[test]
    fn masks_with_positions() {
        let v = [2.0, 4.0, 6.0, 8.0];
        let (positions, lengths) = (ints(&[1], &[1]), ints(&[1], &[1]));
        let mut sequences = Sequences { positions: Some(&positions), ..Default::default() };
        assert_eq!(means(2, &v, &sequences, &CAUSAL), [3.0, 4.0]);
        assert_eq!(means(2, &v, &sequences, &AttentionAttributes::default()), [4.0, 4.0]);
        sequences.lengths = Some(&lengths);
        assert_eq!(means(2, &v, &sequences, &CAUSAL), [3.0, 0.0]);
    }

    #[test]
    fn one_visible_key_gives_its_value() {
        let of = |seed| random::uniform(seed, &[2, 1, 2, 8], Element::F16).unwrap();
        let y = attention(&of(1), &of(2), &of(3), &Sequences::default(), &CAUSAL).unwrap();
        assert_eq!(y, of(3));
    }

    #[test]
    fn query_heads_share_key_heads_in_groups() {
        let q = Tensor::f32([1, 1, 4, 1], [0.0; 4]).unwrap();
        let v = Tensor::f32([1, 1, 2, 1], [3.0, 7.0]).unwrap();
        let y = attention(&q, &v, &v, &Sequences::default(), &CAUSAL).unwrap().to_f32();
        assert_eq!(y, [3.0, 3.0, 7.0, 7.0]);
    }

    #[test]
    fn wrong_operands() {
        let (q, k) = (column(&[0.0; 2]), column(&[0.0; 3]));
        let message = |k: &Tensor, v: &Tensor, sequences: &Sequences, attributes: &AttentionAttributes| {
            attention(&q, k, v, sequences, attributes).unwrap_err().to_string()
        };
        let (positions, one, table) = (ints(&[1], &[2]), ints(&[1], &[1]), ints(&[1, 2], &[0, 5]));
        let at = Sequences { positions: Some(&positions), ..Default::default() };
        let blocks = Sequences { positions: Some(&positions), lengths: Some(&one), block_table: Some(&table) };
        assert_eq!(
            message(&k, &k, &at, &CAUSAL),
            "attention: positions[0] is 2, but must be such that 2 more rows fit in the capacity of 3"
        );
        let two = Tensor::zeros([1, 2, 1, 1], Element::F32).unwrap();
        assert_eq!(
            message(&two, &two, &blocks, &CAUSAL),
            "attention: block_table[0, 1] is 5, but must be a block of the cache, 0 to 1 exclusive"
        );
        assert!(message(&k, &q, &at, &CAUSAL).contains("value must be tensor<1x3x1x1xf32>"));
        let wide = Tensor::zeros([1, 3, 2, 1], Element::F32).unwrap();
        assert!(message(&wide, &wide, &at, &CAUSAL).contains("heads that divide the query's 1"));
        let lengths = Sequences { lengths: Some(&one), ..Default::default() };
        assert!(message(&k, &k, &lengths, &CAUSAL).contains("positions must be given"));
        let window = AttentionAttributes { window: Some(0), ..CAUSAL };
        assert_eq!(message(&k, &k, &at, &window), "attention: window must be at least 1, but is 0");
        let softcap = AttentionAttributes { softcap: Some(0.0), ..CAUSAL };
        assert_eq!(message(&k, &k, &at, &softcap), "attention: softcap must be positive, but is 0");
    }

    #[test]
    fn empty_dimensions() {
        let zeros = |shape: [usize; 4]| Tensor::zeros(shape, Element::F32).unwrap();
        for (q, k) in [
            ([0, 2, 2, 4], [0, 3, 1, 4]),
            ([1, 0, 2, 4], [1, 3, 1, 4]),
            ([1, 2, 0, 4], [1, 3, 1, 4]),
            ([1, 2, 2, 0], [1, 3, 1, 0]),
            ([1, 2, 2, 4], [1, 0, 1, 4]),
        ] {
            let y = attention(&zeros(q), &zeros(k), &zeros(k), &Sequences::default(), &CAUSAL).unwrap();
            assert_eq!(y, zeros(q));
        }
    }
}
