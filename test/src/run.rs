//! Runs functions interpreted by the reference and compiled, and compares the results.
//!
//! A [`Case`] is a function without its name and the calls to make, in order; a [`Suite`] puts many into one module, so
//! that they are compiled together. Inputs are random, except integers, which the case specifies. On every instruction
//! set of this machine the results must equal the reference's within a tolerance, and be the same bytes on 1, 2 and 4
//! threads; also on its GPU (possibly a software one), with all its features and with only those that every adapter
//! has.

use crate::browser;
use kforge_dialect::Interpreter;
use kforge_lowering::{
    compile::{self, Compiled, Machine, Options},
    to_wgsl::{Shader, check},
};
use kforge_passes::Fusions;
use kforge_program::{Element, Layout};
use kforge_reference::{Comparison, Tensor, Tolerance, compare, random};
use kforge_runtime::{Execute, Executor, gpu};
use kforge_target::{Adapter, Isa};
use kforge_tools::{
    gpu::features,
    tensors::{self, Inputs},
};
use std::{collections::HashSet, fmt::Write as _, sync::OnceLock};

/// Thread counts that must agree on every byte.
pub const THREADS: [usize; 3] = [1, 2, 4];

/// Instruction sets of this machine, the widest first. The last is the baseline, without FMA and f16.
pub fn isas() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| Machine::host(Some(*isa)).is_ok()).collect()
}

/// The first GPU of this machine, opened once.
///
/// # Panics
/// If there is none: `make setup` installs a software one.
pub fn gpu() -> gpu::Gpu {
    static GPU: OnceLock<gpu::Gpu> = OnceLock::new();
    let open = || gpu::Adapter::choose(None).and_then(|adapter| adapter.open()).unwrap_or_else(|e| panic!("{e}"));
    GPU.get_or_init(open).clone()
}

/// The features of this machine's GPU, and those that every GPU has.
pub fn adapters() -> Vec<Adapter> {
    let all = features(&gpu().adapter);
    let least = Adapter::default();
    if all == least { vec![all] } else { vec![all, least] }
}

/// One call of a function.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Sizes of the dynamic dimensions of the inputs, in order.
    pub sizes: Vec<usize>,
    /// Values of the i32 inputs, in order.
    pub integers: Vec<Vec<i32>>,
}

/// A function and its calls.
#[derive(Clone, Debug)]
pub struct Case {
    /// For messages.
    pub name: String,
    /// The function's own globals: each name contains `$`, which becomes the case's number.
    pub globals: String,
    /// Signature and body: `(%x: tensor<?x3xf32>) -> tensor<?x3xf32> { ... }`.
    pub function: String,
    pub calls: Vec<Call>,
    /// Shapes of the mutable globals, in order.
    pub states: Vec<Vec<usize>>,
    /// Allowed error in units of the tolerance: roundings of the result's type that fusion skips.
    pub slack: f64,
}

impl Case {
    pub fn new(name: impl Into<String>, function: impl Into<String>) -> Case {
        Case {
            name: name.into(),
            globals: String::new(),
            function: function.into(),
            calls: vec![],
            states: vec![],
            slack: 1.0,
        }
    }

    /// A call without integers.
    pub fn sizes(self, sizes: &[usize]) -> Case {
        self.call(sizes, &[])
    }

    pub fn call(mut self, sizes: &[usize], integers: &[&[i32]]) -> Case {
        let integers = integers.iter().map(|values| values.to_vec()).collect();
        self.calls.push(Call { sizes: sizes.to_vec(), integers });
        self
    }

    /// One call per size of the only dynamic dimension.
    pub fn rows(self, rows: &[usize]) -> Case {
        rows.iter().fold(self, |case, rows| case.sizes(&[*rows]))
    }

    pub fn slack(mut self, slack: f64) -> Case {
        self.slack = slack;
        self
    }

    /// Adds a mutable global `NAME$` of a type, with its shape if that is dynamic.
    pub fn state(mut self, name: &str, ty: &str, dims: &[usize]) -> Case {
        let _ = writeln!(self.globals, "ml_program.global private mutable @{name}$ : {ty}");
        self.states.push(dims.to_vec());
        self
    }
}

/// Results of a case's calls, and the state after the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub results: Vec<Vec<Tensor>>,
    pub states: Vec<Tensor>,
}

