//! Compares every fused kernel with the reference, and with separate kernels per op.

use crate::text::{tensor, weight};
use kforge_test::run::{Case, Suite};

const ROWS: [usize; 5] = [1, 3, 33, 127, 0];

/// Calls for `rows`, where `?` is dynamic, of a function with `dynamic` tensors of that many rows.
fn calls(case: Case, rows: &str, dynamic: usize) -> Case {
    if rows == "?" { ROWS.iter().fold(case, |case, r| case.sizes(&vec![*r; dynamic])) } else { case.sizes(&[]) }
}

/// A linear layer and `ops` applied to its result `%y` of type `$y`; `%r` is another operand of that type.
fn epilogue(rows: &str, element: &str, stored: &str, ops: &str) -> Case {
    let (n, k) = (33, 64);
    let (x, w, y) = (tensor(rows, k, element), weight(n, k, stored), tensor(rows, n, element));
    let body = ops.replace("$y", &y);
    let bias = format!("tensor<{n}xf32>");
    let case = Case::new(
        format!("linear {rows} {element} {stored}: {ops}"),
        format!(
            "(%x: {x}, %w: {w}, %b: {bias}, %r: {y}) -> {y} {{
              %y = transformer.linear %x, %w bias %b : {x}, {w}, {bias} -> {y}
              {body}
              return %z : {y}
            }}"
        ),
    );
    calls(case, rows, 2)
}

const EPILOGUES: [&str; 10] = [
    "%z = arith.addf %y, %r : $y",
    "%z = arith.addf %r, %y : $y",
    "%z = arith.mulf %y, %r : $y",
    "%z = transformer.silu %y : $y",
    "%z = transformer.gelu %y : $y",
    "%s = transformer.scale %y {factor = 3.0e-1 : f32} : $y\n %z = transformer.softcap %s {cap = 2.0 : f32} : $y",
    "%z = transformer.gelu %y {approximate = \"tanh\"} : $y",
    "%z = transformer.swiglu %y, %r : $y",
    "%s = transformer.silu %y : $y\n %t = arith.mulf %s, %r : $y\n %z = arith.addf %t, %r : $y",
    "%s = arith.subf %r, %y : $y\n %t = arith.maximumf %s, %r : $y\n %z = arith.negf %t : $y",
];

fn epilogues(element: &str) -> Vec<Case> {
    let stored = ["f32", "q4_1", "f16", "q8_0", "bf16", "q5_0"];
    let case = |(i, ops): (usize, &&str)| {
        let rows = ["?", "3", "?", "1"][i % 4];
        epilogue(rows, element, stored[i % stored.len()], ops)
    };
    EPILOGUES.iter().enumerate().map(case).collect()
}

/// Linear layers that share an input, which may be normalised: Q, K and V, each with its own width and type.
fn siblings(rows: &str, norm: &str, weights: &[(usize, &str)]) -> Case {
    let k = 64;
    let (x, vector) = (tensor(rows, k, "f32"), format!("tensor<{k}xf32>"));
    let (mut parameters, mut body, mut names, mut types) = (String::new(), String::new(), vec![], vec![]);
    for (i, (n, stored)) in weights.iter().enumerate() {
        let (w, y) = (weight(*n, k, stored), tensor(rows, *n, "f32"));
        parameters += &format!(", %w{i}: {w}");
        body += &format!("%y{i} = transformer.linear %n, %w{i} : {x}, {w} -> {y}\n");
        names.push(format!("%y{i}"));
        types.push(y);
    }
    let norm = match norm {
        "rms_norm" => format!("transformer.rms_norm %x, %g {{eps = 1.0e-5 : f32}} : {x}, {vector}"),
        _ => format!("transformer.layer_norm %x, %g, %g {{eps = 1.0e-5 : f32}} : {x}, {vector}, {vector}"),
    };
    let (names, types) = (names.join(", "), types.join(", "));
    let case = Case::new(
        format!("{rows} rows of {norm}, linear {weights:?}"),
        format!(
            "(%x: {x}, %g: {vector}{parameters}) -> ({types}) {{\n %n = {norm}\n {body} return {names} : {types}\n}}"
        ),
    );
    calls(case, rows, 1)
}

/// Gate and up projections with activation, and the down projection.
fn mlp(rows: &str, activation: &str, element: &str, stored: &str) -> Case {
    let (k, n) = (64, 96);
    let (x, wide, narrow) = (tensor(rows, k, element), weight(n, k, stored), weight(k, n, stored));
    let case = Case::new(
        format!("mlp {rows} {activation} {element} {stored}"),
        format!(
            "(%x: {x}, %g: {wide}, %u: {wide}, %d: {narrow}) -> {x} {{
              %y = transformer.mlp %x, %g, %u, %d {{activation = \"{activation}\"}} : {x}, {wide}, {wide}, {narrow}
              return %y : {x}
            }}"
        ),
    );
    calls(case, rows, 1)
}

