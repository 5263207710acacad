//! Attention and cache updates against the reference, over tensors and over caches in every layout.

use crate::text::ELEMENTS;
use kforge_passes::Fusions;
use kforge_program::Layout;
use kforge_test::run::{Case, Suite, isas, same_bytes};

/// An attention over keys and values that the caller passes.
struct Plain {
    /// Query heads, heads of keys and values, size of a head.
    heads: (usize, usize, usize),
    element: &'static str,
    attributes: &'static str,
    /// Query rows and keys of a call.
    lengths: &'static [(usize, usize)],
}

/// Around tiles of 4 rows, vectors of 16 and blocks of 64 keys; more rows than keys; no rows; no keys.
const LENGTHS: [(usize, usize); 8] = [(1, 1), (3, 17), (17, 3), (33, 65), (1, 130), (20, 200), (0, 5), (3, 0)];

#[test]
fn attention_over_tensors() {
    let mut cases = vec![];
    for Plain { heads: (heads, kv_heads, depth), element, attributes, lengths } in [
        Plain { heads: (1, 1, 16), element: "f32", attributes: "", lengths: &LENGTHS },
        Plain { heads: (4, 2, 16), element: "f32", attributes: "causal", lengths: &LENGTHS },
        Plain { heads: (9, 3, 64), element: "f32", attributes: "causal", lengths: &[(1, 100), (20, 70)] },
        Plain { heads: (2, 1, 3), element: "f32", attributes: "causal, window = 5 : i64", lengths: &LENGTHS },
        Plain { heads: (2, 2, 33), element: "f16", attributes: "causal, window = 70 : i64", lengths: &LENGTHS },
        Plain { heads: (3, 1, 20), element: "bf16", attributes: "window = 1 : i64", lengths: &[(1, 1), (5, 70)] },
        Plain {
            heads: (2, 1, 32),
            element: "f32",
            attributes: "causal, softcap = 2.0 : f32, scale = 3.0 : f32",
            lengths: &LENGTHS,
        },
        Plain { heads: (1, 1, 1), element: "f16", attributes: "scale = 0.5 : f32", lengths: &[(7, 66)] },
    ] {
        let (q, k) =
            (format!("tensor<2x?x{heads}x{depth}x{element}>"), format!("tensor<2x?x{kv_heads}x{depth}x{element}>"));
        let function = format!(
            "(%q: {q}, %k: {k}, %v: {k}) -> {q} {{
              %y = transformer.attention %q, %k, %v {{{attributes}}} : {q}, {k}, {k}
              return %y : {q}
            }}"
        );
        let case = Case::new(format!("attention {heads}/{kv_heads} of {depth} {element} {attributes}"), function);
        cases.push(lengths.iter().fold(case, |case, (rows, keys)| case.sizes(&[*rows, *keys, *keys])));
        // A single row has a separate kernel.
        if element != "f32" {
            continue;
        }
        let q = q.replace("x?x", "x1x");
        let function = format!(
            "(%q: {q}, %k: {k}, %v: {k}) -> {q} {{
              %y = transformer.attention %q, %k, %v {{{attributes}}} : {q}, {k}, {k}
              return %y : {q}
            }}"
        );
        let case =
            Case::new(format!("attention of one row, {heads}/{kv_heads} of {depth} {element} {attributes}"), function);
        cases.push([1, 63, 64, 65, 129].iter().fold(case, |case, keys| case.sizes(&[*keys, *keys])));
    }
    Suite::new(cases).check();
}

/// Positions of the two sequences of a call, and how many rows of each are not padding.
struct Step {
    rows: usize,
    positions: [i32; 2],
    lengths: [i32; 2],
}

/// A prompt of unequal lengths, one row, a few rows, and some past a block of 64.
const STEPS: [Step; 5] = [
    Step { rows: 17, positions: [0, 0], lengths: [17, 5] },
    Step { rows: 1, positions: [17, 5], lengths: [1, 1] },
    Step { rows: 5, positions: [18, 6], lengths: [0, 5] },
    Step { rows: 40, positions: [18, 11], lengths: [40, 33] },
    Step { rows: 3, positions: [58, 44], lengths: [3, 2] },
];

