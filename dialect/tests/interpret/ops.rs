//! Each op once.

use super::*;

#[test]
fn linear_by_hand() {
    check(
        &["tensor<?x2xf32>", "tensor<3x2xf32>", "tensor<3xf32>"],
        "%r = transformer.linear %a0, %a1 bias %a2 : tensor<?x2xf32>, tensor<3x2xf32>, tensor<3xf32> -> tensor<?x3xf32>",
        "tensor<?x3xf32>",
        &[&f32s(&[1, 2], &[1., 2.]), &f32s(&[3, 2], &[1., 0., 0., 1., 1., 1.]), &f32s(&[3], &[10., 20., 30.])],
        &f32s(&[1, 3], &[11., 22., 33.]),
    );
}

#[test]
fn linear_with_blocks() {
    let (x, w) = (uniform(1, &[2, 64], Element::F16), uniform(2, &[5, 64], Q4_1));
    check(
        &["tensor<2x64xf16>", "!transformer.quant<q4_1, 5x64>"],
        "%r = transformer.linear %a0, %a1 : tensor<2x64xf16>, !transformer.quant<q4_1, 5x64> -> tensor<2x5xf16>",
        "tensor<2x5xf16>",
        &[&x, &w],
        &linear(&x, &w, None).unwrap(),
    );
}

#[test]
fn embedding_in_the_results_element() {
    let (ids, table) = (i32s(&[1, 3], &[2, 0, 2]), uniform(1, &[3, 32], Q4_1));
    check(
        &["tensor<1x?xi32>", "!transformer.quant<q4_1, 3x32>"],
        "%r = transformer.embedding %a0, %a1 : tensor<1x?xi32>, !transformer.quant<q4_1, 3x32> -> tensor<1x?x32xbf16>",
        "tensor<1x?x32xbf16>",
        &[&ids, &table],
        &embedding(&ids, &table, Element::BF16).unwrap(),
    );
}

#[test]
fn matmul_flags() {
    let (a, b) = (uniform(1, &[2, 3, 3], Element::F32), uniform(2, &[2, 3, 3], Element::F32));
    for (flags, ta, tb) in [("", false, false), ("{transpose_a}", true, false), ("{transpose_b}", false, true)] {
        let ty = "tensor<2x3x3xf32>";
        let body = format!("%r = transformer.matmul %a0, %a1 {flags} : {ty}, {ty} -> {ty}");
        check(&[ty, ty], &body, ty, &[&a, &b], &matmul(&a, &b, ta, tb).unwrap());
    }
}

#[test]
fn norms_and_activations() {
    let (x, y) = (uniform(1, &[2, 4], Element::F32), uniform(2, &[2, 4], Element::F32));
    let (g, b) = (uniform(3, &[4], Element::F32), uniform(4, &[4], Element::F32));
    let types = ["tensor<?x4xf32>", "tensor<?x4xf32>", "tensor<4xf32>", "tensor<4xf32>"];
    let eps = "{eps = 5.0e-1 : f32}";
    for (op, operands, expected) in [
        (format!("rms_norm %a0, %a2 {eps}"), 2, rms_norm(&x, &g, 0.5)),
        (format!("layer_norm %a0, %a2 {eps}"), 2, layer_norm(&x, &g, None, 0.5)),
        (format!("layer_norm %a0, %a2, %a3 {eps}"), 3, layer_norm(&x, &g, Some(&b), 0.5)),
        ("softmax %a0".into(), 1, softmax(&x)),
        ("gelu %a0".into(), 1, gelu(&x, Approximate::None)),
        ("gelu %a0 {approximate = \"tanh\"}".into(), 1, gelu(&x, Approximate::Tanh)),
        ("silu %a0".into(), 1, silu(&x)),
        ("scale %a0 {factor = -1.2e1 : f32}".into(), 1, scale(&x, -12.0)),
        ("softcap %a0 {cap = 2.0 : f32}".into(), 1, softcap(&x, 2.0)),
        ("swiglu %a0, %a1".into(), 1, swiglu(&x, &y)),
    ] {
        let vectors = ", tensor<4xf32>".repeat(operands - 1);
        let body = format!("%r = transformer.{op} : tensor<?x4xf32>{vectors}");
        check(&types, &body, "tensor<?x4xf32>", &[&x, &y, &g, &b], &expected.unwrap());
    }
}

#[test]
fn softmax_by_hand() {
    check(
        &["tensor<2xf32>"],
        "%r = transformer.softmax %a0 : tensor<2xf32>",
        "tensor<2xf32>",
        &[&f32s(&[2], &[0.0, 3f32.ln()])],
        &f32s(&[2], &[0.25, 0.75]),
    );
}