/// Cases that are compiled as one module.
#[derive(Default)]
pub struct Suite {
    pub cases: Vec<Case>,
}

impl Suite {
    pub fn new(cases: impl IntoIterator<Item = Case>) -> Suite {
        Suite { cases: cases.into_iter().collect() }
    }

    /// Name of case `index`'s function.
    pub fn entry(index: usize) -> String {
        format!("case{index}")
    }

    pub fn text(&self) -> String {
        self.text_of(|_| true)
    }

    /// The module of the cases for which `wanted` is true.
    fn text_of(&self, wanted: impl Fn(usize) -> bool) -> String {
        let mut text = String::new();
        for (i, case) in self.cases.iter().enumerate().filter(|(i, _)| wanted(*i)) {
            let number = |text: &str| text.replace('$', &i.to_string());
            let _ = writeln!(text, "{}func.func @{}{}", number(&case.globals), Self::entry(i), number(&case.function));
        }
        text
    }

    /// The inputs of every call of every case.
    pub fn inputs(&self) -> Vec<Vec<Vec<Tensor>>> {
        let context = compile::context();
        let text = self.text();
        let module = compile::parse(&context, &text).unwrap_or_else(|e| panic!("{e}"));
        let interpreter = Interpreter::new(&module).expect("the module can be interpreted");
        let functions = interpreter.functions();
        let inputs = |(i, case): (usize, &Case)| {
            let name = Self::entry(i);
            let function = functions.iter().find(|f| f.name == name).expect("a function for each case");
            case.calls.iter().map(|call| inputs(&case.name, &function.inputs, call, 1000 * i as u64)).collect()
        };
        self.cases.iter().enumerate().map(inputs).collect()
    }

    /// Runs the reference.
    pub fn reference(&self, inputs: &[Vec<Vec<Tensor>>]) -> Vec<Outcome> {
        let context = compile::context();
        let module = compile::parse(&context, &self.text()).expect("the module parses");
        let mut interpreter = Interpreter::new(&module).expect("the module can be interpreted");
        let outcome = |(i, case): (usize, &Case)| {
            let states: Vec<_> = interpreter.globals().into_iter().filter(|g| g.mutable && is_of(&g.name, i)).collect();
            for (global, dims) in states.iter().zip(&case.states).filter(|(global, _)| !global.initialised) {
                let zeros = Tensor::zeros(dims.clone(), global.element).expect("a state's shape");
                interpreter.set_global(&global.name, zeros).expect("a state's type");
            }
            let call = |inputs: &Vec<Tensor>| {
                let results = interpreter.call(&Self::entry(i), inputs.clone());
                results.unwrap_or_else(|e| panic!("{}: {e}", case.name))
            };
            let results = inputs[i].iter().map(call).collect();
            let states = states.iter().filter_map(|g| interpreter.global(&g.name).cloned()).collect();
            Outcome { results, states }
        };
        self.cases.iter().enumerate().map(outcome).collect()
    }

    pub fn compile(&self, isa: Isa, fuse: Fusions) -> Compiled {
        let target = Machine::host(Some(isa)).expect("an instruction set of this machine");
        compile::compile(&self.text(), &target, Options { fuse, ..Options::default() })
            .unwrap_or_else(|e| panic!("{isa}: {e}"))
    }

    /// Runs compiled code.
    pub fn run(&self, compiled: &Compiled, threads: usize, inputs: &[Vec<Vec<Tensor>>]) -> Vec<Outcome> {
        let executor = Executor::new(compiled.program.clone(), &compiled.code, threads);
        let mut executor = executor.expect("the object loads");
        (0..self.cases.len()).map(|i| self.run_case(i, &mut executor, inputs)).collect()
    }

    /// Runs a case on an executor.
    fn run_case(&self, i: usize, executor: &mut dyn Execute, inputs: &[Vec<Vec<Tensor>>]) -> Outcome {
        let case = &self.cases[i];
        let globals = executor.program().globals.iter();
        let states: Vec<_> = globals.filter(|g| g.mutable && is_of(&g.name, i)).cloned().collect();
        for (global, dims) in states.iter().zip(&case.states) {
            executor.make_state(&global.name, dims).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
        let call = |inputs: &Vec<Tensor>| {
            call(executor, &Self::entry(i), inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name))
        };
        let results = inputs[i].iter().map(call).collect();
        let state = |(global, dims): (&kforge_program::Global, &Vec<usize>)| {
            let bytes = executor.read_state(&global.name).ok().flatten().expect("the state was made");
            unpacked(global.layout, global.ty.element, dims, &bytes)
        };
        let states = states.iter().zip(&case.states).map(state).collect();
        Outcome { results, states }
    }

