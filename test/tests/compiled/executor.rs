//! Invalid calls give one clear error, and the executor remains usable.

use kforge_lowering::compile::{self, Compiled, Machine, Options};
use kforge_program::{Element, Program};
use kforge_runtime::{Executor, View};

const SOURCE: &str = r#"
ml_program.global private @w(#ml_program.extern<tensor<17x32xf32>>) : tensor<17x32xf32>
ml_program.global private @q(#ml_program.extern<!transformer.quant<q4_1, 17x32>>) : !transformer.quant<q4_1, 17x32>
ml_program.global private mutable @cache : tensor<2x?x1x4xf32>

func.func @layer(%x: tensor<?x32xf32>, %r: tensor<?x17xf32>) -> tensor<?x17xf32> {
  %w = ml_program.global_load_const @w : tensor<17x32xf32>
  %q = ml_program.global_load_const @q : !transformer.quant<q4_1, 17x32>
  %y = transformer.linear %x, %w : tensor<?x32xf32>, tensor<17x32xf32> -> tensor<?x17xf32>
  %z = transformer.linear %x, %q : tensor<?x32xf32>, !transformer.quant<q4_1, 17x32> -> tensor<?x17xf32>
  %s = arith.addf %y, %z : tensor<?x17xf32>
  %t = arith.addf %s, %r : tensor<?x17xf32>
  return %t : tensor<?x17xf32>
}

func.func @append(%k: tensor<2x?x1x4xf32>, %p: tensor<2xi32>, %l: tensor<2xi32>) -> tensor<2x?x1x4xf32> {
  %c = ml_program.global_load @cache : tensor<2x?x1x4xf32>
  %n = transformer.kv_update %c, %k at %p lengths %l : tensor<2x?x1x4xf32>, tensor<2x?x1x4xf32>, tensor<2xi32>, tensor<2xi32>
  ml_program.global_store @cache = %n : tensor<2x?x1x4xf32>
  %y = transformer.silu %k : tensor<2x?x1x4xf32>
  return %y : tensor<2x?x1x4xf32>
}

func.func @paged(%q: tensor<?x1x1x4xf32>, %k: tensor<?x4x1x4xf32>, %v: tensor<?x4x1x4xf32>, %p: tensor<?xi32>, %t: tensor<?x2xi32>) -> tensor<?x1x1x4xf32> {
  %y = transformer.attention %q, %k, %v at %p blocks %t {causal} : tensor<?x1x1x4xf32>, tensor<?x4x1x4xf32>, tensor<?x4x1x4xf32>, tensor<?xi32> blocks tensor<?x2xi32>
  return %y : tensor<?x1x1x4xf32>
}

func.func @pick(%ids: tensor<?xi32>, %table: tensor<5x3xf16>) -> tensor<?x3xf16> {
  %y = transformer.embedding %ids, %table : tensor<?xi32>, tensor<5x3xf16> -> tensor<?x3xf16>
  return %y : tensor<?x3xf16>
}
"#;

fn compiled() -> Compiled {
    compile::compile(SOURCE, &Machine::host(None).expect("this machine"), Options::default())
        .expect("the module compiles")
}

fn load(compiled: &Compiled) -> Executor {
    Executor::new(compiled.program.clone(), &compiled.code, 2).expect("the object loads")
}

fn view<'a>(dims: &'a [usize], element: Element, bytes: &'a [u8]) -> View<'a> {
    View { dims, element, bytes }
}

fn i32s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn error<T>(result: kforge_runtime::Result<T>) -> String {
    result.err().map(|e| e.to_string()).expect("the call must be refused")
}

#[test]
fn globals_are_checked() {
    let mut executor = load(&compiled());
    let zeros = [0; 17 * 32 * 4];
    let weight = view(&[17, 32], Element::F32, &zeros);
    let (x, r) = (view(&[1, 32], Element::F32, &zeros[..128]), view(&[1, 17], Element::F32, &zeros[..68]));
    assert_eq!(error(executor.call("layer", &[x, r])), "layer: the global 'w' has no value");
    assert_eq!(error(executor.set_weight("v", weight)), "weight 'v': the program has no such global");
    for (dims, element, given) in [
        (vec![32, 17], Element::F32, "tensor<32x17xf32>"),
        (vec![17, 32], Element::F16, "tensor<17x32xf16>"),
        (vec![544], Element::F32, "tensor<544xf32>"),
        (vec![], Element::F32, "tensor<f32>"),
    ] {
        let message = format!("weight 'w': the program wants tensor<17x32xf32>, but the checkpoint has {given}");
        assert_eq!(error(executor.set_weight("w", view(&dims, element, &zeros))), message);
    }
    let message = "weight 'w': 4 bytes are not 17 x 32 of f32";
    assert_eq!(error(executor.set_weight("w", view(&[17, 32], Element::F32, &zeros[..4]))), message);
    executor.set_weight("w", weight).expect("the right weight");
    assert_eq!(error(executor.call("layer", &[x, r])), "layer: the global 'q' has no value");
    let format = "q4_1".parse().expect("a format");
    let message = error(executor.set_weight("q", weight));
    assert_eq!(message, "weight 'q': the program wants tensor<17x32xq4_1>, but the checkpoint has tensor<17x32xf32>");
    assert_eq!(
        error(executor.set_weight("q", view(&[17, 32], Element::Quant(format), &zeros[..19]))),
        "weight 'q': 19 bytes are not 17 x 32 of q4_1"
    );
    executor.set_weight("q", view(&[17, 32], Element::Quant(format), &zeros[..17 * 20])).expect("the right weight");
    executor.call("layer", &[x, r]).expect("all weights are set");

    let (k, p) = (view(&[2, 1, 1, 4], Element::F32, &zeros[..32]), i32s(&[0, 0]));
    let p = view(&[2], Element::I32, &p);
    assert_eq!(error(executor.call("append", &[k, p, p])), "append: the global 'cache' has no value");
    for dims in [&[2, 3, 1, 5][..], &[1, 3, 1, 4], &[2, 3, 4]] {
        let message = error(executor.make_state("cache", dims));
        assert!(message.starts_with(&format!("weight 'cache': the shape {dims:?} does not fit")), "{message}");
    }
    assert_eq!(error(executor.make_state("caches", &[1])), "weight 'caches': the program has no such global");
    assert_eq!(error(executor.set_weight("cache", weight)), "weight 'cache': has no static shape");
    // More than an address space.
    error(executor.make_state("cache", &[2, usize::MAX / 2, 1, 4]));
    error(executor.make_state("cache", &[2, 1 << 58, 1, 4]));
    executor.make_state("cache", &[2, 3, 1, 4]).expect("a shape that fits");
    executor.call("append", &[k, p, p]).expect("the state is made");
}

#[test]
fn inputs_are_checked() {
    let mut executor = load(&compiled());
    let zeros = [0; 17 * 32 * 4];
    executor.set_weight("w", view(&[17, 32], Element::F32, &zeros)).expect("the weight");
    executor
        .set_weight("q", view(&[17, 32], Element::Quant("q4_1".parse().expect("a format")), &zeros[..17 * 20]))
        .expect("the weight");
    executor.make_state("cache", &[2, 3, 1, 4]).expect("the state");
    let x = |rows: usize| &zeros[..rows * 128];
    let (two, one) = ([2, 32], [2, 17]);
    let good = [view(&two, Element::F32, x(2)), view(&one, Element::F32, &zeros[..136])];

    assert_eq!(
        error(executor.call("main", &good)),
        "there is no function 'main'; the program has layer, append, paged, pick"
    );
    assert_eq!(error(executor.call("layer", &good[..1])), "layer: takes 2 inputs, but 1 were given");
    assert_eq!(error(executor.call("layer", &[])), "layer: takes 2 inputs, but 0 were given");
    let mut wrong =
        |dims: &[usize], element, bytes: &[u8]| error(executor.call("layer", &[view(dims, element, bytes), good[1]]));
    assert_eq!(wrong(&[64], Element::F32, x(2)), "layer: input 0 must be tensor<s0x32xf32>, but is tensor<64xf32>");
    assert_eq!(
        wrong(&[2, 32], Element::F16, x(1)),
        "layer: input 0 must be tensor<s0x32xf32>, but is tensor<2x32xf16>"
    );
    assert_eq!(wrong(&[4, 16], Element::F32, x(2)), "layer: input 0 must be tensor<4x32xf32>, but is tensor<4x16xf32>");
    assert_eq!(wrong(&[2, 32], Element::F32, x(1)), "layer: input 0 has 128 bytes, which is not its shape's size");
    assert_eq!(
        wrong(&[usize::MAX, 32], Element::F32, x(1)),
        "layer: input 0 has 128 bytes, which is not its shape's size"
    );
    // The element-wise op takes two tensors with the same number of rows, which only the call determines.
    let message = error(executor.call("layer", &[view(&[3, 32], Element::F32, x(3)), good[1]]));
    assert_eq!(message, "layer: axis 0 of input 0 must be axis 0 of input 1, but they are 3 and 2");
    executor.call("layer", &good).expect("what is right goes through");

    let pick = |executor: &mut Executor, ids: &[i32]| {
        let bytes = i32s(ids);
        let table = [0; 30];
        executor
            .call("pick", &[view(&[ids.len()], Element::I32, &bytes), view(&[5, 3], Element::F16, &table)])
            .map(|_| ())
    };
    assert_eq!(error(pick(&mut executor, &[0, 4, 5])), "pick: input 0 has 5 at element 2, but must be in 0..5");
    assert_eq!(error(pick(&mut executor, &[-1])), "pick: input 0 has -1 at element 0, but must be in 0..5");
    assert_eq!(
        error(pick(&mut executor, &[i32::MIN])),
        format!("pick: input 0 has {} at element 0, but must be in 0..5", i32::MIN)
    );
    pick(&mut executor, &[]).expect("no ids");

    let append = |executor: &mut Executor, rows: usize, positions: [i32; 2], lengths: [i32; 2]| {
        let (p, l) = (i32s(&positions), i32s(&lengths));
        let dims = [2, rows, 1, 4];
        executor
            .call(
                "append",
                &[
                    view(&dims, Element::F32, &zeros[..rows * 32]),
                    view(&[2], Element::I32, &p),
                    view(&[2], Element::I32, &l),
                ],
            )
            .map(|_| ())
    };
    append(&mut executor, 2, [0, 1], [2, 2]).expect("just fits");
    append(&mut executor, 4, [0, 3], [3, 0]).expect("only real rows count");
    assert_eq!(
        error(append(&mut executor, 2, [0, 2], [2, 2])),
        "append: input 1 has 2 at element 1, but must be in 0..=1: the cache holds 3, and 2 rows follow"
    );
    assert_eq!(
        error(append(&mut executor, 2, [-1, 0], [2, 2])),
        "append: input 1 has -1 at element 0, but must be in 0..=1: the cache holds 3, and 2 rows follow"
    );
    assert_eq!(
        error(append(&mut executor, 1, [i32::MAX, 0], [1, 1])),
        format!(
            "append: input 1 has {} at element 0, but must be in 0..=2: the cache holds 3, and 1 rows follow",
            i32::MAX
        )
    );
    // Like the reference, rejects lengths before computing: more rows than there are, and negative ones.
    for (lengths, at, length) in [([3, 2], 0, 3), ([2, -1], 1, -1)] {
        assert_eq!(
            error(append(&mut executor, 2, [0, 0], lengths)),
            format!("append: input 2 has {length} at element {at}, but must be in 0..=2")
        );
    }
    assert_eq!(
        error(append(&mut executor, 4, [0, 0], [4, 4])),
        "append: input 1 has 0 at element 0, but 4 rows follow, and the cache holds 3"
    );
}

/// An invalid block would be read from arbitrary memory.
#[test]
fn block_tables_are_checked() {
    let mut executor = load(&compiled());
    let zeros = [0; 3 * 64];
    let mut call = |positions: &[i32], table: &[i32], blocks: [usize; 2]| {
        let (p, t) = (i32s(positions), i32s(table));
        let pages = blocks.map(|blocks| [blocks, 4, 1, 4]);
        let [k, v] = pages.each_ref().map(|dims| view(dims, Element::F32, &zeros[..dims[0] * 64]));
        let (q_dims, p_dims, t_dims) = ([2, 1, 1, 4], [positions.len()], [table.len() / 2, 2]);
        let inputs = [
            view(&q_dims, Element::F32, &zeros[..32]),
            k,
            v,
            view(&p_dims, Element::I32, &p),
            view(&t_dims, Element::I32, &t),
        ];
        executor.call("paged", &inputs).map(|_| ())
    };
    call(&[3, 7], &[2, -1, 0, 1], [3, 3]).expect("a page without tokens may be nowhere");
    for (positions, table, message) in [
        ([4, 7], [2, -1, 0, 1], "input 4 has -1 at element 1, but for page 1 of sequence 0 must be in 0..3"),
        ([3, 7], [2, -1, 3, 1], "input 4 has 3 at element 2, but for page 0 of sequence 1 must be in 0..3"),
        (
            [3, 7],
            [2, -1, i32::MIN, 1],
            "input 4 has -2147483648 at element 2, but for page 0 of sequence 1 must be in 0..3",
        ),
        (
            [3, 8],
            [2, -1, 0, 1],
            "input 3 has 8 at element 1, but must be in 0..=7: its pages hold 8, and 1 rows follow",
        ),
        (
            [-1, 7],
            [2, -1, 0, 1],
            "input 3 has -1 at element 0, but must be in 0..=7: its pages hold 8, and 1 rows follow",
        ),
        (
            [i32::MAX, 7],
            [2, -1, 0, 1],
            "input 3 has 2147483647 at element 0, but must be in 0..=7: its pages hold 8, and 1 rows follow",
        ),
    ] {
        assert_eq!(error(call(&positions, &table, [3, 3])), format!("paged: {message}"));
    }
    // Keys and values must have the same number of blocks, and all inputs the same number of sequences.
    let message = error(call(&[3, 7], &[2, -1, 0, 1], [3, 2]));
    assert_eq!(message, "paged: axis 0 of input 1 must be axis 0 of input 2, but they are 3 and 2");
    let message = error(call(&[3], &[2, 1], [3, 3]));
    assert_eq!(message, "paged: axis 0 of input 0 must be axis 0 of input 3, but they are 2 and 1");
}

#[test]
fn objects_and_programs_are_checked() {
    let Compiled { program, code: object } = compiled();
    let fails = |program: &Program, object: &[u8]| error(Executor::new(program.clone(), object, 1));
    for damaged in [&[][..], b"not an object", &object[..64], &object[..object.len() / 2]] {
        let message = fails(&program, damaged);
        assert!(message.starts_with("the object does not load: "), "{message}");
    }
    let other = compile::compile(
        "func.func @f(%x: tensor<3xf32>) -> tensor<3xf32> {\n %y = arith.negf %x : tensor<3xf32>\n return %y : tensor<3xf32>\n}",
        &Machine::host(None).expect("this machine"),
        Options::default(),
    );
    let message = fails(&program, &other.expect("a module of one op").code);
    assert!(message.contains(&program.kernels[0].name), "{message}");
    let mut newer = program.clone();
    newer.version += 1;
    assert_eq!(
        fails(&newer, &object),
        format!(
            "the program is not valid: the program has version {}, this executor runs {}",
            newer.version,
            Program::VERSION
        )
    );
    let mut racing = program.clone();
    let function =
        racing.functions.iter_mut().find(|f| f.launches.iter().any(|l| l.barrier)).expect("a function of two steps");
    function.launches.iter_mut().for_each(|l| l.barrier = false);
    assert!(fails(&racing, &object).ends_with("needs a barrier before it"));
    // Zero threads means one thread.
    assert_eq!(Executor::new(program, &object, 0).expect("one thread").threads(), 1);
}
