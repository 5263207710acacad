//! The measured cases, and how each is compiled and loaded.

use crate::run::{Common, compile};
use anyhow::{Context as _, Result, bail};
use kforge_passes::Numerics;
use kforge_program::Element;
use kforge_quant::BlockFormat;
use kforge_reference::{
    AttentionAttributes, Sequences, Tensor, Tolerance, attention, compare, quantize, random, rms_norm, top_k,
};
use kforge_runtime::Execute;
use kforge_tools::{
    product::{Errors, HALF_FACTORS, Product, Shape},
    tensors::{self, passed, set_weight},
};

/// Named f32 products, M x N x K: three of a decoder block.
const NAMED_MATMULS: [(&str, [usize; 3]); 3] = [
    ("decoder_mha_qkv", [64, 64, 128]),
    ("decoder_mlp_up_proj", [128, 192, 192]),
    ("decoder_mlp_down_proj", [128, 128, 256]),
];

/// Other f32 products: those of a small decoder, square ones, and odd sizes.
const MATMULS: [[usize; 3]; 13] = [
    [1, 960, 576],
    [1, 3072, 576],
    [1, 576, 1536],
    [1, 49152, 576],
    [128, 960, 576],
    [128, 3072, 576],
    [128, 576, 1536],
    [512, 512, 512],
    [512, 512, 1024],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [127, 129, 131],
    [4096, 64, 64],
];

/// Quantised weights, N x K, and numbers of rows: a decode step, and a prompt.
const WEIGHTS: [[usize; 2]; 3] = [[1536, 576], [576, 1536], [49152, 576]];
const ROWS: [usize; 2] = [1, 128];
const FORMATS: [BlockFormat; 3] = [BlockFormat::Q4_0, BlockFormat::Q4_1, BlockFormat::Q8_0];

/// Attention of nine query heads over three key and value heads of 64 each.
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const DEPTH: usize = 64;
const CONTEXTS: [usize; 3] = [128, 1024, 4096];

/// Vocabulary sizes, and numbers of candidates for the next token.
const CHOICES: [(usize, usize); 3] = [(49152, 1), (49152, 64), (128_256, 1)];

const EPS: f32 = 1e-5;

/// Allowed error of a kernel if no better bound is known, absolute and relative.
const TOLERANCE: Tolerance = Tolerance { abs: 1e-4, rel: 1e-4 };

pub struct Case {
    pub name: String,
    pub numerics: Numerics,
    pub work: Work,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// C[M, N] = A[M, K] x B[N, K]^T, B being a constant weight.
    Linear { shape: Shape, weight: Element },
    /// The last `rows` of `context` positions; the cache holds all of them.
    Attention { rows: usize, context: usize },
    /// RMS norm of each row.
    Norm { rows: usize, width: usize },
    /// The k largest of a row.
    TopK { width: usize, k: usize },
}

/// For a GPU: rows and a square weight.
const LARGE: [(usize, usize); 2] = [(4096, 4096), (1, 16384)];

/// Every case, grouped by weight; `large` adds those for a GPU.
pub fn all(large: bool) -> Vec<Case> {
    let mut cases = vec![];
    for (m, n) in if large { &LARGE[..] } else { &[] } {
        let shape = Shape { m: *m, n: *n, k: *n };
        let formats = [BlockFormat::Q4_1, BlockFormat::Q4_K].map(Element::Quant);
        for weight in [Element::F32, Element::F16].into_iter().chain(formats) {
            let name = format!("linear/{weight}/{m}x{n}x{n}/exact");
            cases.push(Case { name, numerics: Numerics::Exact, work: Work::Linear { shape, weight } });
        }
    }
    let named = NAMED_MATMULS.map(|(name, shape)| (format!("{name}/"), shape));
    for (name, [m, n, k]) in named.into_iter().chain(MATMULS.map(|shape| (String::new(), shape))) {
        let work = Work::Linear { shape: Shape { m, n, k }, weight: Element::F32 };
        cases.push(Case { name: format!("matmul/{name}{m}x{n}x{k}"), numerics: Numerics::Exact, work });
    }
    for [n, k] in WEIGHTS {
        for format in FORMATS {
            for m in ROWS {
                for numerics in [Numerics::Exact, Numerics::Fast] {
                    let name = format!("linear/{format}/{m}x{n}x{k}/{}", numerics.name());
                    let work = Work::Linear { shape: Shape { m, n, k }, weight: Element::Quant(format) };
                    cases.push(Case { name, numerics, work });
                }
            }
        }
    }
    let mut exact = |name, work| cases.push(Case { name, numerics: Numerics::Exact, work });
    for context in CONTEXTS {
        exact(format!("attention/decode/{context}"), Work::Attention { rows: 1, context });
    }
    exact("attention/prefill/128".into(), Work::Attention { rows: 128, context: 128 });
    for rows in ROWS {
        exact(format!("norm/{rows}x576"), Work::Norm { rows, width: 576 });
    }
    for (width, k) in CHOICES {
        exact(format!("top_k/{k}of{width}"), Work::TopK { width, k });
    }
    cases
}