    /// Failures of the cases on a GPU with the features of `adapter`: wrong results, or rejected without a valid
    /// reason.
    fn check_gpu(&self, adapter: Adapter, fuse: Fusions, inputs: &[Vec<Vec<Tensor>>], expected: &[Outcome]) -> String {
        let options = Options { fuse, ..Options::default() };
        let mut failures = String::new();
        let mut refused = HashSet::new();
        for (i, case) in self.cases.iter().enumerate() {
            let Err(error) = compile::compile(&self.text_of(|other| other == i), &adapter, options) else {
                continue;
            };
            refused.insert(i);
            let has = |what: &str| case.function.contains(what) || case.globals.contains(what);
            let may = has("bf16") || has("f16") && !adapter.f16 || has("quantize") || has("#transformer.q8");
            if !(may && error.to_string().contains("which no kernel of")) {
                let _ = writeln!(failures, "{adapter}, {}: {error}", case.name);
            }
        }
        let translated = compile::translate_gpu(&self.text_of(|i| !refused.contains(&i)), adapter, options);
        let (program, shaders) = translated.unwrap_or_else(|e| panic!("{adapter}: {e}"));
        shaders.iter().for_each(check_writers);
        browser::check(&shaders);
        let shaders: Vec<_> = shaders.iter().map(Shader::to_program).collect();
        let executor = gpu::Executor::new(gpu(), program, &shaders);
        let mut executor = executor.unwrap_or_else(|e| panic!("{adapter}: {e}"));
        for i in (0..self.cases.len()).filter(|i| !refused.contains(i)) {
            let actual = self.run_case(i, &mut executor, inputs);
            if let Err(message) = agree(&self.cases[i], &actual, &expected[i]) {
                let _ = writeln!(failures, "{adapter}, {}: {message}", self.cases[i].name);
            }
        }
        failures
    }

    /// Compares fused kernels with the reference on every instruction set and thread count.
    ///
    /// # Panics
    /// If a result is outside its tolerance, or depends on the number of threads.
    pub fn check(&self) {
        self.check_on(&self.inputs());
    }

    /// The same, on given inputs.
    ///
    /// # Panics
    /// As [`Suite::check`].
    pub fn check_on(&self, inputs: &[Vec<Vec<Tensor>>]) {
        self.check_each(inputs, |_, _, _| String::new());
    }

    /// The same; also, separate kernels per op must give the same bits, as fusion does not change the order of sums.
    ///
    /// # Panics
    /// As [`Suite::check`], or if fusing changes a bit.
    pub fn check_fusion(&self) {
        let inputs = self.inputs();
        self.check_each(&inputs, |isa, _, fused| {
            let unfused = self.run(&self.compile(isa, Fusions::NONE), 2, &inputs);
            self.each_case(isa, |i| {
                same_bytes(&fused[i], &unfused[i])
                    .then_some(())
                    .ok_or("fusing changes the bits of the result".to_owned())
            })
        });
    }

    /// The same; also, separate kernels per op must be within the tolerance.
    ///
    /// # Panics
    /// As [`Suite::check`], for both.
    pub fn check_fusion_within_tolerance(&self) {
        let inputs = self.inputs();
        self.check_each(&inputs, |isa, expected, _| {
            let unfused = self.run(&self.compile(isa, Fusions::NONE), 2, &inputs);
            let agree = |i| agree(&self.cases[i], &unfused[i], &expected[i]);
            self.each_case(isa, |i| agree(i).map_err(|message| format!("unfused: {message}")))
        });
    }

    /// Compares fused kernels with the reference on this machine's GPU, with the features of each of `adapters`.
    ///
    /// # Panics
    /// If a result is outside its tolerance.
    pub fn check_adapters(&self, adapters: &[Adapter]) {
        let inputs = self.inputs();
        let expected = self.reference(&inputs);
        let check = |adapter: &Adapter| self.check_gpu(*adapter, Fusions::ALL, &inputs, &expected);
        let failures: String = adapters.iter().map(check).collect();
        assert!(failures.is_empty(), "compiled code is wrong\n{failures}");
    }

