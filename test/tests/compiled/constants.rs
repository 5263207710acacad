//! Constants in every operand position of every op: dense, splat, resources, initialised globals and sums of constants
//! give the reference's numbers, on a CPU and on a GPU.

use kforge_lowering::compile::{self, Machine, Options};
use kforge_reference::{Element, Tensor, random};
use kforge_test::run::{Case, Suite};
use std::fmt::Write as _;

/// An op: its operands with their types and, for integers, values; its result and text.
struct Op {
    operands: Vec<(&'static str, String, Vec<i32>)>,
    result: String,
    text: &'static str,
    types: &'static str,
}

/// Operands as `NAME: TYPE` or `NAME: TYPE = INTEGERS`, separated by `;`, and the op with `$` for their types.
fn op(operands: &'static str, text: &'static str, result: &str) -> Op {
    let operand = |operand: &'static str| {
        let (name, rest) = operand.trim().split_once(": ").expect("a name and a type");
        let (ty, integers) = rest.split_once(" = ").unwrap_or((rest, ""));
        let integers = integers.split_whitespace().map(|i| i.parse().expect("an integer")).collect();
        (name, ty.to_owned(), integers)
    };
    let (text, types) = text.split_once(" : ").expect("an op and its types");
    Op { operands: operands.split(';').map(operand).collect(), result: result.to_owned(), text, types }
}