impl Work {
    /// Operations per call; a multiply-add is two. Zero for norms and comparisons, whose time they do not determine.
    pub fn operations(self) -> u64 {
        match self {
            Work::Linear { shape, .. } => shape.operations() as u64,
            Work::Attention { rows, context } => {
                // Row i attends to positions up to its own.
                let visible: usize = (context - rows + 1..=context).sum();
                (4 * HEADS * DEPTH * visible) as u64
            }
            Work::Norm { .. } | Work::TopK { .. } => 0,
        }
    }

    /// Bytes that a call must read.
    pub fn bytes(self) -> u64 {
        let bytes = match self {
            Work::Linear { shape: Shape { m, n, k }, weight } => {
                let weight = match weight {
                    Element::Quant(format) => format.bytes(n, k).unwrap_or(0),
                    Element::F16 => 2 * n * k,
                    _ => 4 * n * k,
                };
                4 * m * k + weight
            }
            Work::Attention { rows, context } => 4 * DEPTH * (HEADS * rows + 2 * KV_HEADS * context),
            Work::Norm { rows, width } => 4 * width * (rows + 1),
            Work::TopK { width, .. } => 4 * width,
        };
        bytes as u64
    }

    /// Whether products are computed on 8-bit integers.
    pub fn is_int8(self, numerics: Numerics) -> bool {
        numerics == Numerics::Fast && matches!(self, Work::Linear { weight: Element::Quant(_), .. })
    }

    /// The product, if it is one of f32.
    pub fn f32_product(self) -> Option<Shape> {
        match self {
            Work::Linear { shape, weight: Element::F32 } => Some(shape),
            _ => None,
        }
    }

    /// The module; the measured function is `main`.
    fn module(self) -> Result<String> {
        Ok(match self {
            Work::Linear { shape, weight } => shape.module(Element::F32, passed(weight)?),
            Work::Attention { rows, .. } => {
                // As in a decoder: one row is static, more are dynamic.
                let rows = if rows == 1 { "1" } else { "?" };
                let (q, kv) =
                    (format!("tensor<1x{rows}x{HEADS}x{DEPTH}xf32>"), format!("tensor<1x?x{KV_HEADS}x{DEPTH}xf32>"));
                format!(
                    "ml_program.global private mutable @k : {kv}
ml_program.global private mutable @v : {kv}
func.func @fill(%k: {kv}, %v: {kv}, %at: tensor<1xi32>) -> tensor<1xi32> {{
  %kc = ml_program.global_load @k : {kv}
  %vc = ml_program.global_load @v : {kv}
  %kn = transformer.kv_update %kc, %k at %at : {kv}, {kv}, tensor<1xi32>
  %vn = transformer.kv_update %vc, %v at %at : {kv}, {kv}, tensor<1xi32>
  ml_program.global_store @k = %kn : {kv}
  ml_program.global_store @v = %vn : {kv}
  return %at : tensor<1xi32>
}}
func.func @main(%q: {q}, %at: tensor<1xi32>) -> {q} {{
  %k = ml_program.global_load @k : {kv}
  %v = ml_program.global_load @v : {kv}
  %y = transformer.attention %q, %k, %v at %at {{causal}} : {q}, {kv}, {kv}, tensor<1xi32>
  return %y : {q}
}}
"
                )
            }
            Work::Norm { rows, width } => {
                let (x, w) = (format!("tensor<{rows}x{width}xf32>"), format!("tensor<{width}xf32>"));
                format!(
                    "ml_program.global private @w(#ml_program.extern<{w}>) : {w}
func.func @main(%x: {x}) -> {x} {{
  %w = ml_program.global_load_const @w : {w}
  %y = transformer.rms_norm %x, %w {{eps = 1.0e-5 : f32}} : {x}, {w}
  return %y : {x}
}}
"
                )
            }
            Work::TopK { width, k } => {
                let (x, v, i) =
                    (format!("tensor<{width}xf32>"), format!("tensor<{k}xf32>"), format!("tensor<{k}xi32>"));
                format!(
                    "func.func @main(%x: {x}) -> ({v}, {i}) {{
  %v, %i = transformer.top_k %x : {x} -> {v}, {i}
  return %v, %i : {v}, {i}
}}
"
                )
            }
        })
    }
}

/// A case that has been called once, with a correct result.
pub struct Loaded {
    pub executor: Box<dyn Execute>,
    pub errors: Errors,
    /// Summaries of its kernels.
    pub kernels: Vec<String>,
}

/// The last weight, cached: cases are grouped by weight.
#[derive(Default)]
pub struct Weights {
    last: Option<([usize; 2], Element, Tensor)>,
}

impl Weights {
    fn get(&mut self, shape: [usize; 2], element: Element) -> Result<&Tensor> {
        if self.last.as_ref().is_none_or(|(s, e, _)| *s != shape || *e != element) {
            self.last = Some((shape, element, random::uniform(2, &shape, element)?));
        }
        Ok(&self.last.as_ref().context("a weight was just made")?.2)
    }
}

