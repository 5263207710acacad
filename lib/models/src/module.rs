//! The module of a model: two functions over shared weights and caches.
//!
//! ```mlir
//! ml_program.global private @blk.0.attn_q.weight(#ml_program.extern<T>) : T
//! ml_program.global private mutable @k_cache.0 : tensor<1x?x3x64xf32>
//! func.func @prefill(%ids: tensor<1x?xi32>, %positions: tensor<1xi32>, %rows: tensor<?xi32>) -> tensor<?x49152xf32>
//! func.func @decode(%ids: tensor<1x1xi32>, %positions: tensor<1xi32>) -> tensor<1x1x49152xf32>
//! ```
//! `prefill` appends any number of tokens and returns the logits of the requested rows; `decode` appends one. If only the k
//! largest logits are requested, both return those and their tokens: `(tensor<1x1x8xf32>, tensor<1x1x8xi32>)`. Weights have
//! GGUF's names and the checkpoint's types; a model without `output.weight` ties it to the embedding.
//!
//! With [`Batch::Any`] the first dimension of ids, positions and caches is `?`; `%lengths: tensor<?xi32>` and
//! `%blocks: tensor<?x?xi32>` are further optional arguments, in this order.

use crate::layer::{Layer, Value, norm, tensor};
use crate::{Config, Norm, Rope};
use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
};

/// Elements of the KV cache. Arithmetic is f32 with any; a row is rounded once, when it enters the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    #[default]
    F32,
    F16,
    /// Blocks of 32 8-bit integers and an f32 scale. In the module, an f32 cache of rows that `transformer.quantize` rounded.
    Q8,
}

impl KvType {
    /// The name in `--kv-type`.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8 => "q8",
        }
    }

    /// The element type of a cache in the module.
    fn element(self) -> &'static str {
        match self {
            KvType::F32 | KvType::Q8 => "f32",
            KvType::F16 => "f16",
        }
    }
}

/// Elements of a head that share a scale in an 8-bit cache.
const Q8_BLOCK: usize = 32;

/// What the functions return for a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returns {
    #[default]
    Logits,
    /// The given number of largest logits, in descending order, and their tokens.
    Best(usize),
}

/// Which function to emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Prefill,
    Decode,
}

/// How many sequences a call takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batch {
    #[default]
    One,
    /// The number that the arguments have.
    Any,
}

/// Options of the emitted module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emission {
    pub kv_type: KvType,
    pub returns: Returns,
    pub batch: Batch,
    /// The most tokens of a context, which selects RoPE's divisors where a model has several.
    pub context: usize,
    /// Adds an argument with the number of real rows of each sequence.
    pub lengths: bool,
    /// Caches are [blocks, rows of a block, heads, head dimension]; adds an argument with the blocks of each sequence.
    pub block_table: bool,
}

/// The text of the module. `types` has the MLIR type of every weight by name, in the order of the globals.
///
/// # Errors
/// If a weight is missing or unused, the cache type does not fit the head size, or more tokens are requested than the
/// vocabulary has.
pub fn module(
    config: &Config,
    types: &[(String, String)],
    emission: Emission,
    phases: &[Phase],
) -> Result<String, String> {
    if emission.kv_type == KvType::Q8 && !config.head_dim.is_multiple_of(Q8_BLOCK) {
        return Err(format!(
            "a KV cache of type q8 needs heads of a multiple of {Q8_BLOCK} elements, but this model's have {}; use f32 or f16",
            config.head_dim
        ));
    }
    if let Returns::Best(k) = emission.returns
        && !(1..=config.vocab).contains(&k)
    {
        return Err(format!(
            "the best {k} of {} tokens were asked for; ask for at least one and at most all",
            config.vocab
        ));
    }
    let by_name = types.iter().map(|(name, ty)| (name.as_str(), ty.as_str())).collect();
    let mut emit = Emit { config, emission, types: by_name, used: HashSet::new(), out: String::new() };
    emit.globals(types);
    phases.iter().try_for_each(|phase| emit.function(*phase))?;
    // An unused weight means that this module computes another model.
    match types.iter().find(|(name, _)| !emit.used.contains(name)) {
        Some((name, _)) => Err(format!("the checkpoint has a weight '{name}', which no layer of the model uses")),
        None => Ok(emit.out),
    }
}