/// A cache update and an attention that reads the cache.
struct Cached {
    element: &'static str,
    heads: (usize, usize, usize),
    attributes: &'static str,
    lengths: bool,
    /// Rows go through `transformer.quantize` before they are stored, so that the state is kept in 8 bits.
    rounded: bool,
    /// Capacity without a block table; else blocks, their size, and pages per sequence.
    capacity: usize,
    pages: Option<(usize, usize, &'static [i32])>,
}

/// The block tables of two sequences, interleaved and out of order; unused pages have no block.
const PAGES_OF_16: &[i32] = &[3, 0, 7, 2, 1, 4, 6, -1];
const ALL_PAGES_OF_16: &[i32] = &[3, 0, 7, 2, 1, 4, 6, 5];
const PAGES_OF_24: &[i32] = &[5, 1, 4, 0, 2, 99];

impl Cached {
    /// Types of query, rows and cache.
    fn types(&self) -> (String, String, String) {
        let Cached { element, heads: (heads, kv_heads, depth), .. } = self;
        let cache = match self.pages {
            None => format!("2x{}", self.capacity),
            Some((blocks, size, _)) => format!("{blocks}x{size}"),
        };
        (
            format!("tensor<2x?x{heads}x{depth}x{element}>"),
            format!("tensor<2x?x{kv_heads}x{depth}x{element}>"),
            format!("tensor<{cache}x{kv_heads}x{depth}x{element}>"),
        )
    }

    /// Parameters, operands and types of positions, lengths and block table.
    fn sequences(&self) -> (String, String, String) {
        let (mut parameters, mut operands, mut types) =
            (", %p: tensor<2xi32>".to_owned(), " at %p".to_owned(), ", tensor<2xi32>".to_owned());
        if self.lengths {
            parameters += ", %l: tensor<2xi32>";
            operands += " lengths %l";
            types += ", tensor<2xi32>";
        }
        if let Some((_, _, pages)) = self.pages {
            let ty = format!("tensor<2x{}xi32>", pages.len() / 2);
            parameters += &format!(", %t: {ty}");
            operands += " blocks %t";
            types += &format!(" blocks {ty}");
        }
        (parameters, operands, types)
    }

    fn calls(&self, case: Case, sizes: impl Fn(usize) -> Vec<usize>) -> Case {
        STEPS.iter().fold(case, |case, step| {
            let mut integers: Vec<&[i32]> = vec![&step.positions];
            if self.lengths {
                integers.push(&step.lengths);
            }
            if let Some((_, _, pages)) = self.pages {
                integers.push(pages);
            }
            case.call(&sizes(step.rows), &integers)
        })
    }

    fn name(&self) -> String {
        let Cached { element, heads, attributes, lengths, rounded, capacity, pages } = self;
        let pages = pages.map_or(format!("of {capacity}"), |(blocks, size, _)| format!("of {blocks} pages of {size}"));
        let rounded = if *rounded { " rounded" } else { "" };
        format!("{heads:?} {element}{rounded} {attributes} lengths {lengths}, cache {pages}")
    }

