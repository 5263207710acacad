//! Exactness: no bit of a result depends on the number of rows computed together, the tile, or the vector width.
//!
//! Independence of the number of threads is part of every [`Suite::check`].

use crate::text::{FORMATS, depth, tensor, weight};
use kforge_passes::Fusions;
use kforge_reference::{Element, Tensor, random};
use kforge_target::Target;
use kforge_test::run::{Case, Suite, isas, same_bytes};
use std::ops::Range;

/// Some rows of a tensor's first axis.
fn rows(t: &Tensor, range: Range<usize>) -> Tensor {
    let bytes = t.to_bytes();
    let row = bytes.len() / t.shape()[0];
    let shape = [&[range.len()], &t.shape()[1..]].concat();
    Tensor::from_bytes(shape, t.element(), &bytes[range.start * row..range.end * row]).expect("whole rows")
}

/// An element type by its name.
fn of(name: &str) -> Element {
    match name {
        "f32" => Element::F32,
        "f16" => Element::F16,
        "bf16" => Element::BF16,
        name => Element::Quant(name.parse().expect("an element")),
    }
}

/// A linear layer, its kernel chosen by the passes, or given.
fn linear(count: &str, (n, k): (usize, usize), element: &str, stored: &str, kernel: &str) -> Case {
    let (x, w, y) = (tensor(count, k, element), weight(n, k, stored), tensor(count, n, element));
    let op = "transformer.linear %a, %b";
    let function = match kernel {
        "" => format!("(%a: {x}, %b: {w}) -> {y} {{\n %y = {op} : {x}, {w} -> {y}\n return %y : {y}\n}}"),
        kernel => format!(
            "(%x: {x}, %w: {w}) -> {y} {{
              %y = transformer.fused(%a = %x : {x}, %b = %w : {w}) -> {y} kernel #transformer.kernel<{kernel}> {{
                %0 = {op} : {x}, {w} -> {y}
                transformer.yield %0 : {y}
              }}
              return %y : {y}
            }}"
        ),
    };
    Case::new(format!("{count} rows of {n} x {k}, {element} by {stored} {kernel}"), function)
}

/// With a fourth number, K is split into blocks, the last one shorter.
const GEMM_TILES: [&str; 7] =
    ["[12, 4, 32, 32]", "[6, 6, 16]", "[130, 2, 16, 64]", "[8, 4, 32]", "[5, 5, 48]", "[128, 1, 16]", "[130, 2, 16]"];
const GEMV_TILES: [&str; 5] = ["[48, 16, 3]", "[16]", "[64, 32, 2]", "[48]", "[64, 32]"];