/// Every op that has a kernel, on sizes that no tile divides.
fn ops() -> Vec<Op> {
    let (x4, cache) = ("tensor<2x3x4x8xf32>", "tensor<2x9x2x8xf32>");
    vec![
        op(
            "x: tensor<3x32xf32>; w: tensor<17x32xf32>; b: tensor<17xf32>",
            "transformer.linear %x, %w bias %b : tensor<3x32xf32>, tensor<17x32xf32>, tensor<17xf32> -> tensor<3x17xf32>",
            "tensor<3x17xf32>",
        ),
        op(
            "x: tensor<33x32xf32>; w: tensor<17x32xf16>; b: tensor<17xf32>",
            "transformer.linear %x, %w bias %b : tensor<33x32xf32>, tensor<17x32xf16>, tensor<17xf32> -> tensor<33x17xf32>",
            "tensor<33x17xf32>",
        ),
        op(
            "x: tensor<3x32xf32>; w: !transformer.quant<q8_0, 17x32>; b: tensor<17xf32>",
            "transformer.linear %x, %w bias %b : tensor<3x32xf32>, !transformer.quant<q8_0, 17x32>, tensor<17xf32> -> \
             tensor<3x17xf32>",
            "tensor<3x17xf32>",
        ),
        op(
            "a: tensor<2x5x7xf32>; b: tensor<2x7x9xf32>",
            "transformer.matmul %a, %b : tensor<2x5x7xf32>, tensor<2x7x9xf32> -> tensor<2x5x9xf32>",
            "tensor<2x5x9xf32>",
        ),
        op(
            "x: tensor<3x33xf32>; w: tensor<33xf32>",
            "transformer.rms_norm %x, %w {eps = 1.0e-5 : f32} : tensor<3x33xf32>, tensor<33xf32>",
            "tensor<3x33xf32>",
        ),
        op(
            "x: tensor<3x33xf32>; w: tensor<33xf32>; b: tensor<33xf32>",
            "transformer.layer_norm %x, %w, %b {eps = 1.0e-5 : f32} : tensor<3x33xf32>, tensor<33xf32>, tensor<33xf32>",
            "tensor<3x33xf32>",
        ),
        op("x: tensor<3x33xf32>", "transformer.softmax %x : tensor<3x33xf32>", "tensor<3x33xf32>"),
        op("x: tensor<3x33xf32>", "transformer.gelu %x : tensor<3x33xf32>", "tensor<3x33xf32>"),
        op("x: tensor<3x33xf32>", "transformer.silu %x : tensor<3x33xf32>", "tensor<3x33xf32>"),
        op(
            "x: tensor<3x33xf32>; y: tensor<3x33xf32>",
            "transformer.swiglu %x, %y : tensor<3x33xf32>",
            "tensor<3x33xf32>",
        ),
        op("x: tensor<3x33xf32>; y: tensor<3x33xf32>", "arith.subf %x, %y : tensor<3x33xf32>", "tensor<3x33xf32>"),
        op("x: tensor<3x33xf32>", "math.exp %x : tensor<3x33xf32>", "tensor<3x33xf32>"),
        op(
            "ids: tensor<5xi32> = 3 0 10 10 1; table: tensor<11x17xf32>",
            "transformer.embedding %ids, %table : tensor<5xi32>, tensor<11x17xf32> -> tensor<5x17xf32>",
            "tensor<5x17xf32>",
        ),
        op(
            "x: tensor<2x3x4x8xf32>; p: tensor<2xi32> = 4 0; l: tensor<2xi32> = 3 2",
            "transformer.rope %x at %p lengths %l {mode = \"half\", base = 1.0e4 : f32} : tensor<2x3x4x8xf32>, \
             tensor<2xi32>, tensor<2xi32>",
            x4,
        ),
        op(
            "q: tensor<2x3x4x8xf32>; k: tensor<2x9x2x8xf32>; v: tensor<2x9x2x8xf32>",
            "transformer.attention %q, %k, %v {causal} : tensor<2x3x4x8xf32>, tensor<2x9x2x8xf32>, tensor<2x9x2x8xf32>",
            x4,
        ),
        op(
            "q: tensor<2x3x4x8xf32>; k: tensor<2x9x2x8xf32>; v: tensor<2x9x2x8xf32>; p: tensor<2xi32> = 4 0; \
             l: tensor<2xi32> = 3 2",
            "transformer.attention %q, %k, %v at %p lengths %l {causal} : tensor<2x3x4x8xf32>, tensor<2x9x2x8xf32>, \
             tensor<2x9x2x8xf32>, tensor<2xi32>, tensor<2xi32>",
            x4,
        ),
        op(
            "q: tensor<2x1x4x8xf32>; k: tensor<5x3x2x8xf32>; v: tensor<5x3x2x8xf32>; p: tensor<2xi32> = 4 0; \
             l: tensor<2xi32> = 1 1; t: tensor<2x3xi32> = 4 0 9 2 -1 -1",
            "transformer.attention %q, %k, %v at %p lengths %l blocks %t {causal} : tensor<2x1x4x8xf32>, \
             tensor<5x3x2x8xf32>, tensor<5x3x2x8xf32>, tensor<2xi32>, tensor<2xi32> blocks tensor<2x3xi32>",
            "tensor<2x1x4x8xf32>",
        ),
        op(
            "c: tensor<2x9x2x8xf32>; n: tensor<2x3x2x8xf32>; p: tensor<2xi32> = 4 0; l: tensor<2xi32> = 3 2",
            "transformer.kv_update %c, %n at %p lengths %l : tensor<2x9x2x8xf32>, tensor<2x3x2x8xf32>, tensor<2xi32>, \
             tensor<2xi32>",
            cache,
        ),
        op(
            "x: tensor<3x32xf32>; g: tensor<17x32xf32>; u: tensor<17x32xf32>; d: tensor<32x17xf32>",
            "transformer.mlp %x, %g, %u, %d : tensor<3x32xf32>, tensor<17x32xf32>, tensor<17x32xf32>, tensor<32x17xf32>",
            "tensor<3x32xf32>",
        ),
    ]
}

/// How an operand is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Dense,
    Splat,
    Sum,
    Global,
}

const FORMS: [Form; 4] = [Form::Dense, Form::Splat, Form::Sum, Form::Global];

