//! Compares every op with the reference, on sizes that no tile divides.

use crate::text::{ELEMENTS, FORMATS, depth, tensor, weight};
use half::{bf16, f16};
use kforge_passes::Fusions;
use kforge_quant::{Block, BlockFormat, Scale};
use kforge_reference::{Element, Tensor};
use kforge_test::run::{Case, Suite, agree, isas, near};

/// Row counts around the tiles: a single row, below and above a register tile, around a task's block, and none.
const ROWS: [usize; 7] = [1, 3, 17, 31, 33, 127, 0];

/// A linear layer of `rows` rows; `?` is dynamic.
fn linear(rows: &str, (n, k): (usize, usize), element: &str, stored: &str, bias: bool) -> Case {
    let (x, w, y) = (tensor(rows, k, element), weight(n, k, stored), tensor(rows, n, element));
    let b = format!("tensor<{n}x{element}>");
    let (parameter, operand, ty) =
        if bias { (format!(", %b: {b}"), " bias %b", format!(", {b}")) } else { Default::default() };
    Case::new(
        format!("linear {rows} x {n} x {k}, {element} by {stored}{operand}"),
        format!(
            "(%x: {x}, %w: {w}{parameter}) -> {y} {{
              %y = transformer.linear %x, %w{operand} : {x}, {w}{ty} -> {y}
              return %y : {y}
            }}"
        ),
    )
}

#[test]
fn linear_layers() {
    let mut cases = vec![];
    for (i, stored) in ELEMENTS.into_iter().chain(FORMATS).enumerate() {
        let element = ELEMENTS[i % 3];
        let (n, k) = [(17, 32), (33, 64), (127, 96), (1, 32), (48, 264)][i % 5];
        let shape = (n, depth(if i < ELEMENTS.len() { k } else { k.next_multiple_of(32) }, stored));
        cases.push(linear("?", shape, element, stored, i % 2 == 0).rows(&ROWS));
        cases.push(linear(["1", "3", "8"][i % 3], shape, "f32", stored, i % 2 == 1).sizes(&[]));
    }
    // Sizes that are not multiples of a block.
    for (rows, shape) in [
        ("?", (31, 17)),
        ("1", (3, 1)),
        ("3", (33, 127)),
        ("?", (0, 32)),
        ("?", (17, 0)),
        ("1", (17, 0)),
        ("0", (17, 32)),
    ] {
        let case = linear(rows, shape, "f32", "f32", true);
        cases.push(if rows == "?" { case.rows(&ROWS) } else { case.sizes(&[]) });
    }
    cases.push(linear("2x?", (33, 31), "f16", "bf16", true).rows(&[5, 0]));
    Suite::new(cases).check();
}

/// `quantize`, alone and before a linear that multiplies its integers.
#[test]
fn activations_in_eight_bits() {
    let mut cases = vec![];
    for (i, element) in ELEMENTS.into_iter().enumerate() {
        cases.push(rowwise("transformer.quantize", [32, 96, 1056][i], element, &[], "").rows(&ROWS));
    }
    let shapes = [(33, 64), (17, 32), (127, 96), (1, 32), (48, 1056)];
    for (i, format) in FORMATS.into_iter().enumerate() {
        for (j, rows) in ["?", "1", "3", "8"].into_iter().enumerate() {
            let (n, k) = shapes[(i + j) % shapes.len()];
            let k = depth(k, format);
            let (x, y, w) = (tensor(rows, k, "f32"), tensor(rows, n, "f32"), weight(n, k, format));
            let function = format!(
                "(%x: {x}, %w: {w}, %b: tensor<{n}xf32>) -> {y} {{
                  %q = transformer.quantize %x : {x}
                  %y = transformer.linear %q, %w bias %b : {x}, {w}, tensor<{n}xf32> -> {y}
                  return %y : {y}
                }}"
            );
            let case = Case::new(format!("{rows} rows in 8 bits by {n}x{k} {format}"), function);
            cases.push(if rows == "?" { case.rows(&ROWS) } else { case.sizes(&[]) });
        }
    }
    Suite::new(cases).check();
}