fn shared_inputs() -> Vec<Case> {
    vec![
        siblings("1", "rms_norm", &[(48, "q4_1"), (17, "q8_0"), (33, "f16")]),
        siblings("3", "layer_norm", &[(33, "f32"), (1, "q5_1")]),
        siblings("?", "rms_norm", &[(48, "q4_0"), (17, "f32"), (33, "bf16")]),
        siblings("8", "rms_norm", &[(31, "q4_1")]),
        mlp("1", "silu", "f32", "q4_1"),
        mlp("?", "silu", "f32", "q5_1"),
        mlp("?", "gelu", "f32", "f32"),
        mlp("3", "gelu", "f32", "q8_0"),
    ]
}

/// Gate and up projections of a row of `k` elements, with or without a norm, and a residual.
fn deep(rows: &str, k: usize, stored: &str, norm: bool) -> Case {
    let n = 19;
    let (x, w, y, vector) =
        (tensor(rows, k, "f32"), weight(n, k, stored), tensor(rows, n, "f32"), format!("tensor<{k}xf32>"));
    let norm = match norm {
        true => format!("%n = transformer.layer_norm %x, %s, %s {{eps = 1.0e-5 : f32}} : {x}, {vector}, {vector}"),
        false => format!("%n = arith.addf %x, %x : {x}"),
    };
    let case = Case::new(
        format!("gate and up of {rows} x {k}, {stored}, {norm}"),
        format!(
            "(%x: {x}, %s: {vector}, %g: {w}, %u: {w}, %r: {y}) -> {y} {{
              {norm}
              %a = transformer.linear %n, %g : {x}, {w} -> {y}
              %b = transformer.linear %n, %u : {x}, {w} -> {y}
              %c = transformer.swiglu %a, %b : {y}
              %y = arith.addf %c, %r : {y}
              return %y : {y}
            }}"
        ),
    );
    case.sizes(&[])
}

/// Few steps per thread, the last one not for all threads; many steps; and eight rows of two weights, whose sums fill
/// workgroup memory.
#[test]
fn layers_of_any_depth() {
    let one = [
        (96, "q4_1", true),
        (576, "q4_0", true),
        (576, "q4_0", false),
        (600, "f32", true),
        (1536, "q8_0", false),
        (1040, "f16", true),
        (2304, "q4_k", true),
    ];
    let one = one.into_iter().map(|(k, stored, norm)| deep("1", k, stored, norm));
    let eight = [deep("8", 1040, "f16", true), deep("8", 1024, "q4_1", true), deep("3", 1041, "f32", true)];
    Suite::new(one.chain(eight)).check();
}

#[test]
fn epilogues_of_linear_layers() {
    Suite::new(epilogues("f32")).check_fusion();
}

/// A norm and quantisation in one kernel, a gated pair of integer products, a value read as floats and as integers.
#[test]
fn layers_of_integers() {
    let (x, y, g, f) = ("tensor<?x64xf32>", "tensor<?x96xf32>", "tensor<64xf32>", "tensor<96x64xf32>");
    let (w, v) = (weight(96, 64, "q4_1"), weight(96, 64, "q5_0"));
    let gated = format!(
        "(%x: {x}, %g: {g}, %w: {w}, %v: {v}) -> {y} {{
          %n = transformer.rms_norm %x, %g {{eps = 1.0e-5 : f32}} : {x}, {g}
          %q = transformer.quantize %n : {x}
          %a = transformer.linear %q, %w : {x}, {w} -> {y}
          %b = transformer.linear %q, %v : {x}, {v} -> {y}
          %y = transformer.swiglu %a, %b : {y}
          return %y : {y}
        }}"
    );
    let both = format!(
        "(%x: {x}, %w: {w}, %f: {f}) -> ({y}, {y}) {{
          %q = transformer.quantize %x : {x}
          %a = transformer.linear %q, %w : {x}, {w} -> {y}
          %b = transformer.linear %q, %f : {x}, {f} -> {y}
          return %a, %b : {y}, {y}
        }}"
    );
    let cases = [Case::new("norm, quantize, gate and up", gated), Case::new("integers and floats", both)];
    Suite::new(cases.map(|case| case.rows(&[1, 3, 17, 0]))).check();
}

#[test]
fn a_product_by_itself() {
    let (x, y, w) = ("tensor<?x64xf32>", "tensor<?x33xf32>", weight(33, 64, "q4_1"));
    let function = format!(
        "(%x: {x}, %w: {w}) -> {y} {{
          %y = transformer.linear %x, %w : {x}, {w} -> {y}
          %z = arith.mulf %y, %y : {y}
          return %z : {y}
        }}"
    );
    Suite::new([Case::new("linear, squared", function).rows(&[1, 3, 17])]).check_fusion();
}