    /// Checks fused kernels; `more` adds checks, given the instruction set and the expected and actual results.
    fn check_each(&self, inputs: &[Vec<Vec<Tensor>>], more: impl Fn(Isa, &[Outcome], &[Outcome]) -> String) {
        let expected = self.reference(inputs);
        let mut failures = String::new();
        for isa in isas() {
            let compiled = self.compile(isa, Fusions::ALL);
            let [one, rest @ ..] = THREADS.map(|threads| self.run(&compiled, threads, inputs));
            failures += &self.each_case(isa, |i| agree(&self.cases[i], &one[i], &expected[i]));
            failures += &self.each_case(isa, |i| {
                let same = rest.iter().all(|other| same_bytes(&one[i], &other[i]));
                same.then_some(()).ok_or("the result depends on the number of threads".to_owned())
            });
            failures += &more(isa, &expected, &one);
        }
        for (i, adapter) in adapters().into_iter().enumerate() {
            // Separate kernels per op only once, on the widest instruction set.
            let fusions = if i == 0 { [Fusions::ALL, Fusions::NONE].as_slice() } else { &[Fusions::ALL] };
            for fuse in fusions {
                failures += &self.check_gpu(adapter, *fuse, inputs, &expected);
            }
        }
        assert!(failures.is_empty(), "compiled code is wrong\n{failures}");
    }

    /// Failures of a check of each case, one per line.
    fn each_case(&self, isa: Isa, check: impl Fn(usize) -> Result<(), String>) -> String {
        let failure = |i: usize| check(i).err().map(|message| format!("{isa}, {}: {message}\n", self.cases[i].name));
        (0..self.cases.len()).filter_map(failure).collect()
    }
}

/// Checks that naga accepts a generated shader, and writes it for Vulkan, Metal and DirectX.
///
/// # Panics
/// If not.
pub fn check_writers(shader: &Shader) {
    let valid = check::validate(shader).unwrap_or_else(|e| panic!("{e}\n{}", shader.text));
    let mut written = valid.spirv().map(drop);
    // Only Vulkan has 16 x 16 matrices.
    if !shader.features.cooperative_matrices {
        written = written.and_then(|()| valid.msl().map(drop)).and_then(|()| valid.hlsl().map(drop));
    }
    written.unwrap_or_else(|e| panic!("{e}\n{}", shader.text));
}

/// Whether a global belongs to case `index`.
fn is_of(name: &str, index: usize) -> bool {
    let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    number.parse() == Ok(index)
}