/// Codes, scales and activations of the largest magnitude: no sum of integers may overflow or saturate.
#[test]
fn integers_at_their_limits() {
    let (n, k) = (17, 512);
    let (mut suite, mut inputs) = (Suite::default(), vec![]);
    let activations = |rows: usize, sign: fn(usize, usize) -> f32| {
        let values: Vec<f32> = (0..rows * k).map(|i| sign(i / k, i % k)).collect();
        Tensor::f32([rows, k], values).expect("activations")
    };
    let signs: [fn(usize, usize) -> f32; 3] = [
        |row, _| if row % 2 == 0 { 1.0 } else { -1.0 },
        |row, column| if (row + column) % 2 == 0 { 1.0 } else { -1.0 },
        |row, column| if (row + column / 16) % 2 == 0 { 1.0 } else { -1.0 },
    ];
    for name in FORMATS {
        let element = Element::Quant(name.parse().expect("a format"));
        let Element::Quant(format) = element else { unreachable!("it was made so") };
        let bytes = |fill: u8| format.unpack(&vec![fill; format.block_bytes()]);
        let weights = |(codes, scales): (u8, u8)| {
            let d = if format.scale_kind() == Scale::F16 { f16::ONE.to_bits() } else { bf16::ONE.to_bits() };
            let m = f16::from_f32(0.5);
            let mut block = vec![0; format.block_bytes()];
            format.pack(&Block { d, m, codes: bytes(codes).codes, ..bytes(scales) }, &mut block);
            Tensor::from_bytes([n, k], element, &block.repeat(n * k / format.block())).expect("a weight")
        };
        for (rows, count) in [("?", 9), ("1", 1)] {
            let (x, y, w) = (tensor(rows, k, "f32"), tensor(rows, n, "f32"), weight(n, k, name));
            let function = format!(
                "(%x: {x}, %w: {w}) -> {y} {{
                  %q = transformer.quantize %x : {x}
                  %y = transformer.linear %q, %w : {x}, {w} -> {y}
                  return %y : {y}
                }}"
            );
            suite.cases.push(Case::new(format!("limits of {name}, {rows} rows"), function));
            let calls =
                [(0x00, 0x80), (0x7f, 0x7f), (0x80, 0x80), (0xff, 0x80), (0xff, 0x7f), (0x00, 0x00), (0xff, 0xff)];
            let calls = calls.map(weights);
            let calls = calls.iter().flat_map(|w| signs.map(|sign| vec![activations(count, sign), w.clone()]));
            inputs.push(calls.collect());
        }
    }
    let expected = suite.reference(&inputs);
    for isa in isas() {
        let actual = suite.run(&suite.compile(isa, Fusions::ALL), 2, &inputs);
        for (case, (actual, expected)) in suite.cases.iter().zip(actual.iter().zip(&expected)) {
            agree(case, actual, expected).unwrap_or_else(|message| panic!("{isa}, {}: {message}", case.name));
        }
    }
}

