//! Weights split over several buffers, on a GPU that is claimed to bind few bytes.

use crate::text::{ELEMENTS, FORMATS, depth, tensor, weight};
use kforge_lowering::compile::{self, Numerics, Options};
use kforge_program::Element;
use kforge_runtime::{Execute, View, gpu};
use kforge_target::Adapter;
use kforge_test::run::{Case, Suite, adapters, check_writers, gpu};

/// Bytes per binding: the weights below take two to four.
const BYTES: usize = 32 << 10;
/// Rows of a weight: 25 groups of sixteen, the last one partial.
const ROWS: usize = 397;

fn small(adapter: Adapter) -> Adapter {
    Adapter { bindings: 32, binding_bytes: BYTES, ..adapter }
}

fn width(stored: &str) -> usize {
    depth(if ELEMENTS.contains(&stored) { 64 } else { 256 }, stored)
}

fn linear(rows: &str, stored: &str) -> Case {
    let (x, w, y) =
        (tensor(rows, width(stored), "f32"), weight(ROWS, width(stored), stored), tensor(rows, ROWS, "f32"));
    let function = format!(
        "(%x: {x}, %w: {w}) -> {y} {{
          %y = transformer.linear %x, %w : {x}, {w} -> {y}
          return %y : {y}
        }}"
    );
    Case::new(format!("linear of {rows} rows by {stored}"), function)
}

/// Two weights in one kernel.
fn gated(rows: &str, stored: &str) -> Case {
    let (x, w, y) =
        (tensor(rows, width(stored), "f32"), weight(ROWS, width(stored), stored), tensor(rows, ROWS, "f32"));
    let function = format!(
        "(%x: {x}, %v: {w}, %w: {w}) -> {y} {{
          %a = transformer.linear %x, %v : {x}, {w} -> {y}
          %b = transformer.linear %x, %w : {x}, {w} -> {y}
          %y = transformer.swiglu %a, %b : {y}
          return %y : {y}
        }}"
    );
    Case::new(format!("gate and up of {rows} rows by {stored}"), function)
}

fn embedding(stored: &str) -> Case {
    let (ids, table, y) = ("tensor<?xi32>", weight(ROWS, width(stored), stored), tensor("?", width(stored), "f32"));
    let function = format!(
        "(%ids: {ids}, %table: {table}) -> {y} {{
          %y = transformer.embedding %ids, %table : {ids}, {table} -> {y}
          return %y : {y}
        }}"
    );
    let ids: Vec<i32> = (0..25).map(|i| (i * 16 + i % 16).min(ROWS as i32 - 1)).collect();
    Case::new(format!("embedding of {stored}"), function).slack(0.0).call(&[ids.len()], &[&ids[..]])
}

#[test]
fn weights_in_pieces() {
    let mut cases = vec![];
    for (i, stored) in ELEMENTS.into_iter().chain(FORMATS).enumerate() {
        cases.push(linear("?", stored).rows(&[1, 17]));
        cases.push(linear(["1", "3", "8"][i % 3], stored).sizes(&[]));
        cases.push(embedding(stored));
    }
    for stored in ["f32", "q4_1"] {
        cases.push(gated("?", stored).rows(&[5]));
        cases.push(gated("1", stored).sizes(&[]));
    }
    let (suite, adapters) = (Suite::new(cases), adapters().into_iter().map(small).collect::<Vec<_>>());
    let compiled = compile::compile(&suite.text(), &adapters[0], Options::default()).expect("all is admitted");
    for (kernel, shader) in compiled.program.kernels.iter().zip(&compiled.code) {
        assert!(shader.writable.len() > kernel.params.len(), "{} {} has one piece", kernel.name, kernel.summary);
    }
    suite.check_adapters(&adapters);
}

/// Not every machine has matrix units, but naga validates the shaders on all.
#[test]
fn weights_of_matrix_units_in_pieces() {
    let cases = ELEMENTS.into_iter().chain(FORMATS).map(|stored| linear("?", stored));
    let adapter = Adapter {
        f16: true,
        subgroups: 32,
        matrices: true,
        threads: 1024,
        workgroup_bytes: 49152,
        ..small(Adapter::default())
    };
    let options = Options { numerics: Numerics::Fast, ..Options::default() };
    let (program, shaders) =
        compile::translate_gpu(&Suite::new(cases).text(), adapter, options).expect("all is admitted");
    for (kernel, shader) in program.kernels.iter().zip(&shaders) {
        assert!(kernel.name.starts_with("mma") && shader.text.contains("switch"), "{}", kernel.name);
        check_writers(shader);
    }
}

/// Tensors other than weights are not split; the error says which is too large.
#[test]
fn the_rest_is_one_buffer() {
    let source = "ml_program.global private mutable @cache : tensor<?x64xf32>
      func.func @f(%x: tensor<?x64xf32>) -> tensor<?x64xf32> {
        %y = transformer.silu %x : tensor<?x64xf32>
        return %y : tensor<?x64xf32>
      }";
    let compiled = compile::compile(source, &small(Adapter::default()), Options::default()).expect("an op");
    let executor = gpu::Executor::new(gpu(), compiled.program, &compiled.code);
    let mut executor = executor.expect("the shaders compile");
    executor.make_state("cache", &[128, 64]).expect("as much as is bound at once");
    let error = executor.make_state("cache", &[129, 64]).expect_err("more than is bound").to_string();
    assert_eq!(
        error,
        "the GPU: the state 'cache' has 33024 bytes, and the adapter binds 32768 at once; give it fewer positions (--ctx)"
    );
    let bytes = vec![0; 129 * 64 * 4];
    let input = View { dims: &[129, 64], element: Element::F32, bytes: &bytes };
    let error = executor.run("f", &[input]).expect_err("more than is bound").to_string();
    assert_eq!(
        error,
        "the GPU: the input 'arg0' has 33024 bytes, and the adapter binds 32768 at once; give fewer rows at once, or a \
         shorter prompt"
    );
}