/// Random floats, and the call's integers, for a signature.
fn inputs(name: &str, signature: &kforge_dialect::interpret::Signature, call: &Call, seed: u64) -> Vec<Tensor> {
    let (mut sizes, mut integers) = (call.sizes.iter(), call.integers.iter());
    let input = |(i, (dims, element)): (usize, &(Vec<Option<usize>>, Element))| {
        let size =
            |d: &Option<usize>| d.or_else(|| sizes.next().copied()).unwrap_or_else(|| panic!("{name}: too few sizes"));
        let shape: Vec<usize> = dims.iter().map(size).collect();
        if element.is_integer() {
            let values = integers.next().unwrap_or_else(|| panic!("{name}: too few integers"));
            return Tensor::i32(shape, values.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        random::uniform(seed + i as u64, &shape, *element).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let inputs = signature.iter().enumerate().map(input).collect();
    assert!(sizes.next().is_none() && integers.next().is_none(), "{name}: too many sizes or integers");
    inputs
}

/// Calls a function of an executor with tensors.
///
/// # Errors
/// The executor's.
pub fn call(executor: &mut dyn Execute, function: &str, inputs: &[Tensor]) -> kforge_runtime::Result<Vec<Tensor>> {
    let inputs = Inputs::new(inputs).expect("inputs that are passed in");
    let outputs = executor.call(function, &inputs.views())?;
    Ok(tensors::results(&outputs).expect("results of tests are row-major"))
}

/// Sets a weight of an executor to a tensor.
///
/// # Errors
/// The executor's.
pub fn set_weight(executor: &mut Executor, name: &str, weight: &Tensor) -> kforge_runtime::Result<()> {
    executor.set_weight(name, Inputs::new([weight]).expect("a weight that is passed in").views()[0])
}

/// Checks that results and states equal the reference's.
///
/// # Errors
/// Which differs, and by how much.
pub fn agree(case: &Case, actual: &Outcome, expected: &Outcome) -> Result<(), String> {
    for (c, (actual, expected)) in actual.results.iter().zip(&expected.results).enumerate() {
        let place = |i| format!("call {c} {:?}, result {i}", case.calls.get(c).map(|call| &call.sizes));
        all_near(actual, expected, case.slack).map_err(|(i, message)| format!("{}: {message}", place(i)))?;
    }
    all_near(&actual.states, &expected.states, case.slack).map_err(|(i, message)| format!("state {i}: {message}"))
}

fn all_near(actual: &[Tensor], expected: &[Tensor], slack: f64) -> Result<(), (usize, String)> {
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        near(actual, expected, slack).map_err(|message| (i, message))?;
    }
    (actual.len() == expected.len()).then_some(()).ok_or((0, "another number of tensors".into()))
}

/// Checks that a tensor equals another within `slack` units. A unit is relative to the largest element (at least 1, as
/// for inputs): 1e-5 for f32, one in the last place for f16 and bf16.
///
/// # Errors
/// By how much it differs.
pub fn near(actual: &Tensor, expected: &Tensor, slack: f64) -> Result<Comparison, String> {
    let unit = match expected.element() {
        Element::F16 => 2f64.powi(-10),
        Element::BF16 => 2f64.powi(-7),
        _ => 1e-5,
    };
    let largest = expected.to_f32().into_iter().map(|x| f64::from(x.abs())).fold(1.0, f64::max);
    let tolerance = Tolerance { abs: slack * unit * largest, rel: 0.0 };
    let comparison = compare(actual, expected, tolerance).map_err(|e| e.to_string())?;
    if comparison.within_tolerance() { Ok(comparison) } else { Err(comparison.to_string()) }
}

/// Whether two outcomes have the same bits.
pub fn same_bytes(a: &Outcome, b: &Outcome) -> bool {
    let bytes = |outcome: &Outcome| -> Vec<Vec<u8>> {
        outcome.results.iter().flatten().chain(&outcome.states).map(Tensor::to_bytes).collect()
    };
    bytes(a) == bytes(b)
}

/// A state as a row-major tensor, whatever its layout.
fn unpacked(layout: Layout, element: Element, dims: &[usize], bytes: &[u8]) -> Tensor {
    let width = element.bytes().expect("state is no quantised weight");
    let [batch, rows, heads, depth] = dims[..] else { panic!("a state of rank {}", dims.len()) };
    let padded = rows.next_multiple_of(16);
    let mut out = vec![];
    // An integer and its scale, in a group of sixteen rows.
    let scaled = |group: usize, code: usize, scale: usize| {
        let group = &bytes[group * depth / 32 * 576..];
        let at = 16 * depth + 4 * scale;
        let scale = f32::from_le_bytes(group[at..at + 4].try_into().expect("four bytes"));
        (f32::from(group[code] as i8) * scale).to_le_bytes()
    };
    for (b, row, head, d) in each(batch, rows, heads, depth) {
        let first = (b * heads + head) * padded;
        let at = match layout {
            Layout::HeadMajor => (first + row) * depth + d,
            Layout::Keys16 => (first + row / 16 * 16) * depth + d * 16 + row % 16,
            Layout::Keys16Int8 => {
                out.extend(scaled((first + row) / 16, d * 16 + row % 16, d / 32 * 16 + row % 16));
                continue;
            }
            Layout::HeadMajorInt8 => {
                out.extend(scaled((first + row) / 16, row % 16 * depth + d, row % 16 * (depth / 32) + d / 32));
                continue;
            }
            _ => ((b * rows + row) * heads + head) * depth + d,
        };
        out.extend(&bytes[at * width..(at + 1) * width]);
    }
    Tensor::from_bytes(dims, element, &out).expect("a state of its shape's size")
}

fn each(batch: usize, rows: usize, heads: usize, depth: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let inner =
        move |b| (0..rows).flat_map(move |r| (0..heads).flat_map(move |h| (0..depth).map(move |d| (b, r, h, d))));
    (0..batch).flat_map(inner)
}
