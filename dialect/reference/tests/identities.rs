//! What must hold between ops, whatever their values: paging, batching and stepping change no answer.

use kforge_quant::BlockFormat;
use kforge_reference::*;

fn random(seed: u64, shape: &[usize], element: Element) -> Tensor {
    random::uniform(seed, shape, element).unwrap()
}

fn ints(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::i32(shape, values).unwrap()
}

/// The rows of a [1, S, ...] tensor from `start` to `end`.
fn rows(tensor: &Tensor, start: usize, end: usize) -> Tensor {
    let width: usize = tensor.shape()[2..].iter().product();
    let values = tensor.to_f32()[start * width..end * width].to_vec();
    let mut shape = tensor.shape().to_vec();
    shape[1] = end - start;
    Tensor::from_f32(shape, tensor.element(), values).unwrap()
}

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const DEPTH: usize = 16;
const WIDTH: usize = 64;
const INNER: usize = 96;

/// The weights of one layer.
struct Layer {
    norm: Tensor,
    wq: Tensor,
    wk: Tensor,
    wv: Tensor,
    wo: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    attributes: DecoderBlockAttributes,
}

impl Layer {
    fn new(activation: Activation, window: Option<i64>) -> Layer {
        let weight = |seed, n, k| random(seed, &[n, k], Element::Quant(BlockFormat::Q4_1));
        Layer {
            norm: random(1, &[WIDTH], Element::F32),
            wq: weight(2, HEADS * DEPTH, WIDTH),
            wk: weight(3, KV_HEADS * DEPTH, WIDTH),
            wv: weight(4, KV_HEADS * DEPTH, WIDTH),
            wo: weight(5, WIDTH, HEADS * DEPTH),
            gate: weight(6, INNER, WIDTH),
            up: weight(7, INNER, WIDTH),
            down: weight(8, WIDTH, INNER),
            attributes: DecoderBlockAttributes {
                heads: HEADS,
                kv_heads: KV_HEADS,
                eps: 1e-5,
                rope: RopeAttributes {
                    mode: RopeMode::Interleaved,
                    base: 1e4,
                    freq_divisors: None,
                    dims: None,
                    scale: None,
                },
                window,
                activation,
                quantize_kv: false,
            },
        }
    }

    fn operands<'a>(&'a self, input: &'a Tensor, caches: [&'a Tensor; 2], positions: &'a Tensor) -> DecoderBlock<'a> {
        DecoderBlock {
            input,
            attn_norm: &self.norm,
            wq: &self.wq,
            wk: &self.wk,
            wv: &self.wv,
            wo: &self.wo,
            mlp_norm: &self.norm,
            gate: &self.gate,
            up: &self.up,
            down: &self.down,
            k_cache: caches[0],
            v_cache: caches[1],
            positions,
            lengths: None,
        }
    }
}

fn empty_cache(batch: usize, capacity: usize) -> Tensor {
    Tensor::zeros([batch, capacity, KV_HEADS, DEPTH], Element::F32).unwrap()
}

#[test]
fn decoding_step_by_step_equals_the_full_pass() {
    let steps = 9;
    for (activation, window) in [(Activation::Silu, None), (Activation::Gelu, Some(3))] {
        let layer = Layer::new(activation, window);
        let x = random(10, &[1, steps, WIDTH], Element::F32);
        let cache = empty_cache(1, steps + 2);
        let start = ints(&[1], &[0]);
        let (full, full_k, full_v) =
            decoder_block(&layer.operands(&x, [&cache, &cache], &start), &layer.attributes).unwrap();
        let (mut k, mut v) = (cache.clone(), cache);
        for s in 0..steps {
            let (row, position) = (rows(&x, s, s + 1), ints(&[1], &[s as i32]));
            let (y, new_k, new_v) =
                decoder_block(&layer.operands(&row, [&k, &v], &position), &layer.attributes).unwrap();
            assert_eq!(y, rows(&full, s, s + 1), "step {s}");
            (k, v) = (new_k, new_v);
        }
        assert_eq!((k, v), (full_k, full_v));
    }
}

#[test]
fn a_padded_batch_equals_its_sequences_alone() {
    let layer = Layer::new(Activation::Silu, None);
    let (a, b) = (random(11, &[1, 3, WIDTH], Element::F32), random(12, &[1, 3, WIDTH], Element::F32));
    let both = Tensor::f32([2, 3, WIDTH], [a.to_f32(), b.to_f32()].concat()).unwrap();
    let cache = random(13, &[2, 8, KV_HEADS, DEPTH], Element::F32);
    let half = cache.elements() / 2;
    let cache_of = |i: usize| Tensor::f32([1, 8, KV_HEADS, DEPTH], &cache.to_f32()[i * half..(i + 1) * half]).unwrap();

    let (positions, lengths) = (ints(&[2], &[4, 1]), ints(&[2], &[3, 2]));
    let operands = DecoderBlock { lengths: Some(&lengths), ..layer.operands(&both, [&cache, &cache], &positions) };
    let (y, k, _) = decoder_block(&operands, &layer.attributes).unwrap();

    for (i, (x, position, count)) in [(a, 4, 3), (rows(&b, 0, 2), 1, 2)].into_iter().enumerate() {
        let (position, cache) = (ints(&[1], &[position]), cache_of(i));
        let (alone, alone_k, _) =
            decoder_block(&layer.operands(&x, [&cache, &cache], &position), &layer.attributes).unwrap();
        let in_batch = &y.to_f32()[i * 3 * WIDTH..][..count * WIDTH];
        assert_eq!(in_batch, alone.to_f32(), "sequence {i}");
        assert_eq!(k.to_f32()[i * half..(i + 1) * half], alone_k.to_f32());
    }
}