    /// A case whose caches are state: keys interleaved, values head by head.
    fn state(&self) -> Case {
        let ((q, k, cache), (parameters, operands, types)) = (self.types(), self.sequences());
        let (rounding, kr, vr) = rounding(self.rounded, &k);
        let function = format!(
            "(%q: {q}, %k: {k}, %v: {k}{parameters}) -> {q} {{
              %kc = ml_program.global_load @keys$ : {cache}
              %vc = ml_program.global_load @values$ : {cache}
              {rounding}
              %kn = transformer.kv_update %kc, {kr}{operands} : {cache}, {k}{types}
              %vn = transformer.kv_update %vc, {vr}{operands} : {cache}, {k}{types}
              ml_program.global_store @keys$ = %kn : {cache}
              ml_program.global_store @values$ = %vn : {cache}
              %y = transformer.attention %q, %kn, %vn{operands} {{{}}} : {q}, {cache}, {cache}{types}
              return %y : {q}
            }}",
            self.attributes
        );
        let (_, kv_heads, depth) = self.heads;
        let dims = match self.pages {
            None => [2, self.capacity, kv_heads, depth],
            Some((blocks, size, _)) => [blocks, size, kv_heads, depth],
        };
        let case = Case::new(format!("state, {}", self.name()), function);
        self.calls(case.state("keys", &cache, &dims).state("values", &cache, &dims), |rows| vec![rows; 3])
    }

    /// A case whose caches are arguments and results, row-major.
    fn argument(&self) -> Case {
        let ((q, k, cache), (parameters, operands, types)) = (self.types(), self.sequences());
        let function = format!(
            "(%q: {q}, %k: {k}, %kc: {cache}, %vc: {cache}{parameters}) -> ({q}, {cache}) {{
              %kn = transformer.kv_update %kc, %k{operands} : {cache}, {k}{types}
              %y = transformer.attention %q, %kn, %vc{operands} {{{}}} : {q}, {cache}, {cache}{types}
              return %y, %kn : {q}, {cache}
            }}",
            self.attributes
        );
        self.calls(Case::new(format!("arguments, {}", self.name()), function), |rows| vec![rows; 2])
    }
}

/// The ops that quantise `%k` and `%v`, if `rounded`, and the names of the rows that are stored in the caches.
fn rounding(rounded: bool, ty: &str) -> (String, &'static str, &'static str) {
    if !rounded {
        return (String::new(), "%k", "%v");
    }
    let text = format!("%kr = transformer.quantize %k : {ty}\n%vr = transformer.quantize %v : {ty}");
    (text, "%kr", "%vr")
}

#[test]
fn attention_over_caches() {
    let plain = Cached {
        element: "f32",
        heads: (4, 2, 16),
        attributes: "causal",
        lengths: true,
        rounded: false,
        capacity: 67,
        pages: None,
    };
    let rounded = Cached { rounded: true, heads: (4, 2, 32), ..plain };
    let cached = [
        Cached { ..plain },
        Cached { lengths: false, heads: (3, 1, 33), capacity: 80, attributes: "causal, window = 9 : i64", ..plain },
        Cached { element: "f16", heads: (2, 2, 64), attributes: "softcap = 5.0 : f32", capacity: 64, ..plain },
        Cached { element: "bf16", heads: (2, 1, 8), lengths: false, ..plain },
        Cached { pages: Some((8, 16, PAGES_OF_16)), ..plain },
        Cached { pages: Some((6, 24, PAGES_OF_24)), element: "f16", heads: (2, 1, 17), ..plain },
        Cached {
            pages: Some((8, 16, ALL_PAGES_OF_16)),
            lengths: false,
            attributes: "causal, window = 20 : i64",
            ..plain
        },
        Cached { heads: (9, 3, 64), ..rounded },
        Cached { lengths: false, heads: (3, 1, 96), capacity: 80, attributes: "window = 9 : i64", ..rounded },
        Cached { pages: Some((8, 16, PAGES_OF_16)), ..rounded },
        Cached { pages: Some((6, 24, PAGES_OF_24)), attributes: "causal, softcap = 5.0 : f32", ..rounded },
        // Rounded, then stored in sixteen bits each.
        Cached { element: "f16", ..rounded },
    ];
    // All cases with state, every other one with arguments.
    let arguments = cached.iter().step_by(2).map(Cached::argument);
    Suite::new(cached.iter().map(Cached::state).chain(arguments)).check();
}

