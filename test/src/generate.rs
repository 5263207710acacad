//! Random modules: activations passing through ops and patterns of models, for differential tests.
//!
//! ```text
//! func.func @main(%arg0: tensor<?x17xf16>, %arg1: tensor<32x17xf32>, %arg2: tensor<32xf16>) -> tensor<?x32xf16> {
//!   %0 = transformer.linear %arg0, %arg1 : tensor<?x17xf16>, tensor<32x17xf32> -> tensor<?x32xf16>
//!   %1 = transformer.rms_norm %0, %arg2 {eps = 1.0e-2 : f32} : tensor<?x32xf16>, tensor<32xf16>
//!   return %1 : tensor<?x32xf16>
//! }
//! ```
//!
//! A module is determined by its seed. It verifies, and runs without error on any tensors of its input types: floats in
//! [-1, 1) keep all values far below the largest f16, and integers are positions, any value from 0 up.

use kforge_quant::BlockFormat;
use kforge_reference::{Element, Tensor, random::SplitMix64};
use std::{cmp::Reverse, fmt::Write};

/// Maximum `transformer` and `arith` ops per module, excluding constants.
pub const MAX_OPS: usize = 12;

/// Maximum elements of a constant, so that modules stay readable.
const MAX_CONSTANT: usize = 1024;

/// A module and its input types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    pub text: String,
    /// Sizes and element type, `f32`, `f16`, `i32` or a block format such as `q4_1`, of each input of `@main`.
    pub input_types: Vec<(Vec<usize>, String)>,
}

/// The text of a module with one function, `@main`.
pub fn module(seed: u64) -> String {
    generate(seed).text
}

/// A module and concrete sizes for its inputs.
pub fn generate(seed: u64) -> Generated {
    let mut generator = Generator::new(seed);
    generator.fill();
    generator.finish()
}

/// Row counts: single rows, below and above a register tile, and rarely none.
const ROWS: [usize; 12] = [1, 1, 1, 3, 3, 17, 17, 31, 31, 33, 33, 0];
/// Sizes of the last axis: odd ones, and multiples of 32 and 256 that block formats can have.
const WIDTHS: [usize; 18] = [1, 3, 3, 17, 17, 31, 31, 33, 33, 32, 32, 32, 64, 64, 96, 256, 256, 0];
/// Query heads and key heads.
const HEADS: [(usize, usize); 5] = [(1, 1), (2, 1), (3, 1), (4, 2), (3, 3)];
const DEPTHS: [usize; 5] = [2, 4, 16, 32, 3];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dim {
    size: usize,
    dynamic: bool,
}

fn fixed(size: usize) -> Dim {
    Dim { size, dynamic: false }
}

fn sizes(dims: &[Dim]) -> Vec<usize> {
    dims.iter().map(|dim| dim.size).collect()
}

/// An activation.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    dims: Vec<Dim>,
    /// Approximate magnitude of its elements.
    magnitude: f32,
}

impl Value {
    fn width(&self) -> usize {
        self.dims.last().map_or(1, |dim| dim.size)
    }

    /// Its sizes with another last dimension.
    fn with_width(&self, width: usize) -> Vec<Dim> {
        let leading = &self.dims[..self.dims.len() - 1];
        [leading, &[fixed(width)]].concat()
    }
}

/// A step that can come next.
#[derive(Clone, Copy)]
enum Step {
    Linear,
    Matmul,
    Norm,
    Activation,
    Residual,
    Mlp,
    GateUp,
    NormLinears,
    Attention,
}

impl Step {
    const ALL: [Step; 9] = [
        Step::Linear,
        Step::Matmul,
        Step::Norm,
        Step::Activation,
        Step::Residual,
        Step::Mlp,
        Step::GateUp,
        Step::NormLinears,
        Step::Attention,
    ];