const EMBEDDING: &str = "token_embd.weight";
const OUTPUT: &str = "output.weight";
const OUTPUT_NORM: &str = "output_norm.weight";
const OUTPUT_NORM_BIAS: &str = "output_norm.bias";

struct Emit<'a> {
    config: &'a Config,
    emission: Emission,
    types: HashMap<&'a str, &'a str>,
    /// Weights that a function has loaded.
    used: HashSet<String>,
    out: String,
}

impl<'a> Emit<'a> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn batch(&self) -> Option<usize> {
        match self.emission.batch {
            Batch::One => Some(1),
            Batch::Any => None,
        }
    }

    fn cache(&self) -> String {
        // Blocks, or sequences.
        let first = if self.emission.block_table { None } else { self.batch() };
        let Config { kv_heads, head_dim, .. } = *self.config;
        tensor(&[first, None, Some(kv_heads), Some(head_dim)], self.emission.kv_type.element())
    }

    fn globals(&mut self, types: &[(String, String)]) {
        for (name, ty) in types {
            self.line(&format!("ml_program.global private @{name}(#ml_program.extern<{ty}>) : {ty}"));
        }
        let cache = self.cache();
        for i in 0..self.config.layers {
            for kind in ["k", "v"] {
                self.line(&format!("ml_program.global private mutable @{kind}_cache.{i} : {cache}"));
            }
        }
    }

    /// Loads a weight as `%{value}`.
    ///
    /// # Errors
    /// If the checkpoint has no such weight.
    fn load(&mut self, value: &str, name: &str) -> Result<Value, String> {
        let ty = *self.types.get(name).ok_or_else(|| format!("the checkpoint has no weight '{name}'"))?;
        self.used.insert(name.to_owned());
        self.line(&format!("  %{value} = ml_program.global_load_const @{name} : {ty}"));
        Ok(Value::new(value, ty))
    }

    fn function(&mut self, phase: Phase) -> Result<(), String> {
        let Config { arch, layers, hidden, vocab, norm_eps, embedding_scale, logit_scale, logit_softcap, .. } =
            *self.config;
        let batch = self.batch();
        let (name, rows) = match phase {
            Phase::Prefill => ("prefill", None),
            Phase::Decode => ("decode", Some(1)),
        };
        // Of the results: the requested rows, or one of each sequence.
        let leading: &[Option<usize>] = if phase == Phase::Prefill { &[None] } else { &[batch, Some(1)] };
        let result = |width: usize, element: &str| tensor(&[leading, &[Some(width)]].concat(), element);
        let logits = result(vocab, "f32");
        let best = |k: usize| format!("{}, {}", result(k, "f32"), result(k, "i32"));
        let results = match self.emission.returns {
            Returns::Logits => logits.clone(),
            Returns::Best(k) => format!("({})", best(k)),
        };
        let sequences = tensor(&[batch], "i32");
        let ids = Value::new("ids", tensor(&[batch, rows], "i32"));
        let positions = Value::new("positions", sequences.clone());
        let picks = Value::new("rows", tensor(&[None], "i32"));
        let lengths = self.emission.lengths.then(|| Value::new("lengths", sequences));
        let blocks = self.emission.block_table.then(|| Value::new("blocks", tensor(&[batch, None], "i32")));
        let arguments = [Some(&ids), Some(&positions), Some(&picks).filter(|_| phase == Phase::Prefill)];
        let arguments = arguments.into_iter().chain([lengths.as_ref(), blocks.as_ref()]).flatten();
        let arguments: Vec<String> = arguments.map(|value| format!("%{}: {}", value.name, value.ty)).collect();
        self.line(&format!("\nfunc.func @{name}({}) -> {results} {{", arguments.join(", ")));

        let table = self.load("embd", EMBEDDING)?;
        let ty = tensor(&[batch, rows, Some(hidden)], "f32");
        self.line(&format!("  %x.0 = transformer.embedding %ids, %embd : {}, {} -> {ty}", ids.ty, table.ty));
        let mut x = Value::new("x.0", ty);
        x = self.unary("x.s", "scale", "factor", Some(embedding_scale).filter(|scale| *scale != 1.0), x);
        for i in 0..layers {
            x = self.layer(i, rows, x, &positions, &lengths, &blocks)?;
        }
        let output = if self.config.tied_embedding { table } else { self.load("output", OUTPUT)? };
        let weight = self.load("output_norm", OUTPUT_NORM)?;
        let bias = match arch.norm {
            Norm::Rms => None,
            Norm::Layer => Some(self.load("output_norm_bias", OUTPUT_NORM_BIAS)?),
        };
        if phase == Phase::Prefill {
            // The output head, the largest weight, is applied only to the requested rows.
            let flat = tensor(&[None, Some(hidden)], "f32");
            self.line(&format!("  %flat = tensor.collapse_shape %{} [[0, 1], [2]] : {} into {flat}", x.name, x.ty));
            self.line(&format!("  %picked = transformer.embedding %rows, %flat : {}, {flat} -> {flat}", picks.ty));
            x = Value::new("picked", flat);
        }
        self.line(&format!("  %n = {}", norm(arch.norm, &x, &weight, bias.as_ref(), &float(norm_eps))));
        self.line(&format!(
            "  %logits = transformer.linear %n, %{} : {}, {} -> {logits}",
            output.name, x.ty, output.ty
        ));
        let mut result = Value::new("logits", logits);
        result = self.unary("scaled", "scale", "factor", Some(logit_scale).filter(|scale| *scale != 1.0), result);
        result = self.unary("capped", "softcap", "cap", logit_softcap, result);
        let Value { name: logits, ty } = result;
        match self.emission.returns {
            Returns::Logits => self.line(&format!("  return %{logits} : {ty}\n}}")),
            Returns::Best(k) => {
                let best = best(k);
                self.line(&format!("  %best, %tokens = transformer.top_k %{logits} : {ty} -> {best}"));
                self.line(&format!("  return %best, %tokens : {best}\n}}"));
            }
        }
        Ok(())
    }

    /// An op of one operand with an attribute, where there is a value for it.
    fn unary(&mut self, name: &str, op: &str, attribute: &str, value: Option<f32>, x: Value) -> Value {
        let Some(value) = value else { return x };
        self.line(&format!("  %{name} = transformer.{op} %{} {{{attribute} = {}}} : {}", x.name, float(value), x.ty));
        Value::new(name, x.ty)
    }

    fn layer(
        &mut self,
        i: usize,
        rows: Option<usize>,
        x: Value,
        positions: &Value,
        lengths: &Option<Value>,
        blocks: &Option<Value>,
    ) -> Result<Value, String> {
        let cache = self.cache();
        let Config { arch, hidden, ffn, heads, kv_heads, head_dim, norm_eps, residual_scale, .. } = *self.config;
        let kind = self.config.layer(i, self.emission.context);
        let (eps, rope) = (float(norm_eps), kind.rope.map(|rope| rope_attributes(self.config, rope)));
        let residual_scale = (residual_scale != 1.0).then(|| float(residual_scale));
        let layer = Layer {
            arch,
            suffix: &format!(".{i}"),
            batch: self.batch(),
            rows,
            hidden,
            ffn,
            heads,
            kv_heads,
            head_dim,
            element: "f32",
            eps: &eps,
            rope: rope.as_deref(),
            attention: &attention_attributes(self.config, kind.window),
            residual_scale: residual_scale.as_deref(),
            activation: None,
            quantize_kv: self.emission.kv_type == KvType::Q8,
            x,
            k_cache: Value::new(format!("k_cache.{i}"), cache.clone()),
            v_cache: Value::new(format!("v_cache.{i}"), cache.clone()),
            positions: positions.clone(),
            lengths: lengths.clone(),
            block_table: blocks.clone(),
        };
        // The loads of the used weights come first.
        let (mut ops, mut asked) = (String::new(), Vec::new());
        let output = layer.write(&mut ops, |part| {
            let name = format!("blk.{i}.{part}");
            let ty = *self.types.get(name.as_str())?;
            let value = Value::new(format!("{}.{i}", part.strip_suffix(".weight").unwrap_or(part)), ty);
            asked.push((value.name.clone(), name));
            Some(value)
        });
        let output = output.map_err(|part| format!("the checkpoint has no weight 'blk.{i}.{part}'"))?;
        for (value, name) in asked {
            self.load(&value, &name)?;
        }
        for kind in ["k", "v"] {
            self.line(&format!("  %{kind}_cache.{i} = ml_program.global_load @{kind}_cache.{i} : {cache}"));
        }
        self.out.push_str(&ops);
        for (kind, value) in [("k", &output.k_cache), ("v", &output.v_cache)] {
            self.line(&format!("  ml_program.global_store @{kind}_cache.{i} = %{} : {cache}", value.name));
        }
        Ok(output.x)
    }
}