/// The scale of an mxfp4 block is any power of two from 2^-128 to 2^127; an f16 holds a few of them. Activations are scaled
/// by the inverse, so that results are near 1, or 2^(e - 16) where that would take more than f32 has. A GPU may flush the
/// subnormal scales, those of the exponents 0 and 1.
#[test]
fn exponents_of_mxfp4() {
    let (n, k) = (17, 64);
    let element = Element::Quant(BlockFormat::MXFP4);
    let call = |rows: usize, e: u8| {
        let block = |b: usize| [vec![e], (0..16).map(|i| (37 * b + 29 * i) as u8).collect()].concat();
        let weight = Tensor::from_bytes([n, k], element, &(0..n * k / 32).flat_map(block).collect::<Vec<u8>>());
        let unit = f32::from(128 - i16::from(e.max(16))).exp2() / 16.0;
        let x = (0..rows * k).map(|i| ((i * 5 % 9) as f32 - 4.0) * unit).collect::<Vec<_>>();
        vec![Tensor::f32([rows, k], x).expect("activations"), weight.expect("a weight")]
    };
    let mut suite = Suite::default();
    let mut calls = vec![];
    for (rows, count) in [("?", 9), ("1", 1)] {
        let (x, y, w) = (tensor(rows, k, "f32"), tensor(rows, n, "f32"), weight(n, k, "mxfp4"));
        for (input, round) in [("%x", String::new()), ("%q", format!("%q = transformer.quantize %x : {x}"))] {
            let function = format!(
                "(%x: {x}, %w: {w}) -> {y} {{
                  {round}
                  %y = transformer.linear {input}, %w : {x}, {w} -> {y}
                  return %y : {y}
                }}"
            );
            suite.cases.push(Case::new(format!("{rows} rows of {input}"), function));
            calls.push(count);
        }
    }
    let inputs = |exponents: &[u8]| -> Vec<Vec<Vec<Tensor>>> {
        calls.iter().map(|rows| exponents.iter().map(|e| call(*rows, *e)).collect()).collect()
    };
    suite.check_on(&inputs(&[16, 64, 127, 128, 200, 240]));
    let inputs = inputs(&[0, 1, 2, 3]);
    let larger = |results: &[Tensor]| {
        let values = results[0].to_f32().into_iter().map(|x| x * 65536.0).collect::<Vec<_>>();
        Tensor::f32([results[0].elements()], values).expect("results")
    };
    let expected = suite.reference(&inputs);
    for isa in isas() {
        let actual = suite.run(&suite.compile(isa, Fusions::ALL), 2, &inputs);
        for (case, (actual, expected)) in suite.cases.iter().zip(actual.iter().zip(&expected)) {
            for (actual, expected) in actual.results.iter().zip(&expected.results) {
                near(&larger(actual), &larger(expected), 1.0).unwrap_or_else(|e| panic!("{isa}, {}: {e}", case.name));
            }
        }
    }
}

#[test]
fn a_weight_that_the_program_computes_stays_row_major() {
    let w = "tensor<33x17xf32>";
    let case = |rows: &str| {
        let (x, y) = (tensor(rows, 17, "f32"), tensor(rows, 33, "f32"));
        Case::new(
            format!("linear {rows} with a computed weight"),
            format!(
                "(%x: {x}, %v: {w}) -> {y} {{
                  %w = transformer.silu %v : {w}
                  %y = transformer.linear %x, %w : {x}, {w} -> {y}
                  return %y : {y}
                }}"
            ),
        )
    };
    Suite::new([case("?").rows(&[1, 17]), case("3").sizes(&[])]).check();
}

#[test]
fn matrix_products() {
    let mut cases = vec![];
    for (i, flags) in ["", "{transpose_a}", "{transpose_b}", "{transpose_a, transpose_b}"].into_iter().enumerate() {
        for (element, leading) in [(ELEMENTS[i % 3], ""), ("f32", "2x?x")] {
            let swap =
                |flag, a: &str, b: &str| if flags.contains(flag) { format!("{b}x{a}") } else { format!("{a}x{b}") };
            let ty = |dims: &str| format!("tensor<{leading}{dims}x{element}>");
            let (a, b, c) = (ty(&swap("transpose_a", "?", "?")), ty(&swap("transpose_b", "?", "?")), ty("?x?"));
            let function = format!(
                "(%a: {a}, %b: {b}) -> {c} {{
                  %c = transformer.matmul %a, %b {flags} : {a}, {b} -> {c}
                  return %c : {c}
                }}"
            );
            let mut case = Case::new(format!("matmul {leading} {element} {flags}"), function);
            for (batch, m, k, n) in [
                (1, 1, 1, 1),
                (3, 3, 17, 31),
                (2, 33, 5, 17),
                (1, 17, 127, 33),
                (2, 4, 0, 3),
                (0, 2, 2, 2),
                (1, 0, 3, 3),
                (1, 3, 3, 0),
            ] {
                if leading.is_empty() && batch != 1 && m != 33 {
                    continue;
                }
                let pair = |flag, a, b| if flags.contains(flag) { [b, a] } else { [a, b] };
                let (a, b) = (pair("transpose_a", m, k), pair("transpose_b", k, n));
                let batch: &[usize] = if leading.is_empty() { &[] } else { &[batch] };
                case = case.sizes(&[batch, &a, batch, &b].concat());
            }
            cases.push(case);
        }
    }
    Suite::new(cases).check();
}