/// Compiles a case, sets its operands, calls it and checks the result.
///
/// # Errors
/// If it does not compile, or the result is wrong.
pub fn load(common: &Common, case: &Case, weights: &mut Weights) -> Result<Loaded> {
    let common = Common { numerics: case.numerics, ..common.clone() };
    let mut executor = compile::executor(&common, (&case.work.module()?).into())?;
    let errors = match case.work {
        Work::Linear { shape, weight } => {
            let a = random::uniform(1, &[shape.m, shape.k], Element::F32)?;
            let b = weights.get([shape.n, shape.k], weight)?;
            set_weight(&mut *executor, "b", b)?;
            let c = call(&mut *executor, "main", [&a])?;
            let product = Product::new(shape, &a, b)?;
            match case.work.is_int8(case.numerics) {
                true if executor.is_gpu() => product.check_of(&c, HALF_FACTORS)?,
                true => Product::new(shape, &quantize(&a)?, b)?.check(&c)?,
                false => product.check(&c)?,
            };
            product.errors(&c)?
        }
        Work::Attention { rows, context } => {
            let heads = |seed, rows, heads| random::uniform(seed, &[1, rows, heads, DEPTH], Element::F32);
            let (q, k, v) = (heads(1, rows, HEADS)?, heads(2, context, KV_HEADS)?, heads(3, context, KV_HEADS)?);
            for state in ["k", "v"] {
                executor.make_state(state, k.shape())?;
            }
            let at = |position: usize| Tensor::i32([1], [position as i32]);
            call(&mut *executor, "fill", [&k, &v, &at(0)?])?;
            let position = at(context - rows)?;
            let y = call(&mut *executor, "main", [&q, &position])?;
            let sequences = Sequences { positions: Some(&position), ..Sequences::default() };
            let attributes = AttentionAttributes { causal: true, ..AttentionAttributes::default() };
            within(&y, &attention(&q, &k, &v, &sequences, &attributes)?)?
        }
        Work::Norm { rows, width } => {
            let x = random::uniform(1, &[rows, width], Element::F32)?;
            let w = random::uniform(2, &[width], Element::F32)?;
            set_weight(&mut *executor, "w", &w)?;
            within(&call(&mut *executor, "main", [&x])?, &rms_norm(&x, &w, EPS)?)?
        }
        Work::TopK { width, k } => {
            let x = random::uniform(1, &[width], Element::F32)?;
            within(&call(&mut *executor, "main", [&x])?, &top_k(&x, k)?.0)?
        }
    };
    let program = executor.program();
    let launches = program.function("main").map(|f| f.launches.as_slice()).unwrap_or_default();
    let kernels = launches.iter().map(|l| program.kernels[l.kernel].summary.clone()).collect();
    Ok(Loaded { executor, errors, kernels })
}

/// Calls the function; returns the first result.
fn call<'t>(
    executor: &mut dyn Execute,
    function: &str,
    inputs: impl IntoIterator<Item = &'t Tensor>,
) -> Result<Tensor> {
    tensors::call(executor, function, inputs)?.into_iter().next().context("the function has no result")
}

fn within(actual: &Tensor, expected: &Tensor) -> Result<Errors> {
    let comparison = compare(actual, expected, TOLERANCE)?;
    if !comparison.within_tolerance() {
        bail!("the result is wrong: {comparison}");
    }
    let pairs = actual.to_f32().into_iter().zip(expected.to_f32());
    Ok(Errors::of(pairs.map(|(a, e)| (f64::from(a), f64::from(e)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_differ_and_say_what_is_measured() {
        let cases = all(true);
        let names: BTreeSet<&str> = cases.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        for name in [
            "matmul/decoder_mha_qkv/64x64x128",
            "linear/q8_0/128x49152x576/fast",
            "attention/decode/4096",
            "norm/1x576",
        ] {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn work_by_hand() {
        let shape = Shape { m: 2, n: 3, k: 32 };
        let f32 = Work::Linear { shape, weight: Element::F32 };
        assert_eq!((f32.operations(), f32.bytes()), (384, 256 + 384));
        let quant = Work::Linear { shape, weight: Element::Quant(BlockFormat::Q4_0) };
        assert_eq!((quant.operations(), quant.bytes()), (384, 256 + 3 * 18));
        assert!(quant.is_int8(Numerics::Fast) && !quant.is_int8(Numerics::Exact) && !f32.is_int8(Numerics::Fast));
        let decode = Work::Attention { rows: 1, context: 10 };
        assert_eq!((decode.operations(), decode.bytes()), (4 * 9 * 64 * 10, 4 * 64 * (9 + 60)));
        // Rows 8, 9 and 10 see as many positions.
        assert_eq!(Work::Attention { rows: 3, context: 10 }.operations(), 4 * 9 * 64 * 27);
        let norm = Work::Norm { rows: 2, width: 5 };
        assert_eq!((norm.operations(), norm.bytes()), (0, 60));
        let choice = Work::TopK { width: 9, k: 2 };
        assert_eq!((choice.operations(), choice.bytes()), (0, 36));
    }
}
