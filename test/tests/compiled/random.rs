//! Random modules: every pass preserves a module's semantics, and compiled code computes them.
//!
//! `KFORGE_FUZZ_SEEDS=N` runs the first N seeds. A failing module is reduced and written to a file.

use kforge_dialect::Interpreter;
use kforge_lowering::compile::{self, Machine, Options, Pipeline};
use kforge_passes::Fusions;
use kforge_reference::{Element, Tensor, Tolerance, compare, random};
use kforge_target::{Isa, Target};
use kforge_test::{
    generate::{Generated, generate},
    run::{Case, Outcome, Suite, isas},
};
use std::{env, fs, path::Path};

/// Seeds per compiled module.
const BATCH: u64 = 10;

fn seeds(default: u64) -> u64 {
    match env::var("KFORGE_FUZZ_SEEDS") {
        Ok(text) => text.parse().expect("KFORGE_FUZZ_SEEDS is a number"),
        Err(_) => default,
    }
}

/// Random inputs; those of the activations' type perturbed by a relative `change`.
fn inputs(generated: &Generated, change: f32) -> Vec<Tensor> {
    let input = |(seed, (shape, element)): (usize, &(Vec<usize>, String))| {
        let element = match element.as_str() {
            "f32" => Element::F32,
            "f16" => Element::F16,
            "i32" => return random::integers(seed as u64, shape, Element::I32, 0..100).expect("positions"),
            format => Element::Quant(format.parse().expect("a format")),
        };
        let value = random::uniform(seed as u64, shape, element).expect("a tensor");
        if change == 0.0 || matches!(element, Element::Quant(_)) {
            return value;
        }
        let noise = random::uniform(!seed as u64, shape, Element::F32).expect("noise").to_f32();
        let moved = value.to_f32().iter().zip(noise).map(|(x, n)| x * (1.0 + change * n.signum())).collect();
        Tensor::from_f32(shape.clone(), element, moved).expect("a tensor")
    };
    generated.input_types.iter().enumerate().map(input).collect()
}