fn hex(tensor: &Tensor) -> String {
    tensor.to_bytes().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Sizes and element type of a tensor type.
fn shape(ty: &str) -> Option<(Vec<usize>, Element)> {
    let mut parts: Vec<&str> = ty.strip_prefix("tensor<")?.strip_suffix('>')?.split('x').collect();
    let element = match parts.pop()? {
        "f32" => Element::F32,
        "f16" => Element::F16,
        "i32" => Element::I32,
        other => panic!("{other}"),
    };
    Some((parts.into_iter().map(|d| d.parse().expect("a static size")).collect(), element))
}

/// The op, with the operands for which `form` returns a form as constants, and the others as arguments; none if there
/// are none.
fn case(op: &Op, form: impl Fn(usize) -> Option<Form>) -> Option<Case> {
    let (mut arguments, mut body, mut integers, mut names) = (vec![], String::new(), vec![], vec![]);
    let mut case = Case::new("", "");
    for (i, (name, ty, values)) in op.operands.iter().enumerate() {
        let Some((form, (dims, element))) = form(i).zip(shape(ty)) else {
            arguments.push(format!("%{name}: {ty}"));
            if !values.is_empty() {
                integers.push(&values[..]);
            }
            continue;
        };
        names.push(format!("{name} {form:?}"));
        let value = match element {
            Element::I32 => Tensor::i32(dims.clone(), values.clone()).expect("as many as its type has"),
            element => random::uniform(7 + i as u64, &dims, element).expect("a tensor"),
        };
        // A splat of integers is another call, and may be out of range.
        let _ = match form {
            Form::Splat if element != Element::I32 => writeln!(body, "%{name} = arith.constant dense<0.25> : {ty}"),
            Form::Sum if element != Element::I32 => writeln!(
                body,
                "%{name}0 = arith.constant dense<\"0x{}\"> : {ty}\n%{name}1 = arith.constant dense<0.5> : {ty}\n\
                 %{name} = arith.addf %{name}0, %{name}1 : {ty}",
                hex(&value)
            ),
            Form::Sum => writeln!(
                body,
                "%{name}0 = arith.constant dense<\"0x{}\"> : {ty}\n%{name}1 = arith.constant dense<0> : {ty}\n\
                 %{name} = arith.addi %{name}0, %{name}1 : {ty}",
                hex(&value)
            ),
            Form::Global => {
                let _ = writeln!(
                    case.globals,
                    "ml_program.global private @{name}_$(dense<\"0x{}\"> : {ty}) : {ty}",
                    hex(&value)
                );
                writeln!(body, "%{name} = ml_program.global_load_const @{name}_$ : {ty}")
            }
            _ => writeln!(body, "%{name} = arith.constant dense<\"0x{}\"> : {ty}", hex(&value)),
        };
    }
    if names.is_empty() {
        return None;
    }
    case.name = format!("{} with {}", op.text.split_whitespace().next().unwrap_or_default(), names.join(", "));
    let (result, types) = (&op.result, op.types);
    let arguments = arguments.join(", ");
    case.function =
        format!("({arguments}) -> {result} {{\n{body}%result = {} : {types}\nreturn %result : {result}\n}}", op.text);
    Some(case.call(&[], &integers))
}

/// Updating a constant cache would need a copy: an error, which `a_constant_cache_is_not_updated` tests.
fn is_updated(op: &Op, i: usize) -> bool {
    op.text.starts_with("transformer.kv_update") && i == 0
}

#[test]
fn each_operand_by_itself() {
    let mut cases = vec![];
    for op in &ops() {
        for i in (0..op.operands.len()).filter(|i| !is_updated(op, *i)) {
            let form = FORMS[cases.len() % FORMS.len()];
            cases.extend(case(op, |other| (other == i).then_some(form)));
        }
    }
    Suite::new(cases).check();
}

#[test]
fn all_operands_together() {
    let all = |op: &Op, form: Form| case(op, |i| (!is_updated(op, i)).then_some(form));
    let cases = ops().iter().enumerate().filter_map(|(i, op)| all(op, FORMS[i % FORMS.len()])).collect::<Vec<_>>();
    Suite::new(cases).check();
}

/// A weight that an op also reads as activations, and that a function returns, has one layout that all can read.
#[test]
fn one_weight_in_several_roles() {
    let ty = "tensor<32x32xf32>";
    let function = |weight: &str| {
        format!(
            "{{{weight}
              %l = transformer.linear %x, %w : {ty}, {ty} -> {ty}
              %a = arith.addf %l, %w : {ty}
              %s = transformer.softmax %w : {ty}
              return %a, %s, %w : {ty}, {ty}, {ty}
            }}"
        )
    };
    let results = format!("({ty}, {ty}, {ty})");
    let bytes = hex(&random::uniform(5, &[32, 32], Element::F32).expect("a tensor"));
    let constant = format!("\n%w = arith.constant dense<\"0x{bytes}\"> : {ty}");
    Suite::new([
        Case::new("an argument", format!("(%x: {ty}, %w: {ty}) -> {results} {}", function(""))).sizes(&[]),
        Case::new("a constant", format!("(%x: {ty}) -> {results} {}", function(&constant))).sizes(&[]),
        // The same value twice in one op.
        Case::new(
            "a square",
            format!("(%w: {ty}) -> {ty} {{ %y = transformer.linear %w, %w : {ty}, {ty} -> {ty}\nreturn %y : {ty} }}"),
        )
        .sizes(&[]),
    ])
    .check();
}