/// A function of one tensor and parameters of its last axis.
fn rowwise(op: &str, width: usize, element: &str, vectors: &[&str], attributes: &str) -> Case {
    let x = format!("tensor<?x{width}x{element}>");
    let types: Vec<String> = vectors.iter().map(|v| format!("tensor<{width}x{v}>")).collect();
    let parameters: String = types.iter().enumerate().map(|(i, ty)| format!(", %v{i}: {ty}")).collect();
    let operands: String = (0..types.len()).map(|i| format!(", %v{i}")).collect();
    let types: String = types.iter().map(|ty| format!(", {ty}")).collect();
    Case::new(
        format!("{op} of {width} {element} {vectors:?}{attributes}"),
        format!(
            "(%x: {x}{parameters}) -> {x} {{
              %y = {op} %x{operands}{attributes} : {x}{types}
              return %y : {x}
            }}"
        ),
    )
}

#[test]
fn norms_and_softmax() {
    let (eps, wide) = (" {eps = 1.0e-5 : f32}", " {eps = 1.0e-1 : f32}");
    let mut cases = vec![];
    for (i, width) in [1, 3, 17, 33, 64, 127, 576].into_iter().enumerate() {
        let element = ELEMENTS[i % 3];
        let other = ELEMENTS[(i + 1) % 3];
        cases.push(rowwise("transformer.rms_norm", width, element, &[other], eps));
        cases.push(rowwise("transformer.layer_norm", width, element, &[other], wide));
        cases.push(rowwise("transformer.layer_norm", width, "f32", &["f32", element], wide));
        cases.push(rowwise("transformer.softmax", width, element, &[], ""));
    }
    Suite::new(cases.into_iter().map(|case| case.rows(&[1, 3, 17, 0]))).check();
}

#[test]
fn element_wise_ops() {
    let unary = [
        ("transformer.gelu", ""),
        ("transformer.gelu", " {approximate = \"tanh\"}"),
        ("transformer.silu", ""),
        ("arith.negf", ""),
        ("math.exp", ""),
        ("math.tanh", ""),
        ("math.absf", ""),
        ("math.erf", ""),
    ];
    let mut cases = vec![];
    for (i, (op, attributes)) in unary.into_iter().enumerate() {
        let elements: &[&str] = if op.starts_with("transformer") { &ELEMENTS } else { &ELEMENTS[i % 3..][..1] };
        cases.extend(elements.iter().map(|element| rowwise(op, 33, element, &[], attributes)));
    }
    for (i, op) in ["transformer.swiglu", "arith.addf", "arith.subf", "arith.mulf", "arith.maximumf", "arith.minimumf"]
        .into_iter()
        .enumerate()
    {
        let elements: &[&str] = if i == 0 { &ELEMENTS } else { &ELEMENTS[i % 3..][..1] };
        cases.extend(elements.iter().map(|element| {
            let x = format!("tensor<?x33x{element}>");
            let function = format!("(%x: {x}, %y: {x}) -> {x} {{\n %z = {op} %x, %y : {x}\n return %z : {x}\n}}");
            Case::new(format!("{op} {element}"), function)
        }));
    }
    // 127 rows are more than one task.
    let rows = [0, 1, 3, 31, 127];
    let twice = |case: Case| {
        let two = case.function.contains("%y: ");
        rows.iter().fold(case, |case, r| if two { case.sizes(&[*r, *r]) } else { case.sizes(&[*r]) })
    };
    let mut cases: Vec<Case> = cases.into_iter().map(twice).collect();
    for (from, op, to) in [
        ("f16", "arith.extf", "f32"),
        ("bf16", "arith.extf", "f32"),
        ("f32", "arith.truncf", "f16"),
        ("f32", "arith.truncf", "bf16"),
    ] {
        let (x, y) = (tensor("?", 33, from), tensor("?", 33, to));
        let function = format!("(%x: {x}) -> {y} {{\n %y = {op} %x : {x} to {y}\n return %y : {y}\n}}");
        cases.push(Case::new(format!("{op} {from} to {to}"), function).rows(&[0, 1, 31]).slack(0.0));
    }
    Suite::new(cases).check();
}

