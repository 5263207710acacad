//! The interpreter against numbers by hand and against the reference ops that it must call with the right arguments.

use kforge_dialect::{InterpretError, Interpreter, new_context};
use kforge_quant::BlockFormat;
use kforge_reference::{
    Activation, Approximate, AttentionAttributes, DecoderBlock, DecoderBlockAttributes, Element, RopeAttributes,
    RopeMode, Sequences, Tensor, attention, decoder_block, elementwise, embedding, gelu, kv_update, layer_norm, linear,
    matmul, mlp, random, rms_norm, rope, silu, softmax, swiglu,
};
use melior::{
    Context,
    ir::{Module, operation::OperationLike},
};

const Q4_1: Element = Element::Quant(BlockFormat::Q4_1);

fn parse<'c>(context: &'c Context, text: &str) -> Module<'c> {
    let module = Module::parse(context, text).unwrap_or_else(|| panic!("does not parse:\n{text}"));
    assert!(module.as_operation().verify(), "does not verify:\n{text}");
    module
}

fn run(text: &str, inputs: &[&Tensor]) -> Result<Vec<Tensor>, InterpretError> {
    let context = new_context();
    let module = parse(&context, text);
    Interpreter::new(&module)?.call("main", inputs.iter().map(|&input| input.clone()).collect())
}

fn error(text: &str, inputs: &[&Tensor]) -> String {
    run(text, inputs).unwrap_err().to_string()
}

/// The value `%r` of type `result` that `body` computes from `inputs`, which are `%0`, `%1`, ... of the given types.
fn eval(types: &[&str], body: &str, result: &str, inputs: &[&Tensor]) -> Result<Tensor, InterpretError> {
    let arguments: Vec<String> = types.iter().enumerate().map(|(i, ty)| format!("%a{i}: {ty}")).collect();
    let arguments = arguments.join(", ");
    let text = format!("func.func @main({arguments}) -> {result} {{\n{body}\nreturn %r : {result}\n}}");
    let mut results = run(&text, inputs)?;
    assert_eq!(results.len(), 1);
    Ok(results.remove(0))
}

#[track_caller]
fn check(types: &[&str], body: &str, result: &str, inputs: &[&Tensor], expected: &Tensor) {
    assert_eq!(&eval(types, body, result, inputs).unwrap(), expected);
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::f32(shape, values).unwrap()
}

fn i32s(shape: &[usize], values: &[i32]) -> Tensor {
    Tensor::i32(shape, values).unwrap()
}

fn index(value: i64) -> Tensor {
    Tensor::from_i64([], Element::I64, vec![value]).unwrap()
}

fn bools(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_i64(shape, Element::Bool, values.to_vec()).unwrap()
}