/// Lengths around blocks of 64 keys and ranges of 256, one row at a time and a few together.
#[test]
fn attention_over_long_caches() {
    let mut cases = vec![];
    // All possible ranges once; two are enough for the others.
    for (capacity, heads, kv_heads, depth, element, rounded, attributes) in [
        (4200, 2, 2, 16, "f32", false, "causal"),
        (1100, 9, 3, 64, "f32", false, "causal"),
        (1100, 9, 3, 64, "f32", true, "causal"),
        (1100, 9, 3, 64, "f16", false, "causal"),
        (1100, 4, 1, 20, "f32", false, "causal, window = 300 : i64"),
        (1100, 5, 1, 32, "f32", true, "causal, window = 300 : i64"),
        (1100, 7, 1, 8, "f16", false, "causal, softcap = 3.0 : f32"),
        (1100, 6, 2, 33, "bf16", false, "window = 700 : i64"),
    ] {
        for rows in ["1", "?"] {
            let q = format!("tensor<2x{rows}x{heads}x{depth}xf32>");
            let (k, cache) =
                (format!("tensor<2x?x{kv_heads}x{depth}xf32>"), format!("tensor<2x?x{kv_heads}x{depth}x{element}>"));
            let (rounding, kr, vr) = rounding(rounded, &k);
            // Earlier keys are written by a separate update, at positions %z.
            let function = format!(
                "(%q: {q}, %k: {k}, %v: {k}, %z: tensor<2xi32>, %p: tensor<2xi32>) -> {q} {{
                  %kc = ml_program.global_load @keys$ : {cache}
                  %vc = ml_program.global_load @values$ : {cache}
                  {rounding}
                  %kn = transformer.kv_update %kc, {kr} at %z : {cache}, {k}, tensor<2xi32>
                  %vn = transformer.kv_update %vc, {vr} at %z : {cache}, {k}, tensor<2xi32>
                  ml_program.global_store @keys$ = %kn : {cache}
                  ml_program.global_store @values$ = %vn : {cache}
                  %y = transformer.attention %q, %kn, %vn at %p {{{attributes}}} : {q}, {cache}, {cache}, tensor<2xi32>
                  return %y : {q}
                }}"
            );
            let element = if rounded { "rounded f32" } else { element };
            let case =
                Case::new(format!("{rows} rows, {heads}/{kv_heads} of {depth} {element} {attributes}"), function);
            let shape = [2, capacity, kv_heads, depth];
            let case = case.state("keys", &cache, &shape).state("values", &cache, &shape);
            // All keys, then rows at their own positions, before which everything has been written.
            let first: &[usize] = if rows == "1" { &[capacity, capacity] } else { &[1, capacity, capacity] };
            let mut case = case.call(first, &[&[0, 0], &[0, 62]]);
            let last = capacity as i32 - 1;
            for positions in [[63, 64], [255, 256], [257, 511], [512, 1023], [last - 104, last]] {
                let sizes: &[usize] = if rows == "1" { &[0, 0] } else { &[1, 0, 0] };
                case = case.call(sizes, &[&[0, 0], &positions]);
            }
            if rows == "?" {
                case = case.call(&[7, 0, 0], &[&[0, 0], &[250, 1020]]).call(&[70, 0, 0], &[&[0, 0], &[480, last - 99]]);
            }
            cases.push(case);
        }
    }
    Suite::new(cases).check();
}