#[test]
fn epilogues_in_half_precision_round_once() {
    // The reference rounds after each op, the fused kernel only at the end.
    let cases = epilogues("f16").into_iter().step_by(2).chain(epilogues("bf16").into_iter().skip(1).step_by(2));
    Suite::new(cases.map(|case| case.slack(2.0))).check_fusion_within_tolerance();
}

#[test]
fn layers_that_share_an_input() {
    Suite::new(shared_inputs()).check_fusion();
    Suite::new(["q4_0", "q8_0"].map(|format| mlp("?", "silu", "f16", format).slack(2.0))).check();
}

#[test]
fn epilogues_of_matrix_products() {
    let (a, b, c) = ("tensor<2x?x?xf32>", "tensor<2x?x?xf32>", "tensor<2x?x?xf32>");
    let function = format!(
        "(%a: {a}, %b: {b}, %r: {c}) -> {c} {{
          %y = transformer.matmul %a, %b {{transpose_b}} : {a}, {b} -> {c}
          %s = arith.mulf %y, %r : {c}
          %z = transformer.gelu %s : {c}
          return %z : {c}
        }}"
    );
    let case = Case::new("matmul, mulf, gelu", function).sizes(&[3, 17, 33, 17, 3, 33]).sizes(&[1, 1, 1, 1, 1, 1]);
    Suite::new([case]).check_fusion();
}

#[test]
fn epilogues_of_norms() {
    let (x, g) = ("tensor<?x33xf32>", "tensor<33xf32>");
    let cases = [
        ("rms_norm %x, %g {eps = 1.0e-5 : f32}", format!("{x}, {g}")),
        ("layer_norm %x, %g, %g {eps = 1.0e-5 : f32}", format!("{x}, {g}, {g}")),
    ]
    .map(|(norm, types)| {
        let function = format!(
            "(%x: {x}, %g: {g}, %r: {x}) -> {x} {{
              %n = transformer.{norm} : {types}
              %s = transformer.scale %n {{factor = 3.0e-1 : f32}} : {x}
              %z = arith.addf %s, %r : {x}
              return %z : {x}
            }}"
        );
        Case::new(format!("{norm}, scale, addf"), function).sizes(&[1, 1]).sizes(&[17, 17]).sizes(&[0, 0])
    });
    Suite::new(cases).check_fusion();
}

/// Norms of heads before rotations and updates, in one kernel: RMS and layer norms, sizes of heads that no vector divides,
/// lengths, 8 bits.
#[test]
fn norms_of_heads() {
    let norm = |kind: &str, x: &str, g: &str| match kind {
        "rms_norm" => format!("transformer.rms_norm {x}, %g {{eps = 1.0e-5 : f32}} : $x, {g}"),
        _ => format!("transformer.layer_norm {x}, %g, %g {{eps = 1.0e-5 : f32}} : $x, {g}, {g}"),
    };
    let mut cases = vec![];
    for (kind, mode, depth, element) in [
        ("rms_norm", "half", 20, "f32"),
        ("layer_norm", "interleaved", 64, "f32"),
        ("rms_norm", "interleaved", 34, "f16"),
    ] {
        let heads = |count: usize| format!("tensor<2x?x{count}x{depth}x{element}>");
        let (q, k, g) = (heads(4), heads(2), format!("tensor<{depth}x{element}>"));
        let [qn, kn, vn] =
            [("%q", &q), ("%k", &k), ("%v", &k)].map(|(name, ty)| norm(kind, name, &g).replace("$x", ty));
        let at = "at %p lengths %l";
        let types = "tensor<2xi32>, tensor<2xi32>";
        let rope = format!("{{mode = \"{mode}\", base = 1.0e4 : f32}}");
        let function = format!(
            "(%q: {q}, %k: {k}, %v: {k}, %g: {g}, %p: tensor<2xi32>, %l: tensor<2xi32>) -> {q} {{
              %kc = ml_program.global_load @kc$ : {k}
              %vc = ml_program.global_load @vc$ : {k}
              %qn = {qn}
              %kn = {kn}
              %vn = {vn}
              %qr = transformer.rope %qn {at} {rope} : {q}, {types}
              %kr = transformer.rope %kn {at} {rope} : {k}, {types}
              %kcn = transformer.kv_update %kc, %kr {at} : {k}, {k}, {types}
              %vcn = transformer.kv_update %vc, %vn {at} : {k}, {k}, {types}
              ml_program.global_store @kc$ = %kcn : {k}
              ml_program.global_store @vc$ = %vcn : {k}
              %y = transformer.attention %qr, %kcn, %vcn {at} {{causal}} : {q}, {k}, {k}, {types}
              return %y : {q}
            }}"
        );
        let mut case = Case::new(format!("{kind} of heads of {depth} {element}, {mode}"), function).slack(4.0);
        for name in ["kc", "vc"] {
            case = case.state(name, &k, &[2, 40, 2, depth]);
        }
        for (rows, positions, lengths) in [(17, [0, 0], [17, 3]), (1, [17, 3], [1, 1])] {
            case = case.call(&[rows, rows, rows], &[&positions, &lengths]);
        }
        cases.push(case);
    }
    let half = cases.pop();
    Suite::new(cases).check_fusion();
    Suite::new(half).check_fusion_within_tolerance();
}