#[test]
fn embeddings() {
    let mut cases = vec![];
    for (i, stored) in ELEMENTS.into_iter().chain(FORMATS).enumerate() {
        let (vocabulary, width) = (37, depth([32, 64][i % 2], stored));
        let (ids, table, y) =
            ("tensor<2x?xi32>", weight(vocabulary, width, stored), tensor("2x?", width, ELEMENTS[i % 3]));
        let function = format!(
            "(%ids: {ids}, %table: {table}) -> {y} {{
              %y = transformer.embedding %ids, %table : {ids}, {table} -> {y}
              return %y : {y}
            }}"
        );
        let case = Case::new(format!("embedding of {stored} as {}", ELEMENTS[i % 3]), function).slack(0.0);
        cases.push(case.call(&[3], &[&[0, 36, 17, 15, 16, 0]]).call(&[1], &[&[36, 1]]).call(&[0], &[&[]]));
    }
    // A table without rows takes no ids.
    let function = "(%ids: tensor<?xi32>, %table: tensor<0x5xf32>) -> tensor<?x5xf32> {
      %y = transformer.embedding %ids, %table : tensor<?xi32>, tensor<0x5xf32> -> tensor<?x5xf32>
      return %y : tensor<?x5xf32>
    }";
    cases.push(Case::new("embedding of an empty table", function).call(&[0], &[&[]]));
    Suite::new(cases).check();
}

#[test]
fn rotary_embeddings() {
    let mut cases = vec![];
    for (i, depth) in [2, 6, 16, 34, 64, 96].into_iter().enumerate() {
        for mode in ["interleaved", "half"] {
            let x = format!("tensor<2x?x3x{depth}x{}>", if mode == "half" { "f32" } else { ELEMENTS[i % 3] });
            // A part of a head, of pairs that fill a vector or do not.
            let dims = if i > 2 { depth - [4, 32, 44][i - 3] } else { depth };
            let part = if dims < depth { format!(", dims = {dims} : i64, scale = 1.25 : f32") } else { String::new() };
            let divisors: Vec<String> = (0..dims / 2).map(|i| format!("{}.5", i % 7)).collect();
            let divisors = if i % 2 == 0 {
                format!(", freq_divisors = array<f32: {}>", divisors.join(", "))
            } else {
                String::new()
            };
            let has_lengths = i % 3 != 1;
            let (parameter, operand, ty) = if has_lengths {
                (", %l: tensor<2xi32>", " lengths %l", ", tensor<2xi32>")
            } else {
                Default::default()
            };
            let function = format!(
                "(%x: {x}, %p: tensor<2xi32>{parameter}) -> {x} {{
                  %y = transformer.rope %x at %p{operand} {{mode = \"{mode}\", base = 1.0e4 : f32{divisors}{part}}} : {x}, tensor<2xi32>{ty}
                  return %y : {x}
                }}"
            );
            let case = Case::new(format!("rope {mode} of {dims} in {depth}"), function);
            cases.push(
                [(1, [0, 5], [1, 0]), (17, [100, 3], [17, 4]), (3, [127, 90], [2, 3]), (0, [1, 1], [0, 0])]
                    .into_iter()
                    .fold(case, |case, (rows, positions, lengths)| {
                        let integers: [&[i32]; 2] = [&positions, &lengths];
                        case.call(&[rows], &integers[..1 + usize::from(has_lengths)])
                    }),
            );
        }
    }
    // At large positions an angle in f32 would be off by half its last digit: 5e-4 at 8191, 0.06 at a million.
    let x = "tensor<2x?x3x64xf32>";
    let function = format!(
        "(%x: {x}, %p: tensor<2xi32>) -> {x} {{
          %y = transformer.rope %x at %p {{mode = \"half\", base = 1.0e5 : f32}} : {x}, tensor<2xi32>
          return %y : {x}
        }}"
    );
    cases.push(Case::new("rope far out", function).call(&[3], &[&[4000, 8191]]).call(&[1], &[&[131_071, 1_000_003]]));
    Suite::new(cases).check();
}