/// 127 rows together, each also alone, in threes and under every tile.
#[test]
fn a_row_is_the_same_alone_and_in_a_batch() {
    let (mut suite, mut inputs, mut expected) = (Suite::default(), vec![], vec![]);
    let weights = [
        ((33, 64), "f32", "f32"),
        ((48, 96), "f32", "q4_1"),
        ((17, 96), "f16", "f16"),
        ((33, 64), "f32", "q5_0"),
        ((40, 64), "bf16", "q8_0"),
        ((33, 512), "f32", "q4_k"),
        ((17, 256), "f16", "q5_k"),
        ((40, 512), "f32", "q6_k"),
    ];
    for (i, (shape, element, stored)) in weights.into_iter().enumerate() {
        let x = random::uniform(i as u64, &[127, shape.1], of(element)).expect("a matrix");
        let w = random::uniform(7 + i as u64, &[shape.0, shape.1], of(stored)).expect("a weight");
        let mut add = |case: Case, ranges: &[Range<usize>]| {
            suite.cases.push(case);
            inputs.push(ranges.iter().map(|range| vec![rows(&x, range.clone()), w.clone()]).collect());
            expected.push((i, ranges.to_vec()));
        };
        add(linear("?", shape, element, stored, ""), &[0..127, 0..126, 60..61, 5..22]);
        add(linear("1", shape, element, stored, ""), &[0..1, 1..2, 63..64, 126..127]);
        add(linear("3", shape, element, stored, ""), &[0..3, 100..103]);
        // Every kind of weight under one other tile, one kind under all.
        let tiles = if i == 1 { 0..GEMM_TILES.len() } else { i % GEMM_TILES.len()..i % GEMM_TILES.len() + 1 };
        for tile in &GEMM_TILES[tiles] {
            add(linear("?", shape, element, stored, &format!("\"gemm\", tile = {tile}")), &[0..127, 3..4]);
        }
        let tiles = if i == 1 { 0..GEMV_TILES.len() } else { i % GEMV_TILES.len()..i % GEMV_TILES.len() + 1 };
        for tile in &GEMV_TILES[tiles] {
            add(linear("3", shape, element, stored, &format!("\"gemv\", tile = {tile}")), &[0..3, 100..103]);
        }
    }
    // Rounded to 8 bits.
    for (i, format) in FORMATS.into_iter().enumerate() {
        let (n, k) = (33, depth(96, format));
        let x = random::uniform(3, &[127, k], Element::F32).expect("a matrix");
        let w = random::uniform(4, &[n, k], of(format)).expect("a weight");
        let ranges =
            [("?", vec![0..127, 0..126, 60..61, 5..22]), ("1", vec![0..1, 63..64]), ("3", vec![0..3, 100..103])];
        for (count, ranges) in ranges {
            let (input, output) = (format!("tensor<{count}x{k}xf32>"), format!("tensor<{count}x{n}xf32>"));
            let ty = format!("!transformer.quant<{format}, {n}x{k}>");
            let function = format!(
                "(%x: {input}, %w: {ty}) -> {output} {{
                  %q = transformer.quantize %x : {input}
                  %y = transformer.linear %q, %w : {input}, {ty} -> {output}
                  return %y : {output}
                }}"
            );
            suite.cases.push(Case::new(format!("{count} rows in 8 bits by {format}"), function));
            inputs.push(ranges.iter().map(|range| vec![rows(&x, range.clone()), w.clone()]).collect());
            expected.push((weights.len() + i, ranges));
        }
    }
    let mut by_isa: Vec<(_, Vec<Vec<u8>>)> = vec![];
    for isa in isas() {
        let outcomes = suite.run(&suite.compile(isa, Fusions::ALL), 2, &inputs);
        let whole: Vec<&Tensor> = outcomes
            .iter()
            .zip(&expected)
            .filter(|(_, (_, ranges))| ranges.len() == 4 && ranges[0] == (0..127))
            .map(|(o, _)| &o.results[0][0])
            .collect();
        for ((case, outcome), (weight, ranges)) in suite.cases.iter().zip(&outcomes).zip(&expected) {
            for (range, results) in ranges.iter().zip(&outcome.results) {
                let expected = rows(whole[*weight], range.clone());
                assert_eq!(results[0].to_bytes(), expected.to_bytes(), "{isa}, {}, rows {range:?}", case.name);
            }
        }
        by_isa.push((isa, whole.iter().map(|t| t.to_bytes()).collect()));
    }
    // With FMA, the vector width does not matter either.
    by_isa.retain(|(isa, _)| Target::from(*isa).has_fma());
    for pair in by_isa.windows(2) {
        assert_eq!(pair[0].1, pair[1].1, "{} and {}", pair[0].0, pair[1].0);
    }
}

const HEADS: &str = "4x16xf32";
const KEYS: &str = "tensor<2x1100x2x16xf32>";

/// An attention over a cache, its tile chosen by the passes, or given.
fn attention(count: &str, batch: usize, tile: &str) -> Case {
    let (q, k, p) = (
        format!("tensor<{batch}x{count}x{HEADS}>"),
        KEYS.replace("<2x", &format!("<{batch}x")),
        format!("tensor<{batch}xi32>"),
    );
    let types = format!("{q}, {k}, {k}, {p}");
    let op = format!("transformer.attention %a, %b, %c at %d {{causal, window = 600 : i64}} : {types}");
    let function = match tile {
        "" => format!("(%a: {q}, %b: {k}, %c: {k}, %d: {p}) -> {q} {{\n %y = {op}\n return %y : {q}\n}}"),
        tile => format!(
            "(%q: {q}, %k: {k}, %v: {k}, %p: {p}) -> {q} {{
              %y = transformer.fused(%a = %q : {q}, %b = %k : {k}, %c = %v : {k}, %d = %p : {p}) -> {q}
                kernel #transformer.kernel<\"attention\", tile = {tile}> {{
                %0 = {op}
                transformer.yield %0 : {q}
              }}
              return %y : {q}
            }}"
        ),
    };
    Case::new(format!("attention of {count} rows, batch {batch}, tile {tile}"), function)
}