#[test]
fn top_k_gives_values_and_indices() {
    let x = f32s(&[2, 3], &[1.0, 3.0, 2.0, 5.0, 4.0, 5.0]);
    let (values, indices) = (f32s(&[2, 2], &[3.0, 2.0, 5.0, 5.0]), i32s(&[2, 2], &[1, 2, 0, 2]));
    for (result, ty, expected) in [("%v", "tensor<?x2xf32>", values), ("%i", "tensor<?x2xi32>", indices)] {
        let text = format!(
            "func.func @main(%x: tensor<?x3xf32>) -> {ty} {{
              %v, %i = transformer.top_k %x : tensor<?x3xf32> -> tensor<?x2xf32>, tensor<?x2xi32>
              return {result} : {ty}
            }}"
        );
        assert_eq!(run(&text, &[&x]).unwrap(), [expected]);
    }
}

#[test]
fn rope_with_all_arguments() {
    let (x, positions, lengths) = (uniform(1, &[2, 3, 1, 4], Element::F32), i32s(&[2], &[5, 0]), i32s(&[2], &[2, 3]));
    let attributes = |mode, freq_divisors| RopeAttributes { mode, base: 100.0, freq_divisors, dims: None, scale: None };
    let types = ["tensor<2x?x1x4xf32>", "tensor<2xi32>", "tensor<2xi32>"];
    check(
        &types,
        "%r = transformer.rope %a0 at %a1 lengths %a2
            {mode = \"half\", base = 100.0 : f32, freq_divisors = array<f32: 1.0, 8.0>}
            : tensor<2x?x1x4xf32>, tensor<2xi32>, tensor<2xi32>",
        "tensor<2x?x1x4xf32>",
        &[&x, &positions, &lengths],
        &rope(&x, &positions, Some(&lengths), &attributes(RopeMode::Half, Some(vec![1.0, 8.0]))).unwrap(),
    );
    check(
        &types,
        "%r = transformer.rope %a0 at %a1 {mode = \"interleaved\", base = 100.0 : f32} : tensor<2x?x1x4xf32>, tensor<2xi32>",
        "tensor<2x?x1x4xf32>",
        &[&x, &positions, &lengths],
        &rope(&x, &positions, None, &attributes(RopeMode::Interleaved, None)).unwrap(),
    );
}

#[test]
fn attention_finds_its_optional_operands() {
    let (q, k, v) = (
        uniform(1, &[1, 2, 2, 4], Element::F32),
        uniform(2, &[3, 2, 1, 4], Element::F32),
        uniform(3, &[3, 2, 1, 4], Element::F32),
    );
    let (positions, lengths, table) = (i32s(&[1], &[2]), i32s(&[1], &[1]), i32s(&[1, 2], &[2, 0]));
    let (qt, kt) = ("tensor<1x?x2x4xf32>", "tensor<3x2x1x4xf32>");
    let types = [qt, kt, kt, "tensor<1xi32>", "tensor<1xi32>", "tensor<1x2xi32>"];
    let attributes = AttentionAttributes { causal: true, scale: Some(2.0), window: Some(3), softcap: Some(0.5) };
    // In MLIR's generic form, which has no need of lengths to tell a block table from them.
    for (lengths_given, operands, ty, segments) in [
        (
            Some(&lengths),
            "%a0, %a1, %a2, %a3, %a4, %a5",
            "tensor<1xi32>, tensor<1xi32>, tensor<1x2xi32>",
            "1, 1, 1, 1, 1, 1",
        ),
        (None, "%a0, %a1, %a2, %a3, %a5", "tensor<1xi32>, tensor<1x2xi32>", "1, 1, 1, 1, 0, 1"),
    ] {
        let sequences = Sequences { positions: Some(&positions), lengths: lengths_given, block_table: Some(&table) };
        let body = format!(
            "%r = \"transformer.attention\"({operands}) <{{causal, scale = 2.0 : f32, window = 3 : i64,
                softcap = 5.0e-1 : f32, operandSegmentSizes = array<i32: {segments}>}}> : ({qt}, {kt}, {kt}, {ty}) -> {qt}"
        );
        let expected = attention(&q, &k, &v, &sequences, &attributes).unwrap();
        check(&types, &body, qt, &[&q, &k, &v, &positions, &lengths, &table], &expected);
    }
    let kt = "tensor<1x?x1x4xf32>";
    let (k, v) = (uniform(2, &[1, 5, 1, 4], Element::F32), uniform(3, &[1, 5, 1, 4], Element::F32));
    check(
        &[qt, kt, kt],
        &format!("%r = transformer.attention %a0, %a1, %a2 : {qt}, {kt}, {kt}"),
        qt,
        &[&q, &k, &v],
        &attention(&q, &k, &v, &Sequences::default(), &AttentionAttributes::default()).unwrap(),
    );
}