/// One layer of a decoder; its caches are arguments, or state.
fn decoder_block(rows: &str, state: bool, attributes: &str, formats: [&str; 4], lengths: bool) -> Case {
    let (width, kv, inner) = (64, 32, 96);
    let x = format!("tensor<2x{rows}x{width}xf32>");
    let [q, v, down, norm] = formats;
    let (wq, wk, wv) = (weight(width, width, q), weight(kv, width, q), weight(kv, width, v));
    let (gate, wd, g) = (weight(inner, width, q), weight(width, inner, down), format!("tensor<{width}x{norm}>"));
    let cache = if state { "tensor<2x?x2x16xf32>" } else { "tensor<2x67x2x16xf32>" };
    let (parameter, operand, ty) =
        if lengths { (", %l: tensor<2xi32>", " lengths %l", " lengths tensor<2xi32>") } else { Default::default() };
    let (caches, results, loads, stores, returned) = if state {
        let load = |name: &str| format!("%{name} = ml_program.global_load @{name}$ : {cache}\n");
        let store = |name: &str| format!("ml_program.global_store @{name}$ = %{name}n : {cache}\n");
        (String::new(), x.clone(), load("kc") + &load("vc"), store("kc") + &store("vc"), format!("%y : {x}"))
    } else {
        let caches = format!(", %kc: {cache}, %vc: {cache}");
        (
            caches,
            format!("({x}, {cache}, {cache})"),
            String::new(),
            String::new(),
            format!("%y, %kcn, %vcn : {x}, {cache}, {cache}"),
        )
    };
    let function = format!(
        "(%x: {x}, %g: {g}, %wq: {wq}, %wk: {wk}, %wv: {wv}, %wo: {wq}, %wg: {gate}, %wu: {gate}, %wd: {wd}{caches},
          %p: tensor<2xi32>{parameter}) -> {results} {{
          {loads}
          %y, %kcn, %vcn = transformer.decoder_block %x
            attn(%g, %wq, %wk, %wv, %wo) mlp(%g, %wg, %wu, %wd) cache(%kc, %vc) at %p{operand}
            {{heads = 4 : i64, kv_heads = 2 : i64, eps = 1.0e-5 : f32, rope_base = 1.0e4 : f32, {attributes}}}
            : {x} attn({g}, {wq}, {wk}, {wv}, {wq}) mlp({g}, {gate}, {gate}, {wd}) cache({cache}, {cache}) at tensor<2xi32>{ty}
          {stores}
          return {returned}
        }}"
    );
    let mut case =
        Case::new(format!("decoder_block {rows} state {state} {attributes} {formats:?}"), function).slack(4.0);
    if state {
        case = case.state("kc", cache, &[2, 48, 2, 16]).state("vc", cache, &[2, 48, 2, 16]);
    }
    let steps: &[(usize, [i32; 2], [i32; 2])] = match rows {
        "?" => &[(17, [0, 0], [17, 3]), (1, [17, 3], [1, 1]), (20, [18, 4], [20, 0])],
        _ => &[(1, [0, 0], [1, 1]), (1, [1, 1], [1, 0]), (1, [2, 1], [1, 1])],
    };
    for (count, positions, lengths_of) in steps {
        let integers: [&[i32]; 2] = [positions, lengths_of];
        let sizes: &[usize] = if rows == "?" { &[*count] } else { &[] };
        case = case.call(sizes, &integers[..1 + usize::from(lengths)]);
    }
    case
}

#[test]
fn decoder_blocks() {
    Suite::new([
        decoder_block("?", true, "rope_mode = \"interleaved\"", ["q4_1", "q8_0", "q4_1", "f32"], true),
        decoder_block("1", true, "rope_mode = \"interleaved\"", ["q4_1", "q8_0", "q4_1", "f32"], false),
        decoder_block("?", false, "rope_mode = \"half\", window = 5 : i64", ["f16", "f32", "q5_0", "f16"], false),
        decoder_block("1", false, "rope_mode = \"half\", activation = \"gelu\"", ["q5_1", "q4_0", "bf16", "f32"], true),
    ])
    .check_fusion();
}