/// State is initialised to the module's value, packed from row-major order into its layout.
#[test]
fn state_begins_with_its_value() {
    let (cache, new) = ("tensor<1x5x2x8xf32>", "tensor<1x1x2x8xf32>");
    let bytes = hex(&random::uniform(3, &[1, 5, 2, 8], Element::F32).expect("a tensor"));
    let mut case = Case::new(
        "a cache with a value",
        format!(
            "(%q: {new}, %n: {new}, %p: tensor<1xi32>) -> {new} {{
              %k = ml_program.global_load @k$ : {cache}
              %u = transformer.kv_update %k, %n at %p : {cache}, {new}, tensor<1xi32>
              ml_program.global_store @k$ = %u : {cache}
              %y = transformer.attention %q, %u, %u at %p {{causal}} : {new}, {cache}, {cache}, tensor<1xi32>
              return %y : {new}
            }}"
        ),
    );
    case.globals = format!("ml_program.global private mutable @k$(dense<\"0x{bytes}\"> : {cache}) : {cache}\n");
    case.states.push(vec![1, 5, 2, 8]);
    Suite::new([case.call(&[], &[&[2]]).call(&[], &[&[3]])]).check();
}

/// The bytes of a resource are at the end of the file, so it needs a separate module.
#[test]
fn resources() {
    for (name, of) in [("f32", Element::F32), ("f16", Element::F16), ("bf16", Element::BF16)] {
        let value = random::uniform(2, &[17], of).expect("a tensor");
        let text = |constant: &str| {
            format!(
                "func.func @case0(%x: tensor<3x32x{name}>, %w: tensor<17x32xf32>) -> tensor<3x17x{name}> {{
                  %b = arith.constant {constant} : tensor<17x{name}>
                  %y = transformer.linear %x, %w bias %b : tensor<3x32x{name}>, tensor<17x32xf32>, tensor<17x{name}> -> tensor<3x17x{name}>
                  return %y : tensor<3x17x{name}>
                }}\n"
            )
        };
        // The first four bytes of a blob are its alignment.
        let resource = format!(
            "{}{{-# dialect_resources: {{ builtin: {{ bias: \"0x04000000{}\" }} }} #-}}\n",
            text("dense_resource<bias>"),
            hex(&value)
        );
        let inputs = [random::uniform(0, &[3, 32], of), random::uniform(1, &[17, 32], Element::F32)];
        let inputs = [vec![inputs.map(|input| input.expect("a tensor")).to_vec()]];
        let suite = Suite::new([Case::new("a resource", "")]);
        let target = Machine::host(None).expect("this machine");
        let [by_resource, by_list] = [resource, text(&format!("dense<\"0x{}\">", hex(&value)))].map(|text| {
            let compiled = compile::compile(&text, &target, Options::default()).unwrap_or_else(|e| panic!("{e}"));
            suite.run(&compiled, 1, &inputs)
        });
        assert_eq!(by_resource, by_list, "{name}");
    }
}

#[test]
fn a_constant_cache_is_not_updated() {
    let updates = ops().into_iter().find(|op| is_updated(op, 0)).expect("one op updates its operand");
    let suite = Suite::new(case(&updates, |i| (i == 0).then_some(Form::Dense)));
    let target = Machine::host(None).expect("this machine");
    let error = compile::compile(&suite.text(), &target, Options::default()).expect_err("an error");
    assert!(error.to_string().contains("updates a constant global; declare it mutable"), "{error}");
}