#[test]
fn kv_update_finds_its_optional_operands() {
    let (cache, new) = (uniform(1, &[2, 4, 1, 2], Element::F32), uniform(2, &[2, 2, 1, 2], Element::F32));
    let (positions, lengths) = (i32s(&[2], &[1, 2]), i32s(&[2], &[2, 0]));
    let (ct, nt) = ("tensor<2x4x1x2xf32>", "tensor<2x?x1x2xf32>");
    let sequences = Sequences { positions: Some(&positions), lengths: Some(&lengths), block_table: None };
    check(
        &[ct, nt, "tensor<2xi32>", "tensor<2xi32>"],
        &format!("%r = transformer.kv_update %a0, %a1 at %a2 lengths %a3 : {ct}, {nt}, tensor<2xi32>, tensor<2xi32>"),
        ct,
        &[&cache, &new, &positions, &lengths],
        &kv_update(&cache, &new, &sequences).unwrap(),
    );
    let table = i32s(&[2, 1], &[1, 0]);
    let sequences = Sequences { positions: Some(&positions), lengths: None, block_table: Some(&table) };
    check(
        &[ct, nt, "tensor<2xi32>", "tensor<2x1xi32>"],
        &format!(
            "%r = \"transformer.kv_update\"(%a0, %a1, %a2, %a3) <{{operandSegmentSizes = array<i32: 1, 1, 1, 0, 1>}}>
                : ({ct}, {nt}, tensor<2xi32>, tensor<2x1xi32>) -> {ct}"
        ),
        ct,
        &[&cache, &new, &positions, &table],
        &kv_update(&cache, &new, &sequences).unwrap(),
    );
}

#[test]
fn mlp_with_both_activations() {
    let x = uniform(1, &[3, 4], Element::F32);
    let (gate, up, down) =
        (uniform(2, &[6, 4], Element::F32), uniform(3, &[6, 4], Element::F32), uniform(4, &[4, 6], Element::F32));
    let types = ["tensor<?x4xf32>", "tensor<6x4xf32>", "tensor<6x4xf32>", "tensor<4x6xf32>"];
    for (attribute, activation) in [("", Activation::Silu), ("{activation = \"gelu\"}", Activation::Gelu)] {
        let body = format!("%r = transformer.mlp %a0, %a1, %a2, %a3 {attribute} : {}", types.join(", "));
        let expected = mlp(&x, &gate, &up, &down, activation).unwrap();
        check(&types, &body, types[0], &[&x, &gate, &up, &down], &expected);
    }
}

#[test]
fn decoder_block_with_all_arguments() {
    block(4, false);
    block(32, true);
}