fn uniform(seed: u64, shape: &[usize], element: Element) -> Tensor {
    random::uniform(seed, shape, element).unwrap()
}

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
fn rope_with_all_arguments() {
    let (x, positions, lengths) = (uniform(1, &[2, 3, 1, 4], Element::F32), i32s(&[2], &[5, 0]), i32s(&[2], &[2, 3]));
    let attributes = |mode, freq_divisors| RopeAttributes { mode, base: 100.0, freq_divisors };
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
    for (clause, ty, lengths_given) in [
        ("lengths %a4 blocks %a5", ", tensor<1xi32>, tensor<1x2xi32>", Some(&lengths)),
        ("blocks %a5", ", tensor<1x2xi32>", None),
    ] {
        let attributes = AttentionAttributes { causal: true, scale: Some(2.0), window: Some(3), softcap: Some(0.5) };
        let sequences = Sequences { positions: Some(&positions), lengths: lengths_given, block_table: Some(&table) };
        let body = format!(
            "%r = transformer.attention %a0, %a1, %a2 at %a3 {clause}
                {{causal, scale = 2.0 : f32, window = 3 : i64, softcap = 5.0e-1 : f32}} : {qt}, {kt}, {kt}, tensor<1xi32>{ty}"
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
        &format!("%r = transformer.kv_update %a0, %a1 at %a2 blocks %a3 : {ct}, {nt}, tensor<2xi32>, tensor<2x1xi32>"),
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
    let f = |seed, shape: &[usize]| uniform(seed, shape, Element::F32);
    let tensors = [
        f(1, &[2, 3, 8]),
        f(2, &[8]),
        f(3, &[8, 8]),
        f(4, &[4, 8]),
        f(5, &[4, 8]),
        f(6, &[8, 8]),
        f(7, &[8]),
        f(8, &[12, 8]),
        f(9, &[12, 8]),
        f(10, &[8, 12]),
        f(11, &[2, 6, 1, 4]),
        f(12, &[2, 6, 1, 4]),
        i32s(&[2], &[3, 0]),
        i32s(&[2], &[1, 3]),
    ];
    let types: Vec<String> = tensors.iter().map(Tensor::type_name).collect();
    let arguments: Vec<String> = types.iter().enumerate().map(|(i, ty)| format!("%a{i}: {ty}")).collect();
    let text = format!(
        "func.func @main({}) -> ({x}, {c}, {c}) {{
          %r:3 = transformer.decoder_block %a0 attn(%a1, %a2, %a3, %a4, %a5) mlp(%a6, %a7, %a8, %a9) cache(%a10, %a11)
            at %a12 lengths %a13 {{heads = 2 : i64, kv_heads = 1 : i64, eps = 1.0e-3 : f32, rope_mode = \"half\",
              rope_base = 10.0 : f32, rope_freq_divisors = array<f32: 1.0, 2.0>, window = 2 : i64, activation = \"gelu\"}}
            : {x} attn({}) mlp({}) cache({c}, {c}) at tensor<2xi32> lengths tensor<2xi32>
          return %r#0, %r#1, %r#2 : {x}, {c}, {c}
        }}",
        arguments.join(", "),
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
    let rope = RopeAttributes { mode: RopeMode::Half, base: 10.0, freq_divisors: Some(vec![1.0, 2.0]) };
    let activation = Activation::Gelu;
    let attributes = DecoderBlockAttributes { heads: 2, kv_heads: 1, eps: 1.0e-3, rope, window: Some(2), activation };
    let (y, k, v) = decoder_block(&operands, &attributes).unwrap();
    assert_eq!(run(&text, &tensors.iter().collect::<Vec<_>>()).unwrap(), [y, k, v]);
}

#[test]
fn a_fused_region_is_its_ops() {
    let (x, w) = (uniform(1, &[2, 32], Element::F32), uniform(2, &[4, 32], Q4_1));
    let (xt, wt, yt) = ("tensor<2x32xf32>", "!transformer.quant<q4_1, 4x32>", "tensor<2x4xf32>");
    let ops = format!(
        "%l = transformer.linear %x, %w : {xt}, {wt} -> {yt}
         %s = transformer.silu %l : {yt}
         %m = arith.mulf %s, %l : {yt}"
    );
    let plain = format!("func.func @main(%x: {xt}, %w: {wt}) -> {yt} {{ {ops} return %m : {yt} }}");
    let fused = format!(
        "func.func @main(%p: {xt}, %q: {wt}) -> {yt} {{
          %r:2 = transformer.fused(%x = %p : {xt}, %w = %q : {wt}) -> ({yt}, {yt}) kernel #transformer.kernel<\"gemv\", tile = [32]> {{
            {ops}
            transformer.yield %l, %m : {yt}, {yt}
          }}
          return %r#1 : {yt}
        }}"
    );
    assert_eq!(run(&fused, &[&x, &w]).unwrap(), run(&plain, &[&x, &w]).unwrap());
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
    let expand = format!(
        "%zero = arith.constant 0 : index
        %d = tensor.dim %a0, %zero : tensor<?x3xf32>
        %r = tensor.expand_shape %a0 [[0, 1], [2]] output_shape [%d, 1, 3] : tensor<?x3xf32> into tensor<?x1x3xf32>"
    );
    check(&["tensor<?x3xf32>"], &expand, "tensor<?x1x3xf32>", &[&x], &grown);
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