#[test]
fn a_paged_cache_equals_a_contiguous_one() {
    let (batch, capacity, block) = (2, 12, 4);
    let table = ints(&[2, 3], &[5, 0, 3, 1, 4, 2]);
    let (positions, lengths) = (ints(&[2], &[3, 6]), ints(&[2], &[5, 4]));
    let q = random(1, &[batch, 5, HEADS, DEPTH], Element::F32);
    let (k, v) =
        (random(2, &[batch, 5, KV_HEADS, DEPTH], Element::F32), random(3, &[batch, 5, KV_HEADS, DEPTH], Element::F32));
    let plain = Sequences { positions: Some(&positions), lengths: Some(&lengths), block_table: None };
    let paged = Sequences { block_table: Some(&table), ..plain };

    let contiguous = random(4, &[batch, capacity, KV_HEADS, DEPTH], Element::F32);
    let width = block * KV_HEADS * DEPTH;
    let mut blocks = vec![0.0; contiguous.elements()];
    for (page, &to) in table.to_i64().unwrap().iter().enumerate() {
        let to = to as usize * width;
        blocks[to..to + width].copy_from_slice(&contiguous.to_f32()[page * width..(page + 1) * width]);
    }
    let blocks = Tensor::f32([6, block, KV_HEADS, DEPTH], blocks).unwrap();

    for attributes in [
        AttentionAttributes { causal: true, ..Default::default() },
        AttentionAttributes { causal: true, window: Some(3), softcap: Some(2.0), ..Default::default() },
        AttentionAttributes::default(),
    ] {
        let run = |cache: &Tensor, sequences: &Sequences| {
            let keys = kv_update(cache, &k, sequences).unwrap();
            let values = kv_update(cache, &v, sequences).unwrap();
            attention(&q, &keys, &values, sequences, &attributes).unwrap()
        };
        assert_eq!(run(&contiguous, &plain), run(&blocks, &paged));
    }
}

#[test]
fn attention_is_matmul_softmax_matmul() {
    let of = |seed| random(seed, &[1, 5, 1, DEPTH], Element::F32);
    let matrix = |seed| of(seed).reshape([1, 5, DEPTH]).unwrap();
    let attributes = AttentionAttributes { scale: Some(1.0), ..Default::default() };
    let whole = attention(&of(1), &of(2), &of(3), &Sequences::default(), &attributes).unwrap();
    let weights = softmax(&matmul(&matrix(1), &matrix(2), false, true).unwrap()).unwrap();
    let steps = matmul(&weights, &matrix(3), false, false).unwrap().reshape(whole.shape()).unwrap();
    let result = compare(&steps, &whole, Tolerance { abs: 1e-6, rel: 0.0 }).unwrap();
    assert!(result.within_tolerance(), "{result}");
}

#[test]
fn an_mlp_of_a_zero_gate_is_zero() {
    let x = random(1, &[2, 3, WIDTH], Element::F32);
    let gate = Tensor::zeros([INNER, WIDTH], Element::F32).unwrap();
    let (up, down) = (random(2, &[INNER, WIDTH], Element::F16), random(3, &[WIDTH, INNER], Element::BF16));
    for activation in [Activation::Silu, Activation::Gelu] {
        let y = mlp(&x, &gate, &up, &down, activation).unwrap();
        assert_eq!((y.shape(), y.element()), (x.shape(), Element::F32));
        assert!(y.to_f32().iter().all(|&v| v == 0.0));
    }
    assert!(mlp(&x, &gate, &up, &up, Activation::Silu).is_err());
    assert!("relu".parse::<Activation>().is_err());
}

#[test]
fn a_block_of_no_rows_gives_none() {
    let layer = Layer::new(Activation::Silu, None);
    let cache = empty_cache(2, 4);
    let (x, positions) = (Tensor::zeros([2, 0, WIDTH], Element::F32).unwrap(), ints(&[2], &[1, 4]));
    let (y, k, _) = decoder_block(&layer.operands(&x, [&cache, &cache], &positions), &layer.attributes).unwrap();
    assert_eq!((y, k), (x, cache));
}

#[test]
fn a_block_names_the_weight_that_does_not_fit() {
    let layer = Layer::new(Activation::Silu, None);
    let cache = empty_cache(1, 4);
    let (x, positions) = (random(1, &[1, 2, WIDTH], Element::F32), ints(&[1], &[0]));
    let operands = DecoderBlock { wk: &layer.wq, ..layer.operands(&x, [&cache, &cache], &positions) };
    assert_eq!(
        decoder_block(&operands, &layer.attributes).unwrap_err().to_string(),
        "decoder_block: wk must be of 2 heads of 16 rows each, but is !transformer.quant<q4_1, 64x64>"
    );
}