/// A block of two heads of `depth`, whose keys and values may be rounded.
fn block(depth: usize, quantize_kv: bool) {
    let f = |seed, shape: &[usize]| uniform(seed, shape, Element::F32);
    let tensors = [
        f(1, &[2, 3, 8]),
        f(2, &[8]),
        f(3, &[2 * depth, 8]),
        f(4, &[depth, 8]),
        f(5, &[depth, 8]),
        f(6, &[8, 2 * depth]),
        f(7, &[8]),
        f(8, &[12, 8]),
        f(9, &[12, 8]),
        f(10, &[8, 12]),
        f(11, &[2, 6, 1, depth]),
        f(12, &[2, 6, 1, depth]),
        i32s(&[2], &[3, 0]),
        i32s(&[2], &[1, 3]),
    ];
    let types: Vec<String> = tensors.iter().map(Tensor::type_name).collect();
    let arguments: Vec<String> = types.iter().enumerate().map(|(i, ty)| format!("%a{i}: {ty}")).collect();
    let divisors: Vec<f32> = (1..=depth / 2).map(|i| i as f32).collect();
    let quantize = if quantize_kv { ", quantize_kv" } else { "" };
    let text = format!(
        "func.func @main({}) -> ({x}, {c}, {c}) {{
          %r:3 = transformer.decoder_block %a0 attn(%a1, %a2, %a3, %a4, %a5) mlp(%a6, %a7, %a8, %a9) cache(%a10, %a11)
            at %a12 lengths %a13 {{heads = 2 : i64, kv_heads = 1 : i64, eps = 1.0e-3 : f32, rope_mode = \"half\",
              rope_base = 10.0 : f32, rope_freq_divisors = array<f32: {}>, window = 2 : i64, activation = \"gelu\"{quantize}}}
            : {x} attn({}) mlp({}) cache({c}, {c}) at tensor<2xi32> lengths tensor<2xi32>
          return %r#0, %r#1, %r#2 : {x}, {c}, {c}
        }}",
        arguments.join(", "),
        divisors.iter().map(|d| format!("{d:.1}")).collect::<Vec<_>>().join(", "),
        types[1..6].join(", "),
        types[6..10].join(", "),
        x = types[0],
        c = types[10],
    );
    let [input, attn_norm, wq, wk, wv, wo, mlp_norm, gate, up, down, k_cache, v_cache, positions, lengths] = &tensors;
    let operands = DecoderBlock {
        input,
        attn_norm,
        wq,
        wk,
        wv,
        wo,
        mlp_norm,
        gate,
        up,
        down,
        k_cache,
        v_cache,
        positions,
        lengths: Some(lengths),
    };
    let rope =
        RopeAttributes { mode: RopeMode::Half, base: 10.0, freq_divisors: Some(divisors), dims: None, scale: None };
    let activation = Activation::Gelu;
    let attributes =
        DecoderBlockAttributes { heads: 2, kv_heads: 1, eps: 1.0e-3, rope, window: Some(2), activation, quantize_kv };
    let (y, k, v) = decoder_block(&operands, &attributes).unwrap();
    assert_eq!(run(&text, &tensors.iter().collect::<Vec<_>>()).unwrap(), [y, k, v]);
}

#[test]
fn constants() {
    let half = |values: &[f32]| Tensor::from_f32([values.len()], Element::F16, values.to_vec()).unwrap();
    let brain = |values: &[f32]| Tensor::from_f32([values.len()], Element::BF16, values.to_vec()).unwrap();
    let long = |values: &[i64]| Tensor::from_i64([values.len()], Element::I64, values.to_vec()).unwrap();
    for (value, ty, expected) in [
        ("dense<1.5>", "tensor<2x2xf32>", f32s(&[2, 2], &[1.5; 4])),
        ("dense<[[1.0, -2.0]]>", "tensor<1x2xf32>", f32s(&[1, 2], &[1.0, -2.0])),
        ("dense<0.5>", "tensor<2xf16>", half(&[0.5, 0.5])),
        ("dense<[0.5, -3.0]>", "tensor<2xf16>", half(&[0.5, -3.0])),
        ("dense<[0.5, -3.0]>", "tensor<2xbf16>", brain(&[0.5, -3.0])),
        ("dense<[-1, 7]>", "tensor<2xi32>", i32s(&[2], &[-1, 7])),
        ("dense<-1>", "tensor<2xi64>", long(&[-1, -1])),
        ("dense<[4, 5]>", "tensor<2xindex>", long(&[4, 5])),
        ("dense<true>", "tensor<3xi1>", bools(&[3], &[1, 1, 1])),
        ("dense<[true, false, true]>", "tensor<3xi1>", bools(&[3], &[1, 0, 1])),
        ("dense<>", "tensor<0x2xf32>", f32s(&[0, 2], &[])),
        ("dense<3.0>", "tensor<f32>", f32s(&[], &[3.0])),
        ("2.5 : f32", "f32", f32s(&[], &[2.5])),
        ("-3 : i32", "i32", i32s(&[], &[-3])),
        ("3 : index", "index", index(3)),
        ("true", "i1", bools(&[], &[1])),
    ] {
        let typed = if value.starts_with("dense") { format!("{value} : {ty}") } else { value.to_owned() };
        check(&[], &format!("%r = arith.constant {typed}"), ty, &[], &expected);
    }
}

