//! The interpreter against numbers by hand and against the reference ops that it must call with the right arguments.

mod errors;
mod ops;

use kforge_dialect::{InterpretError, Interpreter, new_context};
use kforge_quant::BlockFormat;
use kforge_reference::{
    Activation, Approximate, AttentionAttributes, DecoderBlock, DecoderBlockAttributes, Element, RopeAttributes,
    RopeMode, Sequences, Tensor, attention, decoder_block, elementwise, embedding, gelu, kv_update, layer_norm, linear,
    matmul, mlp, random, rms_norm, rope, scale, silu, softcap, softmax, swiglu,
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
    assert_eq!(example(include_str!("../../../examples/matmul.mlir"), &inputs), [expected]);

    let positions = i32s(&[1], &[3]);
    let inputs = [f(1, &[1, 2, 4, 16]), f(2, &[1, 2, 2, 16]), f(3, &[1, 2, 2, 16]), positions.clone()];
    let rotated = |x| {
        rope(
            x,
            &positions,
            None,
            &RopeAttributes { mode: RopeMode::Interleaved, base: 1e4, freq_divisors: None, dims: None, scale: None },
        )
        .unwrap()
    };
    let sequences = Sequences { positions: Some(&positions), ..Default::default() };
    let cached = |x: &Tensor| kv_update(&Tensor::zeros([1, 128, 2, 16], Element::F32).unwrap(), x, &sequences).unwrap();
    let causal = AttentionAttributes { causal: true, ..Default::default() };
    let (q, k, v) = (rotated(&inputs[0]), cached(&rotated(&inputs[1])), cached(&inputs[2]));
    let expected = attention(&q, &k, &v, &sequences, &causal).unwrap();
    assert_eq!(example(include_str!("../../../examples/attention.mlir"), &inputs), [expected]);

    let results = example(include_str!("../../../examples/block.mlir"), &[f(1, &[1, 3, 64]), positions]);
    assert_eq!(results[0].shape(), [1, 3, 64]);
    assert!(results[0].to_f32().iter().all(|x| x.is_finite()));
}