fn interpret(module: &melior::ir::Module, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, String> {
    Interpreter::new(module).and_then(|mut i| i.call("main", inputs)).map_err(|e| e.to_string())
}

/// A module as a case of a suite.
fn case(seed: u64, generated: &Generated) -> Case {
    Case::new(format!("seed {seed}"), generated.text.strip_prefix("func.func @main").expect("one function"))
}

/// The reference's results, and the tolerance of each: a few roundings, plus the effect of perturbing the inputs by a
/// rounding, because a softmax of large numbers may amplify a rounding arbitrarily.
fn expected(generated: &Generated) -> (Vec<Tensor>, Vec<f64>) {
    let context = compile::context();
    let module = compile::parse(&context, &generated.text).unwrap_or_else(|e| panic!("{e}\n{}", generated.text));
    let half = generated.input_types[0].1 == "f16";
    let unit = if half { 2f64.powi(-10) } else { 1e-6 };
    let run =
        |change| interpret(&module, inputs(generated, change)).unwrap_or_else(|e| panic!("{e}\n{}", generated.text));
    let (values, moved) = (run(0.0), run(unit as f32));
    let tolerance = |(value, moved): (&Tensor, &Tensor)| {
        let spread = compare(moved, value, Tolerance { abs: 0.0, rel: 0.0 }).expect("equal shapes").max_abs;
        let largest = value.to_f32().into_iter().map(|x| f64::from(x.abs())).fold(1.0, f64::max);
        8.0 * (spread + unit * largest)
    };
    let tolerances = values.iter().zip(&moved).map(tolerance).collect();
    (values, tolerances)
}

/// Compares compiled results with the reference's.
fn agree(outcome: &Outcome, (values, tolerances): &(Vec<Tensor>, Vec<f64>)) -> Result<(), String> {
    for (i, ((actual, value), tolerance)) in outcome.results[0].iter().zip(values).zip(tolerances).enumerate() {
        let comparison = compare(actual, value, Tolerance { abs: *tolerance, rel: 0.0 }).map_err(|e| e.to_string())?;
        if !comparison.within_tolerance() {
            return Err(format!("result {i}: {comparison}, tolerance {tolerance:.1e}"));
        }
    }
    Ok(())
}

/// Compiles and compares one module.
fn run_alone(generated: &Generated, isa: Isa, fuse: Fusions) -> Result<(), String> {
    let suite = Suite::new([case(0, generated)]);
    let target = Machine::host(Some(isa)).map_err(|e| e.to_string())?;
    let compiled =
        compile::compile(&suite.text(), &target, Options { fuse, ..Options::default() }).map_err(|e| e.to_string())?;
    agree(&suite.run(&compiled, 2, &[vec![inputs(generated, 0.0)]])[0], &expected(generated))
}

/// A message without its numbers, as locations and sizes change while a module is reduced.
fn kind(message: &str) -> String {
    message.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn check_compiled(range: std::ops::Range<u64>, isa: Isa, fuse: Fusions) {
    let seeds: Vec<u64> = range.collect();
    for seeds in seeds.chunks(BATCH as usize) {
        let generated: Vec<Generated> = seeds.iter().map(|seed| generate(*seed)).collect();
        let suite = Suite::new(seeds.iter().zip(&generated).map(|(seed, generated)| case(*seed, generated)));
        let all: Vec<_> = generated.iter().map(|generated| vec![inputs(generated, 0.0)]).collect();
        let target = Machine::host(Some(isa)).expect("an instruction set of this machine");
        let outcomes = compile::compile(&suite.text(), &target, Options { fuse, ..Options::default() })
            .map(|compiled| suite.run(&compiled, 2, &all));
        for (i, (seed, generated)) in seeds.iter().zip(&generated).enumerate() {
            let result = match &outcomes {
                Ok(outcomes) => agree(&outcomes[i], &expected(generated)),
                // The failing modules are found by compiling each alone.
                Err(_) => run_alone(generated, isa, fuse),
            };
            if let Err(message) = result {
                // A smaller module may fail for another reason; only the same failure counts.
                let same = |other: String| kind(&other) == kind(&message);
                fail(*seed, generated, &format!("{isa}, fused {fuse}: {message}"), &|smaller| {
                    run_alone(smaller, isa, fuse).is_err_and(same)
                });
            }
        }
        if let Err(error) = outcomes {
            panic!("seeds {seeds:?} compile one by one, but not together: {error}");
        }
    }
}

#[test]
fn passes_keep_what_a_module_means() {
    let (target, options) = (Target::host(), Options::default());
    let passes: Vec<Pipeline> = options.fusion(target).then(options.selection(target)).passes().collect();
    let check = |generated: &Generated| -> Result<(), String> {
        let context = compile::context();
        let diagnostics = compile::Diagnostics::new(&context, (&generated.text).into());
        let mut module = compile::parse_with(&diagnostics).map_err(|e| e.to_string())?;
        let before = interpret(&module, inputs(generated, 0.0))?;
        for pass in &passes {
            compile::run_pipeline(&diagnostics, &mut module, pass).map_err(|e| format!("{pass}: {e}"))?;
            let after = interpret(&module, inputs(generated, 0.0)).map_err(|e| format!("after {pass}: {e}"))?;
            // No pass before the lowering changes a rounding.
            if after.iter().zip(&before).any(|(a, b)| a.to_bytes() != b.to_bytes()) {
                return Err(format!("{pass} changes the result"));
            }
        }
        Ok(())
    };
    for seed in 0..seeds(40) {
        let generated = generate(seed);
        if let Err(message) = check(&generated) {
            fail(seed, &generated, &message, &|smaller| check(smaller).is_err());
        }
    }
}

#[test]
fn compiled_modules() {
    for (i, isa) in isas().into_iter().enumerate() {
        check_compiled(0..seeds(if i == 0 { 30 } else { 10 }), isa, Fusions::ALL);
    }
}

#[test]
fn compiled_modules_without_fusion() {
    check_compiled(30..30 + seeds(10), Isa::host(), Fusions::NONE);
    // A single fusion sees groups that others would have fused.
    for (i, fusion) in Fusions::singles().enumerate() {
        let first = 4 * i as u64;
        check_compiled(first..first + 4, Isa::host(), fusion);
    }
}

/// Writes the smallest module found that still fails, and panics with its path.
fn fail(seed: u64, generated: &Generated, message: &str, fails: &dyn Fn(&Generated) -> bool) -> ! {
    let smaller = shrink(generated, fails);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("seed{seed}.mlir"));
    let note = message.lines().map(|line| format!("// {line}\n")).collect::<String>();
    fs::write(&path, format!("{note}{}", smaller.text)).expect("target is writable");
    panic!("seed {seed}: {message}\nthe module is in {}:\n{}", path.display(), smaller.text);
}

/// The shortest prefix of a module's body that fails, without unneeded ops.
fn shrink(generated: &Generated, fails: &dyn Fn(&Generated) -> bool) -> Generated {
    let lines: Vec<&str> = generated.text.lines().collect();
    let (header, body) = (lines[0], &lines[1..lines.len() - 2]);
    let parses = |generated: &Generated| compile::parse(&compile::context(), &generated.text).is_ok();
    let build = |body: &[&str]| {
        let last = body.last()?.trim();
        let (name, op) = last.split_once(" = ")?;
        let (arguments, _) = header.split_once(" -> ")?;
        let ty = result_type(op)?;
        let text = format!("{arguments} -> {ty} {{\n{}\n  return {name} : {ty}\n}}\n", body.join("\n"));
        let smaller = Generated { text, input_types: generated.input_types.clone() };
        (parses(&smaller) && fails(&smaller)).then_some(smaller)
    };
    let Some(length) = (1..=body.len()).find(|length| build(&body[..*length]).is_some()) else {
        return generated.clone();
    };
    let mut body = body[..length].to_vec();
    for at in (0..length - 1).rev() {
        let mut fewer = body.clone();
        fewer.remove(at);
        if build(&fewer).is_some() {
            body = fewer;
        }
    }
    build(&body).unwrap_or_else(|| generated.clone())
}

/// The type of a generated op's result; none if it gives no tensor.
fn result_type(op: &str) -> Option<&str> {
    if let Some((_, ty)) = op.rsplit_once(" -> ").or_else(|| op.rsplit_once(" into ")) {
        return Some(ty);
    }
    let types = op.rsplit_once("} : ").or_else(|| op.split_once(" : ")).map(|(_, types)| types)?;
    let first = types.split(", ").next()?;
    (first.starts_with("tensor<") && !op.starts_with("tensor.dim")).then_some(first)
}