#[test]
fn elementwise_ops() {
    let (a, b) = (f32s(&[2], &[1.0, -2.0]), f32s(&[2], &[0.5, 4.0]));
    let t = "tensor<2xf32>";
    for (op, expected) in [("arith.addf", [1.5, 2.0]), ("arith.mulf", [0.5, -8.0]), ("math.powf", [1.0, 16.0])] {
        check(&[t, t], &format!("%r = {op} %a0, %a1 : {t}"), t, &[&a, &b], &f32s(&[2], &expected));
    }
    let cast = "%r = arith.truncf %a0 : tensor<2xf32> to tensor<2xf16>";
    let narrow = elementwise::cast("truncf", &a, Element::F16).unwrap();
    check(&[t], cast, "tensor<2xf16>", &[&a], &narrow);
    check(&[t, t], "%r = arith.cmpf ogt, %a0, %a1 : tensor<2xf32>", "tensor<2xi1>", &[&a, &b], &bools(&[2], &[1, 0]));
    let always = "%r = arith.cmpf true, %a0, %a1 : tensor<2xf32>";
    check(&[t, t], always, "tensor<2xi1>", &[&a, &b], &bools(&[2], &[1, 1]));
    let each =
        "%c = arith.cmpf olt, %a0, %a1 : tensor<2xf32>\n%r = arith.select %c, %a0, %a1 : tensor<2xi1>, tensor<2xf32>";
    check(&[t, t], each, t, &[&a, &b], &f32s(&[2], &[0.5, -2.0]));
    for (condition, chosen) in [("true", &a), ("false", &b)] {
        let whole = format!("%c = arith.constant {condition}\n%r = arith.select %c, %a0, %a1 : {t}");
        check(&[t, t], &whole, t, &[&a, &b], chosen);
    }
    let index_arithmetic = "%0 = arith.addi %a0, %a1 : index
        %1 = arith.divsi %0, %a1 : index
        %2 = arith.cmpi sge, %1, %a1 : index
        %r = arith.select %2, %1, %a1 : index";
    check(&["index", "index"], index_arithmetic, "index", &[&index(7), &index(2)], &index(4));
}

#[test]
fn shape_ops() {
    let x = f32s(&[2, 3], &[0., 1., 2., 3., 4., 5.]);
    let one = "%one = arith.constant 1 : index\n";
    let t = "tensor<?x?xf32>";
    check(&[t], &format!("{one}%r = tensor.dim %a0, %one : {t}"), "index", &[&x], &index(3));
    let grown = f32s(&[2, 1, 3], &x.to_f32());
    let expand = "%zero = arith.constant 0 : index
        %d = tensor.dim %a0, %zero : tensor<?x3xf32>
        %r = tensor.expand_shape %a0 [[0, 1], [2]] output_shape [%d, 1, 3] : tensor<?x3xf32> into tensor<?x1x3xf32>";
    check(&["tensor<?x3xf32>"], expand, "tensor<?x1x3xf32>", &[&x], &grown);
    let collapse = "%r = tensor.collapse_shape %a0 [[0, 1], [2]] : tensor<?x1x3xf32> into tensor<?x3xf32>";
    check(&["tensor<?x1x3xf32>"], collapse, "tensor<?x3xf32>", &[&grown], &x);
    let scalar = "%r = tensor.collapse_shape %a0 [] : tensor<1x1xf32> into tensor<f32>";
    check(&["tensor<1x1xf32>"], scalar, "tensor<f32>", &[&f32s(&[1, 1], &[4.0])], &f32s(&[], &[4.0]));
    check(&[t], "%r = tensor.cast %a0 : tensor<?x?xf32> to tensor<2x?xf32>", "tensor<2x?xf32>", &[&x], &x);
    let empty = format!("{one}%r = tensor.empty(%one) : tensor<?x2xf16>");
    let zeros = Tensor::zeros([1, 2], Element::F16).unwrap();
    check(&[], &empty, "tensor<?x2xf16>", &[], &zeros);
    let splat = "%c = arith.constant 2.0 : f32\n%r = tensor.splat %c : tensor<2xf32>";
    check(&[], splat, "tensor<2xf32>", &[], &f32s(&[2], &[2.0, 2.0]));
}

#[test]
fn transposes() {
    let transpose = |from: &str, to: &str, permutation: &str| {
        format!(
            "%e = tensor.empty() : {to}
            %r = linalg.transpose ins(%a0 : {from}) outs(%e : {to}) permutation = {permutation}"
        )
    };
    let x = f32s(&[1, 2, 3], &[0., 1., 2., 3., 4., 5.]);
    let (from, to) = ("tensor<1x2x3xf32>", "tensor<3x1x2xf32>");
    let expected = f32s(&[3, 1, 2], &[0., 3., 1., 4., 2., 5.]);
    check(&[from], &transpose(from, to, "[2, 0, 1]"), to, &[&x], &expected);
    let (from, to) = ("tensor<0x2xi32>", "tensor<2x0xi32>");
    check(&[from], &transpose(from, to, "[1, 0]"), to, &[&i32s(&[0, 2], &[])], &i32s(&[2, 0], &[]));
}