/// A decode step, which on a GPU is one launch: rotations, updates and attention, at short and long contexts, with head
/// counts that do not divide, f16 caches, and padding rows.
#[test]
fn attention_with_its_rotations_and_updates() {
    let mut cases = vec![];
    for (heads, kv_heads, depth, element, rope, attributes, lengths) in [
        (9, 3, 64, "f32", "mode = \"interleaved\", base = 1.0e5 : f32", "causal", false),
        (4, 2, 16, "f32", "mode = \"half\", base = 1.0e4 : f32", "causal, window = 70 : i64", true),
        (6, 2, 20, "f16", "mode = \"half\", base = 1.0e4 : f32", "softcap = 3.0 : f32", false),
        (3, 1, 96, "f32", "mode = \"interleaved\", base = 1.0e4 : f32", "causal, scale = 0.3 : f32", true),
        (2, 2, 2, "f32", "mode = \"half\", base = 5.0e5 : f32, freq_divisors = array<f32: 4.0>", "causal", true),
        (4, 2, 24, "f32", "mode = \"half\", base = 1.0e4 : f32, dims = 10 : i64, scale = 1.5 : f32", "causal", true),
        (2, 1, 600, "f32", "mode = \"half\", base = 1.0e4 : f32", "causal", false),
    ] {
        let [q, row, rows] = [(1, heads), (1, kv_heads), (0, kv_heads)].map(|(count, heads)| {
            let count = if count == 0 { "?".to_owned() } else { count.to_string() };
            format!("tensor<2x{count}x{heads}x{depth}xf32>")
        });
        let (cache, at) = (format!("tensor<2x?x{kv_heads}x{depth}x{element}>"), "tensor<2xi32>");
        let (parameter, operand, ty) =
            if lengths { (", %l: tensor<2xi32>", " lengths %l", ", tensor<2xi32>") } else { Default::default() };
        // Earlier keys are written by a separate update.
        let function = format!(
            "(%q: {q}, %k: {row}, %v: {row}, %kb: {rows}, %vb: {rows}, %z: {at}, %p: {at}{parameter}) -> {q} {{
              %kc = ml_program.global_load @keys$ : {cache}
              %vc = ml_program.global_load @values$ : {cache}
              %k0 = transformer.kv_update %kc, %kb at %z : {cache}, {rows}, {at}
              %v0 = transformer.kv_update %vc, %vb at %z : {cache}, {rows}, {at}
              %qr = transformer.rope %q at %p{operand} {{{rope}}} : {q}, {at}{ty}
              %kr = transformer.rope %k at %p{operand} {{{rope}}} : {row}, {at}{ty}
              %kn = transformer.kv_update %k0, %kr at %p{operand} : {cache}, {row}, {at}{ty}
              %vn = transformer.kv_update %v0, %v at %p{operand} : {cache}, {row}, {at}{ty}
              ml_program.global_store @keys$ = %kn : {cache}
              ml_program.global_store @values$ = %vn : {cache}
              %y = transformer.attention %qr, %kn, %vn at %p{operand} {{{attributes}}} : {q}, {cache}, {cache}, {at}{ty}
              return %y : {q}
            }}"
        );
        let name = format!("step, {heads}/{kv_heads} of {depth} {element} {rope} {attributes} lengths {lengths}");
        let capacity = [2, 1100, kv_heads, depth];
        let mut case = Case::new(name, function).state("keys", &cache, &capacity).state("values", &cache, &capacity);
        for (before, positions, real) in [
            (0, [0, 0], [1, 1]),
            (0, [1, 1], [1, 0]),
            (1050, [2, 1], [1, 1]),
            (0, [63, 128], [0, 1]),
            (0, [129, 600], [1, 1]),
            (0, [1050, 1099], [1, 1]),
        ] {
            let integers: [&[i32]; 3] = [&[0, 0], &positions, &real];
            case = case.call(&[before, before], &integers[..2 + usize::from(lengths)]);
        }
        cases.push(case);
    }
    Suite::new(cases).check();
}