    /// Maximum ops that it adds, including a norm that may be needed first.
    fn cost(self) -> usize {
        match self {
            Step::Norm | Step::Activation => 1,
            Step::Linear | Step::Matmul | Step::Residual | Step::Mlp => 2,
            Step::NormLinears => 4,
            Step::GateUp => 5,
            Step::Attention => 8,
        }
    }
}

/// Random choices.
struct Random(SplitMix64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True with probability 1 / `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

struct Generator {
    random: Random,
    /// Element type of all activations.
    element: &'static str,
    inputs: Vec<(String, Vec<usize>, String)>,
    body: String,
    /// Values, and whether an op uses them.
    values: Vec<(Value, bool)>,
    names: usize,
    ops: usize,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut random = Random(SplitMix64(seed));
        let element = random.pick(&["f32", "f32", "f16"]);
        let mut generator =
            Generator { random, element, inputs: vec![], body: String::new(), values: vec![], names: 0, ops: 0 };
        let rank = generator.random.pick(&[2, 2, 3, 3, 3]);
        let mut dims: Vec<Dim> = (1..rank).map(|_| generator.rows()).collect();
        if rank == 3 {
            // Batches stay small, so that the reference is fast.
            dims[0].size = generator.random.pick(&[1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 0]);
        }
        dims.push(fixed(generator.random.pick(&WIDTHS)));
        let name = generator.input(&dims, element);
        generator.values.push((Value { name, dims, magnitude: 1.0 }, true));
        generator
    }

    fn rows(&mut self) -> Dim {
        Dim { size: self.random.pick(&ROWS), dynamic: self.random.once_in(3) }
    }

    /// Adds steps up to a random number of ops.
    fn fill(&mut self) {
        let budget = 1 + self.random.below(MAX_OPS);
        while self.ops < budget {
            let left = budget - self.ops;
            let steps: Vec<Step> = Step::ALL.into_iter().filter(|step| step.cost() <= left).collect();
            let step = match steps.last() {
                // The longest pattern rarely fits, so it is preferred if it does.
                Some(Step::Attention) if self.random.once_in(2) => Step::Attention,
                _ => self.random.pick(&steps),
            };
            // Mostly a chain, sometimes a branch off it.
            let from = match self.random.once_in(6) {
                true => self.random.below(self.values.len()),
                false => self.values.len() - 1,
            };
            let x = self.values[from].0.clone();
            self.step(step, &x);
        }
    }

    fn step(&mut self, step: Step, x: &Value) {
        match step {
            Step::Linear => {
                let x = self.settle(x, 30.0);
                let width = self.random.pick(&WIDTHS);
                self.linear(&x, width);
            }
            Step::Matmul => {
                let x = self.settle(x, 4.0);
                self.matmul(&x);
            }
            Step::Norm => {
                self.norm(x);
            }
            Step::Activation => {
                let op = self.random.pick(&["gelu", "gelu_tanh", "silu", "scale", "softcap"]);
                let (op, attribute) = match op {
                    "gelu_tanh" => ("gelu", " {approximate = \"tanh\"}"),
                    "scale" => ("scale", " {factor = -8.75e-1 : f32}"),
                    "softcap" => ("softcap", " {cap = 5.0 : f32}"),
                    op => (op, ""),
                };
                let ty = self.ty(&x.dims);
                let text = format!("transformer.{op} {}{attribute} : {ty}", self.take(x));
                self.define(&text, &x.dims, x.magnitude);
            }
            Step::Residual => self.residual(x),
            Step::Mlp => {
                let x = self.settle(x, 1.0);
                let (width, inner) = (x.width(), self.random.pick(&WIDTHS));
                let weights = [(inner, width), (inner, width), (width, inner)].map(|(n, k)| self.weight(n, k));
                let names = weights.each_ref().map(|(name, _)| name.as_str()).join(", ");
                let types = weights.each_ref().map(|(_, ty)| ty.as_str()).join(", ");
                let attribute = self.random.pick(&["", " {activation = \"silu\"}", " {activation = \"gelu\"}"]);
                let ty = self.ty(&x.dims);
                let text = format!("transformer.mlp {}, {names}{attribute} : {ty}, {types}", self.take(&x));
                self.define(&text, &x.dims, grown(grown(1.0, width).powi(2), inner));
            }
            Step::GateUp => {
                let x = self.settle(x, 1.0);
                let inner = self.random.pick(&WIDTHS);
                let (gate, up) = (self.linear(&x, inner), self.linear(&x, inner));
                let ty = self.ty(&gate.dims);
                let text = format!("transformer.swiglu {}, {} : {ty}", self.take(&gate), self.take(&up));
                let product = self.define(&text, &gate.dims, gate.magnitude * up.magnitude);
                if self.random.once_in(2) {
                    self.linear(&product, x.width());
                }
            }
            Step::NormLinears => {
                let x = self.norm(x);
                for _ in 0..2 + self.random.below(2) {
                    let width = self.random.pick(&WIDTHS);
                    self.linear(&x, width);
                }
            }
            Step::Attention => match x.dims.as_slice() {
                [_, _, _] => {
                    let x = self.settle(x, 1.0);
                    self.attention(&x);
                }
                _ => self.step(Step::Linear, x),
            },
        }
    }

    /// The value, or its norm if it is too large for the next op.
    fn settle(&mut self, x: &Value, limit: f32) -> Value {
        if x.magnitude <= limit { x.clone() } else { self.norm(x) }
    }

    fn norm(&mut self, x: &Value) -> Value {
        let (ty, width) = (self.ty(&x.dims), x.width());
        if self.random.once_in(4) {
            let text = format!("transformer.softmax {} : {ty}", self.take(x));
            return self.define(&text, &x.dims, 1.0);
        }
        let eps = self.random.pick(&["{eps = 1.0e-5 : f32}", "{eps = 1.0e-2 : f32}"]);
        let (weight, weight_ty) = self.vector(width);
        let text = match self.random.below(4) {
            0 => format!("transformer.layer_norm {}, {weight} {eps} : {ty}, {weight_ty}", self.take(x)),
            1 => {
                let (bias, bias_ty) = self.vector(width);
                let x = self.take(x);
                format!("transformer.layer_norm {x}, {weight}, {bias} {eps} : {ty}, {weight_ty}, {bias_ty}")
            }
            _ => format!("transformer.rms_norm {}, {weight} {eps} : {ty}, {weight_ty}", self.take(x)),
        };
        self.define(&text, &x.dims, 1.0)
    }

    fn linear(&mut self, x: &Value, width: usize) -> Value {
        let dims = x.with_width(width);
        let (weight, weight_ty) = self.weight(width, x.width());
        let (ty, result) = (self.ty(&x.dims), self.ty(&dims));
        let text = match self.random.once_in(2) {
            true => {
                let (bias, bias_ty) = self.vector(width);
                let x = self.take(x);
                format!("transformer.linear {x}, {weight} bias {bias} : {ty}, {weight_ty}, {bias_ty} -> {result}")
            }
            false => format!("transformer.linear {}, {weight} : {ty}, {weight_ty} -> {result}", self.take(x)),
        };
        self.define(&text, &dims, grown(x.magnitude, x.width()))
    }

    /// A product with itself or with an input, each operand transposed or not.
    fn matmul(&mut self, x: &Value) -> Value {
        let (leading, last) = x.dims.split_at(x.dims.len() - 2);
        let (rows, columns) = (last[0], last[1]);
        let (m, k, flag_a) = match self.random.once_in(2) {
            true => (rows, columns, ""),
            false => (columns, rows, "transpose_a"),
        };
        // In a product with itself, m is also the last dimension, which is static in all values.
        let own = !m.dynamic && self.random.once_in(3);
        let (b, n, flag_b) = if own {
            (x.clone(), m, if flag_a.is_empty() { "transpose_b" } else { "" })
        } else {
            let n = fixed(self.random.pick(&WIDTHS));
            let (flag, last) = match self.random.once_in(2) {
                true => ("", [k, n]),
                false => ("transpose_b", [n, k]),
            };
            let dims = [leading, &last].concat();
            let name = self.operand(&dims, self.element);
            (Value { name, dims, magnitude: 1.0 }, n, flag)
        };
        let dims = [leading, &[m, n]].concat();
        let flags = [flag_a, flag_b].into_iter().filter(|flag| !flag.is_empty()).collect::<Vec<_>>().join(", ");
        let flags = if flags.is_empty() { flags } else { format!(" {{{flags}}}") };
        let (ty, b_ty, result) = (self.ty(&x.dims), self.ty(&b.dims), self.ty(&dims));
        let text = format!("transformer.matmul {}, {}{flags} : {ty}, {b_ty} -> {result}", self.take(x), self.take(&b));
        // Terms of a product with itself do not average out.
        let magnitude = if own { x.magnitude.powi(2) * k.size.max(1) as f32 } else { grown(x.magnitude, k.size) };
        self.define(&text, &dims, magnitude)
    }

    /// A sum or product with another value of the same type, or with an input.
    fn residual(&mut self, x: &Value) {
        let op = self.random.pick(&["addf", "addf", "mulf"]);
        let limit = if op == "mulf" { 30.0 } else { 1000.0 };
        let x = self.settle(x, limit);
        let fits = |value: &&Value| value.dims == x.dims && value.magnitude <= limit;
        let others: Vec<Value> = self.values.iter().map(|(value, _)| value).filter(fits).cloned().collect();
        let other = match others.is_empty() || self.random.once_in(3) {
            true => Value { name: self.operand(&x.dims, self.element), dims: x.dims.clone(), magnitude: 1.0 },
            false => others[self.random.below(others.len())].clone(),
        };
        let ty = self.ty(&x.dims);
        let text = format!("arith.{op} {}, {} : {ty}", self.take(&x), self.take(&other));
        let magnitude = if op == "mulf" { x.magnitude * other.magnitude } else { x.magnitude + other.magnitude };
        self.define(&text, &x.dims, magnitude);
    }

    /// Projections to heads, rope, attention, and the heads joined again.
    fn attention(&mut self, x: &Value) {
        let (heads, kv_heads) = self.random.pick(&HEADS);
        let depth = self.random.pick(&DEPTHS);
        let (batch, rows) = (x.dims[0], x.dims[1]);
        let rotated = depth.is_multiple_of(2) && !self.random.once_in(4);
        let positions = rotated.then(|| (self.operand(&[batch], "i32"), tensor(&[batch], "i32")));
        let mode = self.random.pick(&["interleaved", "half"]);
        let mut base = format!("mode = \"{mode}\", base = 1.0e4 : f32");
        if self.random.once_in(3) {
            let divisors: Vec<String> = (0..depth / 2).map(|i| format!("{}.0", 1 + i % 4)).collect();
            write!(base, ", freq_divisors = array<f32: {}>", divisors.join(", ")).expect("strings take all text");
        }
        let mut split = vec![];
        for (number, heads) in [heads, kv_heads, kv_heads].into_iter().enumerate() {
            let projected = self.linear(x, heads * depth);
            let mut value = self.expand(&projected, heads, depth);
            if let Some((positions, positions_ty)) = positions.as_ref().filter(|_| number < 2) {
                let (name, ty) = (self.take(&value), self.ty(&value.dims));
                let text = format!("transformer.rope {name} at {positions} {{{base}}} : {ty}, {positions_ty}");
                value = self.define(&text, &value.dims.clone(), value.magnitude);
            }
            split.push(value);
        }
        let [q, k, v] = split.try_into().expect("three values");
        let mut attributes = vec![];
        let quarters =
            [("causal", 3), ("window = 5 : i64", 1), ("softcap = 2.0e1 : f32", 1), ("scale = 2.5e-1 : f32", 1)];
        for (attribute, share) in quarters {
            if self.random.below(4) < share {
                attributes.push(attribute);
            }
        }
        let attributes = attributes.join(", ");
        let (q_ty, k_ty) = (self.ty(&q.dims), self.ty(&k.dims));
        let (qn, kn, vn) = (self.take(&q), self.take(&k), self.take(&v));
        let text = format!("transformer.attention {qn}, {kn}, {vn} {{{attributes}}} : {q_ty}, {k_ty}, {k_ty}");
        let mixed = self.define(&text, &q.dims.clone(), v.magnitude);
        let dims = [batch, rows, fixed(heads * depth)];
        let (from, to) = (self.ty(&mixed.dims), self.ty(&dims));
        let text = format!("tensor.collapse_shape {} [[0], [1], [2, 3]] : {from} into {to}", self.take(&mixed));
        let joined = self.define_view(&text, &dims, mixed.magnitude);
        if self.random.once_in(2) {
            self.linear(&joined, x.width());
        }
    }

    /// [B, S, heads * depth] as [B, S, heads, depth].
    fn expand(&mut self, x: &Value, heads: usize, depth: usize) -> Value {
        let name = self.take(x);
        let ty = self.ty(&x.dims);
        let mut shape = vec![];
        for (axis, dim) in x.dims[..2].iter().enumerate() {
            shape.push(match dim.dynamic {
                false => dim.size.to_string(),
                true => {
                    let (constant, size) = (self.name(), self.name());
                    self.line(&format!("{constant} = arith.constant {axis} : index"));
                    self.line(&format!("{size} = tensor.dim {name}, {constant} : {ty}"));
                    size
                }
            });
        }
        let dims = [x.dims[0], x.dims[1], fixed(heads), fixed(depth)];
        let (shape, to) = (shape.join(", "), self.ty(&dims));
        let text = format!(
            "tensor.expand_shape {name} [[0], [1], [2, 3]] output_shape [{shape}, {heads}, {depth}] : {ty} into {to}"
        );
        self.define_view(&text, &dims, x.magnitude)
    }

    /// A weight [n, k]: floats, or blocks where k allows it.
    fn weight(&mut self, n: usize, k: usize) -> (String, String) {
        if k > 0 && k.is_multiple_of(32) && !self.random.once_in(3) {
            let mut formats: Vec<BlockFormat> =
                BlockFormat::ALL.into_iter().filter(|f| k.is_multiple_of(f.block())).collect();
            formats.sort_by_key(|format| Reverse(format.block()));
            let format = self.random.pick(&formats).name();
            let ty = format!("!transformer.quant<{format}, {n}x{k}>");
            return (self.input_of(ty.clone(), vec![n, k], format), ty);
        }
        let element = self.random.pick(&["f32", "f16"]);
        let dims = [fixed(n), fixed(k)];
        (self.operand(&dims, element), tensor(&dims, element))
    }

    /// An operand of one axis, for norms and biases.
    fn vector(&mut self, length: usize) -> (String, String) {
        let element = self.random.pick(&["f32", "f16"]);
        (self.operand(&[fixed(length)], element), tensor(&[fixed(length)], element))
    }

    /// A tensor other than the activations: mostly an input, else a constant, perhaps one that folding combines from
    /// two.
    fn operand(&mut self, dims: &[Dim], element: &str) -> String {
        let elements: usize = dims.iter().map(|dim| dim.size).product();
        if dims.iter().any(|dim| dim.dynamic) || elements > MAX_CONSTANT || !self.random.once_in(4) {
            return self.input(dims, element);
        }
        let constant = self.constant(dims, element);
        if element == "i32" || !self.random.once_in(4) {
            return constant;
        }
        let (other, sum, ty) = (self.constant(dims, element), self.name(), tensor(dims, element));
        self.line(&format!("{sum} = arith.subf {constant}, {other} : {ty}"));
        sum
    }

    /// A constant with values like those of inputs: a splat, or dense.
    fn constant(&mut self, dims: &[Dim], element: &str) -> String {
        let is_splat = self.random.once_in(3);
        let count = if is_splat { 1 } else { dims.iter().map(|dim| dim.size).product() };
        let bytes = match element {
            "i32" => (0..count).flat_map(|_| (self.random.below(100) as i32).to_le_bytes()).collect(),
            _ => {
                let element = if element == "f16" { Element::F16 } else { Element::F32 };
                let values = (0..count).map(|_| self.random.below(2000) as f32 / 1000.0 - 1.0).collect();
                Tensor::from_f32([count], element, values).expect("as many as counted").to_bytes()
            }
        };
        let (name, ty) = (self.name(), tensor(dims, element));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let value = if bytes.is_empty() { "dense<>".to_owned() } else { format!("dense<\"0x{hex}\">") };
        self.line(&format!("{name} = arith.constant {value} : {ty}"));
        name
    }

    fn input(&mut self, dims: &[Dim], element: &str) -> String {
        self.input_of(tensor(dims, element), sizes(dims), element)
    }

    fn input_of(&mut self, ty: String, sizes: Vec<usize>, element: &str) -> String {
        let name = format!("%arg{}", self.inputs.len());
        self.inputs.push((ty, sizes, element.to_owned()));
        name
    }

    fn ty(&self, dims: &[Dim]) -> String {
        tensor(dims, self.element)
    }

    /// The name of a value, which is marked as used.
    fn take(&mut self, value: &Value) -> String {
        self.values.iter_mut().filter(|(other, _)| other.name == value.name).for_each(|(_, used)| *used = true);
        value.name.clone()
    }

    fn define(&mut self, text: &str, dims: &[Dim], magnitude: f32) -> Value {
        self.ops += 1;
        self.define_view(text, dims, magnitude)
    }

    /// Defines a value by an op that is not counted.
    fn define_view(&mut self, text: &str, dims: &[Dim], magnitude: f32) -> Value {
        let name = self.name();
        self.line(&format!("{name} = {text}"));
        let value = Value { name, dims: dims.to_vec(), magnitude };
        self.values.push((value.clone(), false));
        value
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("%{}", self.names - 1)
    }

    fn line(&mut self, text: &str) {
        self.body += &format!("  {text}\n");
    }

    /// Ends the function, which returns every unused value.
    fn finish(self) -> Generated {
        let results: Vec<&Value> = self.values.iter().filter(|(_, used)| !used).map(|(value, _)| value).collect();
        let names: Vec<&str> = results.iter().map(|value| value.name.as_str()).collect();
        let types: Vec<String> = results.iter().map(|value| self.ty(&value.dims)).collect();
        let (names, types) = (names.join(", "), types.join(", "));
        let arguments: Vec<String> =
            self.inputs.iter().enumerate().map(|(i, (ty, _, _))| format!("%arg{i}: {ty}")).collect();
        let text = format!(
            "func.func @main({}) -> ({types}) {{\n{}  return {names} : {types}\n}}\n",
            arguments.join(", "),
            self.body
        );
        let input_types = self.inputs.into_iter().map(|(_, sizes, element)| (sizes, element)).collect();
        Generated { text, input_types }
    }
}

fn tensor(dims: &[Dim], element: &str) -> String {
    let dims: Vec<String> =
        dims.iter().map(|dim| if dim.dynamic { "?".to_owned() } else { dim.size.to_string() }).collect();
    format!("tensor<{}x{element}>", dims.join("x"))
}

/// Approximate magnitude of sums of `terms` products with weights in [-1, 1), and a bias.
fn grown(magnitude: f32, terms: usize) -> f32 {
    magnitude * (terms as f32 / 3.0).sqrt() + 1.0
}