#[test]
fn an_attention_row_is_the_same_alone_and_in_a_batch() {
    let (rows_of, batch) = (37, 2);
    let q = random::uniform(1, &[batch, rows_of, 4, 16], Element::F32).expect("queries");
    let [k, v] = [2, 3].map(|seed| random::uniform(seed, &[batch, 1100, 2, 16], Element::F32).expect("a cache"));
    // The second sequence crosses the range boundaries at 512 and 768 positions; its window ends within another range.
    let positions = [3, 740];
    let p = |values: &[i32]| Tensor::i32([values.len()], values).expect("positions");
    let (mut suite, mut inputs) = (Suite::default(), vec![]);
    for tile in ["", "[1, 1, 1]", "[3, 2, 1]", "[16, 1, 1]", "[8, 2, 1]"] {
        suite.cases.push(attention("?", batch, tile));
        inputs.push(vec![vec![q.clone(), k.clone(), v.clone(), p(&positions)]]);
    }
    // Each row of the second sequence by itself, at its own position.
    let second = |t: &Tensor| rows(t, 1..2);
    let flat = second(&q).reshape([rows_of, 4, 16]).expect("the rows of one sequence");
    let row = |row: usize| {
        let q = rows(&flat, row..row + 1).reshape([1, 1, 4, 16]).expect("one row");
        vec![q, second(&k), second(&v), p(&[positions[1] + row as i32])]
    };
    for tile in ["", "[4, 2, 1]", "[1, 1, 1]", "[1, 1, 3]", "[1, 2, 64]"] {
        suite.cases.push(attention("1", 1, tile));
        inputs.push((0..rows_of).map(row).collect());
    }
    for isa in isas() {
        let outcomes = suite.run(&suite.compile(isa, Fusions::ALL), 2, &inputs);
        for i in 1..5 {
            assert!(same_bytes(&outcomes[0], &outcomes[i]), "{isa}, {}", suite.cases[i].name);
        }
        let whole = second(&outcomes[0].results[0][0]).reshape([rows_of, 4, 16]).expect("the rows of one sequence");
        for (case, outcome) in suite.cases.iter().zip(&outcomes).skip(5) {
            for (row, results) in outcome.results.iter().enumerate() {
                let expected = rows(&whole, row..row + 1);
                assert_eq!(results[0].to_bytes(), expected.to_bytes(), "{isa}, {}, row {row}", case.name);
            }
        }
    }
}

#[test]
fn a_matrix_product_does_not_depend_on_its_tile() {
    let ty = "tensor<2x?x?xf32>";
    let types = format!("{ty}, {ty} -> {ty}");
    let by_hand = |tile: &str| {
        format!(
            "(%x: {ty}, %w: {ty}) -> {ty} {{
              %y = transformer.fused(%a = %x : {ty}, %b = %w : {ty}) -> {ty} kernel #transformer.kernel<\"matmul\", tile = {tile}> {{
                %0 = transformer.matmul %a, %b : {types}
                transformer.yield %0 : {ty}
              }}
              return %y : {ty}
            }}"
        )
    };
    let chosen =
        format!("(%a: {ty}, %b: {ty}) -> {ty} {{\n %y = transformer.matmul %a, %b : {types}\n return %y : {ty}\n}}");
    let suite = Suite::new([chosen, by_hand("[1, 16]"), by_hand("[7, 16]")].map(|f| Case::new("matmul", f)));
    let [a, b] =
        [(1, 33, 17), (2, 17, 31)].map(|(s, m, n)| random::uniform(s, &[2, m, n], Element::F32).expect("a matrix"));
    let inputs = vec![vec![vec![a, b]]; 3];
    for isa in isas() {
        let outcomes = suite.run(&suite.compile(isa, Fusions::ALL), 2, &inputs);
        assert!(outcomes.iter().all(|outcome| same_bytes(outcome, &outcomes[0])), "{isa}");
    }
}