/// Integers times their scales equal the values of a float cache, so the layout changes no bit of a result. Rows that
/// the function also returns are quantised by a separate kernel, and their caches keep floats.
#[test]
fn a_cache_of_8_bits_gives_the_bits_of_one_of_floats() {
    let (q, k, cache) = ("tensor<2x?x6x64xf32>", "tensor<2x?x2x64xf32>", "tensor<2x300x2x64xf32>");
    let suite = |also: &str, types: &str| {
        let function = format!(
            "(%q: {q}, %k: {k}, %v: {k}, %p: tensor<2xi32>) -> ({q}{types}) {{
              %kc = ml_program.global_load @keys$ : {cache}
              %vc = ml_program.global_load @values$ : {cache}
              %kr = transformer.quantize %k : {k}
              %vr = transformer.quantize %v : {k}
              %kn = transformer.kv_update %kc, %kr at %p : {cache}, {k}, tensor<2xi32>
              %vn = transformer.kv_update %vc, %vr at %p : {cache}, {k}, tensor<2xi32>
              ml_program.global_store @keys$ = %kn : {cache}
              ml_program.global_store @values$ = %vn : {cache}
              %y = transformer.attention %q, %kn, %vn at %p {{causal}} : {q}, {cache}, {cache}, tensor<2xi32>
              return %y{also} : {q}{types}
            }}"
        );
        let dims = [2, 300, 2, 64];
        let case = Case::new("rounded", function).state("keys", cache, &dims).state("values", cache, &dims);
        let calls = [(270, [0, 3]), (1, [270, 273]), (17, [271, 250])];
        let call = |case: Case, (rows, positions): (usize, [i32; 2])| case.call(&[rows; 3], &[&positions]);
        Suite::new([calls.into_iter().fold(case, call)])
    };
    let (int8, floats) = (suite("", ""), suite(", %kr, %vr", &format!(", {k}, {k}")));
    let inputs = int8.inputs();
    for isa in isas() {
        let run = |suite: &Suite, layouts: [Layout; 2], fuse| {
            let compiled = suite.compile(isa, fuse);
            assert_eq!(compiled.program.globals.iter().map(|g| g.layout).collect::<Vec<_>>(), layouts, "{isa}");
            let mut outcome = suite.run(&compiled, 2, &inputs).remove(0);
            outcome.results.iter_mut().for_each(|results| results.truncate(1));
            outcome
        };
        let expected = run(&floats, [Layout::Keys16, Layout::HeadMajor], Fusions::ALL);
        for fuse in [Fusions::ALL, Fusions::NONE] {
            let actual = run(&int8, [Layout::Keys16Int8, Layout::HeadMajorInt8], fuse);
            assert!(same_bytes(&actual, &expected), "{isa}, fused {fuse}");
        }
    }
}

#[test]
fn updates_alone_keep_the_callers_order() {
    let mut cases = vec![];
    for (i, element) in ELEMENTS.into_iter().enumerate() {
        let (cache, k) = (format!("tensor<2x?x3x5x{element}>"), format!("tensor<2x?x3x5x{element}>"));
        let function = format!(
            "(%c: {cache}, %k: {k}, %p: tensor<2xi32>, %l: tensor<2xi32>) -> {cache} {{
              %n = transformer.kv_update %c, %k at %p lengths %l : {cache}, {k}, tensor<2xi32>, tensor<2xi32>
              return %n : {cache}
            }}"
        );
        let case = Case::new(format!("kv_update {element}"), function).slack(0.0);
        cases.push(
            case.call(&[20, 3], &[&[17, 0], &[3, 2]])
                .call(&[5, 0], &[&[5, 0], &[0, 0]])
                .call(&[1, 1], &[&[0, 1], &[1, 0]]),
        );
        // The capacity of a state is known when it is created.
        let function = format!(
            "(%k: {k}, %p: tensor<2xi32>) -> {k} {{
              %c = ml_program.global_load @cache$ : {cache}
              %n = transformer.kv_update %c, %k at %p : {cache}, {k}, tensor<2xi32>
              ml_program.global_store @cache$ = %n : {cache}
              return %k : {k}
            }}"
        );
        let case = Case::new(format!("kv_update of a state {element}"), function).slack(0.0);
        cases.push(case.state("cache", &cache, &[2, 19 + i, 3, 5]).call(&[3], &[&[0, 16]]).call(&[17], &[&[2, 0]]));
    }
    Suite::new(cases).check();
}