#[test]
fn globals_keep_their_state() {
    let context = new_context();
    let module = parse(
        &context,
        "ml_program.global private @scale(dense<[1.0, 2.0]> : tensor<2xf32>) : tensor<2xf32>
        ml_program.global private mutable @sum : tensor<2xf32>
        ml_program.global private mutable @log : tensor<?x2xf32>
        ml_program.global private @w(#ml_program.extern<tensor<2xf32>>) : tensor<2xf32>
        ml_program.global private mutable @start(dense<7.0> : tensor<2xf32>) : tensor<?xf32>
        func.func @main(%x: tensor<2xf32>) -> tensor<?x2xf32> {
          %scale = ml_program.global_load_const @scale : tensor<2xf32>
          %w = ml_program.global_load_const @w : tensor<2xf32>
          %old = ml_program.global_load @sum : tensor<2xf32>
          %0 = arith.mulf %x, %scale : tensor<2xf32>
          %1 = arith.mulf %0, %w : tensor<2xf32>
          %2 = arith.addf %old, %1 : tensor<2xf32>
          ml_program.global_store @sum = %2 : tensor<2xf32>
          %log = ml_program.global_load @log : tensor<?x2xf32>
          return %log : tensor<?x2xf32>
        }",
    );
    let mut interpreter = Interpreter::new(&module).unwrap();
    let names: Vec<(String, bool, bool)> =
        interpreter.globals().into_iter().map(|g| (g.name, g.mutable, g.external)).collect();
    let expected = [
        ("scale", false, false),
        ("sum", true, false),
        ("log", true, false),
        ("w", false, true),
        ("start", true, false),
    ];
    assert_eq!(names, expected.map(|(name, mutable, external)| (name.to_owned(), mutable, external)));
    assert_eq!(interpreter.globals()[2].dims, [None, Some(2)]);
    assert_eq!(interpreter.global("start"), Some(&f32s(&[2], &[7.0, 7.0])));
    assert_eq!(interpreter.global("w"), None);

    let x = f32s(&[2], &[1.0, 10.0]);
    let missing = interpreter.call("main", vec![x.clone()]).unwrap_err();
    let text = "-:8:16: error: 'ml_program.global_load_const' op loads @w, which is external and was not set; \
                set it before the call";
    assert_eq!(missing.to_string(), text);
    interpreter.set_global("w", f32s(&[2], &[1.0, 0.5])).unwrap();
    let missing = interpreter.call("main", vec![x.clone()]).unwrap_err();
    let text = "'ml_program.global_load' op loads @log, which is of dynamic shape without an initial value and was not \
                set; set it before the call";
    assert_eq!(missing.message, text);
    assert_eq!(interpreter.global("sum"), Some(&f32s(&[2], &[1.0, 10.0])));
    interpreter.set_global("log", f32s(&[1, 2], &[8.0, 9.0])).unwrap();
    assert_eq!(interpreter.call("main", vec![x]).unwrap(), [f32s(&[1, 2], &[8.0, 9.0])]);
    assert_eq!(interpreter.global("sum"), Some(&f32s(&[2], &[2.0, 20.0])));

    let set = |interpreter: &mut Interpreter, name, value| interpreter.set_global(name, value).unwrap_err().to_string();
    let text = "-:4:9: error: 'ml_program.global' op @w is of tensor<2xf32>, but was set to tensor<3xf32>";
    assert_eq!(set(&mut interpreter, "w", f32s(&[3], &[0.0; 3])), text);
    let text = "'ml_program.global' op @scale is a constant of the module and cannot be set";
    assert!(set(&mut interpreter, "scale", f32s(&[2], &[0.0; 2])).ends_with(text));
    let text = "'builtin.module' op has no global @none";
    assert!(set(&mut interpreter, "none", f32s(&[2], &[0.0; 2])).ends_with(text));
}

#[test]
fn calls() {
    let text = "func.func private @outside(tensor<1xf32>)
        func.func @main(%x: tensor<1xf32>) -> tensor<1xf32> {
          %0 = call @twice(%x) : (tensor<1xf32>) -> tensor<1xf32>
          %1 = call @twice(%0) : (tensor<1xf32>) -> tensor<1xf32>
          return %1 : tensor<1xf32>
        }
        func.func private @twice(%x: tensor<1xf32>) -> tensor<1xf32> {
          %0 = arith.addf %x, %x : tensor<1xf32>
          return %0 : tensor<1xf32>
        }
        func.func @memory(%x: memref<1xf32>) { return }";
    assert_eq!(run(text, &[&f32s(&[1], &[3.0])]).unwrap(), [f32s(&[1], &[12.0])]);
    let context = new_context();
    let module = parse(&context, text);
    let mut interpreter = Interpreter::new(&module).unwrap();
    let functions = interpreter.functions();
    assert_eq!(functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["main", "twice"]);
    assert_eq!(functions[0].inputs, [(vec![Some(1)], Element::F32)]);
    let mut message = |name, inputs| interpreter.call(name, inputs).unwrap_err().message;
    assert_eq!(message("none", vec![]), "'builtin.module' op has no function @none");
    let text = "'func.func' op has a value of type memref<1xf32>, which the reference does not know";
    assert_eq!(message("memory", vec![]), text);
    let x = f32s(&[1], &[0.0]);
    assert_eq!(message("outside", vec![x]), "'func.func' op has no body, so that it cannot be called");
}

#[test]
fn calls_end() {
    let recursive = "func.func @main() { call @main() : () -> () return }";
    assert_eq!(error(recursive, &[]), "-:1:1: error: 'func.func' op calls itself, which never ends");
    let mut chain = "func.func @main() { call @f0() : () -> () return }\n".to_owned();
    for i in 0..100 {
        chain += &format!("func.func @f{i}() {{ call @f{}() : () -> () return }}\n", i + 1);
    }
    chain += "func.func @f100() { return }";
    assert!(error(&chain, &[]).ends_with("'func.func' op is more than 64 calls and regions deep"));
}

#[test]
fn errors_of_inputs() {
    let text = include_str!("../../examples/matmul.mlir");
    let (x, w, b) =
        (uniform(1, &[3, 64], Element::F32), uniform(2, &[128, 64], Element::F32), uniform(3, &[128], Element::F32));
    assert_eq!(
        error(text, &[&uniform(1, &[3, 65], Element::F32), &w, &b]),
        "-:3:1: error: 'func.func' op @main takes tensor<?x64xf32> as input 0, but got tensor<3x65xf32>"
    );
    assert!(error(text, &[&x, &w, &uniform(1, &[128], Element::F16)]).contains("as input 2, but got tensor<128xf16>"));
    assert!(error(text, &[&x, &w]).ends_with("@main takes 3 inputs, but got 2"));
}

#[test]
fn errors_of_ops() {
    let unknown = eval(
        &["i1"],
        "%r = scf.if %a0 -> i1 { scf.yield %a0 : i1 } else { scf.yield %a0 : i1 }",
        "i1",
        &[&bools(&[], &[1])],
    );
    assert_eq!(
        unknown.unwrap_err().to_string(),
        "-:2:6: error: 'scf.if' op is not among the ops that the reference interprets"
    );
    let branch = "func.func @main() { cf.br ^b ^b: return }";
    assert!(error(branch, &[]).contains("'cf.br' op is not among the ops"));
    let id = "%r = transformer.embedding %a0, %a1 : tensor<2xi32>, tensor<3x1xf32> -> tensor<2x1xf32>";
    let id = eval(
        &["tensor<2xi32>", "tensor<3x1xf32>"],
        id,
        "tensor<2x1xf32>",
        &[&i32s(&[2], &[0, 3]), &f32s(&[3, 1], &[0.0; 3])],
    );
    assert_eq!(
        id.unwrap_err().message,
        "'transformer.embedding' op ids[1] is 3, but must be a row of the table, 0 to 3 exclusive"
    );
    let add = "%r = arith.addf %a0, %a1 : tensor<?xf32>";
    let add = eval(&["tensor<?xf32>"; 2], add, "tensor<?xf32>", &[&f32s(&[1], &[0.0]), &f32s(&[2], &[0.0; 2])]);
    assert_eq!(add.unwrap_err().message, "'arith.addf' op right must be tensor<1xf32>, but is tensor<2xf32>");
    let cast = "%r = tensor.cast %a0 : tensor<?xf32> to tensor<2xf32>";
    let cast = eval(&["tensor<?xf32>"], cast, "tensor<2xf32>", &[&f32s(&[1], &[0.0])]);
    assert_eq!(
        cast.unwrap_err().message,
        "'tensor.cast' op must give tensor<2xf32> as result 0, but gives tensor<1xf32>"
    );
    let divide = eval(&["index"], "%r = arith.divsi %a0, %a0 : index", "index", &[&index(0)]);
    assert!(divide.unwrap_err().message.contains("'arith.divsi' op right[] is 0"));
    let expand = "%two = arith.constant 2 : index
        %r = tensor.expand_shape %a0 [[0, 1]] output_shape [%two, 2] : tensor<?xf32> into tensor<?x2xf32>";
    let expand = eval(&["tensor<?xf32>"], expand, "tensor<?x2xf32>", &[&f32s(&[2], &[0.0; 2])]);
    let text = "'tensor.expand_shape' op cannot expand dimension 0 of tensor<2xf32> to a part of [2, 2]";
    assert_eq!(expand.unwrap_err().message, text);
    let dim = "%axis = arith.constant 5 : index\n%r = tensor.dim %a0, %axis : tensor<?xf32>";
    let dim = eval(&["tensor<?xf32>"], dim, "index", &[&f32s(&[1], &[0.0])]);
    assert_eq!(dim.unwrap_err().message, "'tensor.dim' op asks for dimension 5 of a shape [1]");
    let huge =
        eval(&[], "%r = arith.constant dense<0.0> : tensor<9999999999999xf32>", "tensor<9999999999999xf32>", &[]);
    assert!(huge.unwrap_err().message.contains("more than the reference's 1073741824 elements"));
    let f64s = eval(&[], "%0 = arith.constant 0.0 : f64\n%r = arith.truncf %0 : f64 to f32", "f32", &[]);
    let text = "'arith.constant' op has a value of type f64, which the reference does not know";
    assert_eq!(f64s.unwrap_err().message, text);
    let context = new_context();
    let module = parse(&context, "ml_program.global private mutable @g : tensor<2xf64>");
    let error = Interpreter::new(&module).err().unwrap();
    assert!(error.to_string().starts_with("-:1:1: error: 'ml_program.global' op has a value of type tensor<2xf64>"));
}

/// Runs an example with random externs and inputs, twice, and gives the last results.
fn example(text: &str, inputs: &[Tensor]) -> Vec<Tensor> {
    let context = new_context();
    let module = parse(&context, text);
    let mut interpreter = Interpreter::new(&module).unwrap();
    for (seed, global) in interpreter.globals().into_iter().enumerate().filter(|(_, global)| global.external) {
        let shape: Vec<usize> = global.dims.into_iter().map(Option::unwrap).collect();
        interpreter.set_global(&global.name, uniform(seed as u64, &shape, global.element)).unwrap();
    }
    interpreter.call("main", inputs.to_vec()).unwrap();
    interpreter.call("main", inputs.to_vec()).unwrap()
}

#[test]
fn examples() {
    let f = |seed, shape: &[usize]| uniform(seed, shape, Element::F32);
    let inputs = [f(1, &[3, 64]), f(2, &[128, 64]), f(3, &[128])];
    let expected = linear(&inputs[0], &inputs[1], Some(&inputs[2])).unwrap();
    assert_eq!(example(include_str!("../../examples/matmul.mlir"), &inputs), [expected]);

    let positions = i32s(&[1], &[3]);
    let inputs = [f(1, &[1, 2, 4, 16]), f(2, &[1, 2, 2, 16]), f(3, &[1, 2, 2, 16]), positions.clone()];
    let rotated = |x| {
        rope(x, &positions, None, &RopeAttributes { mode: RopeMode::Interleaved, base: 1e4, freq_divisors: None })
            .unwrap()
    };
    let sequences = Sequences { positions: Some(&positions), ..Default::default() };
    let cached = |x: &Tensor| kv_update(&Tensor::zeros([1, 128, 2, 16], Element::F32).unwrap(), x, &sequences).unwrap();
    let causal = AttentionAttributes { causal: true, ..Default::default() };
    let (q, k, v) = (rotated(&inputs[0]), cached(&rotated(&inputs[1])), cached(&inputs[2]));
    let expected = attention(&q, &k, &v, &sequences, &causal).unwrap();
    assert_eq!(example(include_str!("../../examples/attention.mlir"), &inputs), [expected]);

    let results = example(include_str!("../../examples/block.mlir"), &[f(1, &[1, 3, 64]), positions]);
    assert_eq!(results[0].shape(), [1, 3, 64]);
    assert!(results[0].to_f32().iter().all(|x| x.is_finite()));
}