/// The attributes of attention after the first.
fn attention_attributes(config: &Config, window: Option<usize>) -> String {
    let scale = config.attention_scale.map(|scale| format!(", scale = {}", float(scale)));
    let window = window.map(|window| format!(", window = {window} : i64"));
    let softcap = config.attention_softcap.map(|cap| format!(", softcap = {}", float(cap)));
    [scale, window, softcap].into_iter().flatten().collect()
}

fn rope_attributes(config: &Config, rope: Rope) -> String {
    let mut text = format!("mode = \"{}\", base = {}", config.rope_mode, float(rope.base));
    if let Some(dims) = config.rotary_dims.filter(|dims| *dims != config.head_dim) {
        let _ = write!(text, ", dims = {dims} : i64");
    }
    if rope.scale != 1.0 {
        let _ = write!(text, ", scale = {}", float(rope.scale));
    }
    if let Some(divisors) = rope.divisors {
        let divisors: Vec<String> = divisors.iter().map(|divisor| number(*divisor)).collect();
        let _ = write!(text, ", freq_divisors = array<f32: {}>", divisors.join(", "));
    }
    text
}

/// An f32 attribute, exact.
fn float(value: f32) -> String {
    format!("{} : f32", number(value))
}

/// The shortest decimal that reads back as the same f32, in MLIR's syntax.
fn number(value: f32) -> String {
    let text = format!("{value:e}");
    // MLIR requires a decimal point: 1e5 is 1.0e5.
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arch, Biases, QkNorm};

    fn types(config: &Config) -> Vec<(String, String)> {
        let typed = |dims: &[usize]| tensor(&dims.iter().copied().map(Some).collect::<Vec<_>>(), "f32");
        config.tensors().into_iter().map(|tensor| (tensor.name, typed(&tensor.dims))).collect()
    }

    #[test]
    fn every_tensor_of_the_table_is_used() {
        for arch in Arch::ALL {
            for biases in [Biases::None, Biases::Qkv, Biases::All] {
                let config =
                    Config { arch, biases, layers: 2, tied_embedding: false, ..Config::plain(64, 4, 128, 260) };
                let text =
                    module(&config, &types(&config), Emission::default(), &[Phase::Prefill, Phase::Decode]).unwrap();
                let norms = [arch.norms.has_pre(), arch.norms.has_post(), arch.qk_norm != QkNorm::None];
                let norms = 2 * norms.iter().filter(|has| **has).count();
                assert_eq!(text.matches("_norm %").count(), 2 * (1 + 2 * norms), "{}", arch.name);
            }
        }
    }

    #[test]
    fn weights_that_are_missing_or_left_over_are_named() {
        let config = Config::plain(64, 4, 128, 260);
        let error =
            |types: &[(String, String)]| module(&config, types, Emission::default(), &[Phase::Decode]).unwrap_err();
        let mut types = types(&config);
        types.push(("blk.0.attn_sinks.weight".into(), "tensor<4xf32>".into()));
        assert_eq!(
            error(&types),
            "the checkpoint has a weight 'blk.0.attn_sinks.weight', which no layer of the model uses"
        );
        types.retain(|(name, _)| name != "blk.0.ffn_up.weight");
        assert_eq!(error(&types), "the checkpoint has no weight 'blk.0.ffn_up.weight'");
    }

    #[test]
    fn a_batch_has_lengths_and_blocks() {
        let config = Config::plain(64, 4, 128, 260);
        let emission = Emission { batch: Batch::Any, lengths: true, block_table: true, ..Emission::default() };
        let text = module(&config, &types(&config), emission, &[Phase::Prefill]).unwrap();
        for line in [
            "ml_program.global private mutable @k_cache.0 : tensor<?x?x4x16xf32>",
            "func.func @prefill(%ids: tensor<?x?xi32>, %positions: tensor<?xi32>, %rows: tensor<?xi32>, \
             %lengths: tensor<?xi32>, %blocks: tensor<?x?xi32>) -> tensor<?x260xf32> {",
            "  %kc.0 = transformer.kv_update %k_cache.0, %k.0 at %positions lengths %lengths blocks %blocks : \
             tensor<?x?x4x16xf32>, tensor<?x?x4x16xf32>, tensor<?xi32>, tensor<?xi32> blocks tensor<?x?xi32>",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
