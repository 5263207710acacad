//! Every generated module parses, verifies and runs on the reference.

use kforge_dialect::{Interpreter, ir, new_context};
use kforge_reference::{Element, Tensor, random};
use kforge_test::generate::{Generated, MAX_OPS, generate, module};
use melior::ir::{Module, operation::OperationLike};
use std::collections::BTreeMap;

const SEEDS: u64 = 600;

fn inputs(generated: &Generated) -> Vec<Tensor> {
    let input = |(seed, (shape, element)): (usize, &(Vec<usize>, String))| {
        let element = match element.as_str() {
            "f32" => Element::F32,
            "f16" => Element::F16,
            "i32" => return random::integers(seed as u64, shape, Element::I32, 0..100).unwrap(),
            format => Element::Quant(format.parse().unwrap()),
        };
        random::uniform(seed as u64, shape, element).unwrap()
    };
    generated.input_types.iter().enumerate().map(input).collect()
}

/// Counts the ops of a module's function by name.
fn count(module: &Module<'_>, counts: &mut BTreeMap<String, usize>) -> usize {
    let functions = ir::ops(module.body());
    assert_eq!(functions.len(), 1);
    let names: Vec<String> = ir::ops(ir::body(&functions[0]).unwrap()).iter().map(ir::op_name).collect();
    let ops = names
        .iter()
        .filter(|name| name.starts_with("transformer.") || matches!(name.as_str(), "arith.addf" | "arith.mulf"));
    let total = ops.count();
    names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    total
}

#[test]
fn modules_verify_and_run() {
    let context = new_context();
    let mut counts = BTreeMap::new();
    for seed in 0..SEEDS {
        let generated = generate(seed);
        let text = &generated.text;
        let module = Module::parse(&context, text).unwrap_or_else(|| panic!("seed {seed} does not parse:\n{text}"));
        assert!(module.as_operation().verify(), "seed {seed} does not verify:\n{text}");
        let ops = count(&module, &mut counts);
        assert!((1..=MAX_OPS).contains(&ops), "seed {seed} has {ops} ops:\n{text}");
        let results = Interpreter::new(&module).unwrap().call("main", inputs(&generated));
        let results = results.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        for result in results {
            let largest = result.to_f32().into_iter().map(f32::abs).fold(0.0, f32::max);
            assert!(result.to_f32().iter().all(|x| x.is_finite()) && largest < 3e4, "seed {seed}: {largest}\n{text}");
        }
    }
    for op in [
        "transformer.linear",
        "transformer.matmul",
        "transformer.rms_norm",
        "transformer.layer_norm",
        "transformer.softmax",
        "transformer.gelu",
        "transformer.silu",
        "transformer.swiglu",
        "transformer.mlp",
        "transformer.rope",
        "transformer.attention",
        "arith.addf",
        "arith.mulf",
        "tensor.expand_shape",
        "tensor.dim",
    ] {
        assert!(counts.get(op).is_some_and(|count| *count >= 10), "{op} is rare: {counts:?}");
    }
}

#[test]
fn modules_are_as_different_as_they_can_be() {
    let texts: Vec<String> = (0..SEEDS).map(module).collect();
    assert_eq!(texts, (0..SEEDS).map(module).collect::<Vec<_>>());
    for part in [
        "?x",
        "<0x",
        "x0x",
        "xf16>",
        "<q4_0, ",
        "<q4_1, ",
        "<q5_0, ",
        "<q5_1, ",
        "<q8_0, ",
        "<q2_k, ",
        "<q3_k, ",
        "<q4_k, ",
        "<q5_k, ",
        "<q6_k, ",
        "<iq4_nl, ",
        "<iq4_xs, ",
        "<mxfp4, ",
        " bias ",
        "{transpose_a}",
        "{transpose_b}",
        "{transpose_a, transpose_b}",
        "\"tanh\"",
        "\"half\"",
        "\"interleaved\"",
        "freq_divisors",
        "window",
        "softcap",
        "scale",
        "x17x",
        "x31x",
        "x33x",
    ] {
        let modules = texts.iter().filter(|text| text.contains(part)).count();
        assert!(modules >= 3, "{part} is in {modules} modules");
    }
}
