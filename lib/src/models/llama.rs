//! The Llama family as a module: two functions over shared weights and caches.
//!
//! ```mlir
//! ml_program.global private @blk.0.attn_q.weight(#ml_program.extern<T>) : T
//! ml_program.global private mutable @k_cache.0 : tensor<1x?x3x64xf32>
//! func.func @prefill(%ids: tensor<1x?xi32>, %positions: tensor<1xi32>, %rows: tensor<?xi32>) -> tensor<?x49152xf32>
//! func.func @decode(%ids: tensor<1x1xi32>, %positions: tensor<1xi32>) -> tensor<1x1x49152xf32>
//! ```
//! `prefill` appends any number of tokens and gives the logits of the rows asked for; `decode` appends one. Where the k
//! greatest logits are enough, both give those and their tokens: `(tensor<1x1x8xf32>, tensor<1x1x8xi32>)`. Weights have
//! GGUF's names and the checkpoint's types; a model without `output.weight` ties it to the embedding.

use std::fmt::{self, Write};

/// Which elements of a head RoPE turns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeMode {
    /// (2i, 2i + 1), as GGUF's converter arranges Llama's rows.
    Interleaved,
    /// (i, i + D/2), as Hugging Face stores them.
    Half,
}

/// Elements of the KV cache. Arithmetic is f32 with any; a row is rounded once, when it enters the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    #[default]
    F32,
    F16,
    /// Blocks of 32 integers of 8 bits and an f32 scale. In the module an f32 cache of rows that `transformer.quantize`
    /// made.
    Q8,
}

impl KvType {
    /// As `--kv-type` spells it.
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

/// Elements of a head that share a scale in a cache of 8 bits.
const Q8_BLOCK: usize = 32;

/// What the functions give of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returns {
    #[default]
    Logits,
    /// So many of the greatest logits, falling, and their tokens.
    Best(usize),
}

/// Sizes and constants of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Llama {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab: usize,
    pub norm_eps: f32,
    pub rope_mode: RopeMode,
    pub rope_base: f32,
    /// D/2 divisors of RoPE's frequencies.
    pub rope_divisors: Option<Vec<f32>>,
    pub window: Option<usize>,
    pub kv_type: KvType,
    pub returns: Returns,
}

impl Llama {
    /// Names and shapes, [rows, columns] or [n], of the weights of a model with a tied output head; `ffn` is the width
    /// inside the feed-forward layer.
    pub fn weights(&self, ffn: usize) -> Vec<(String, Vec<usize>)> {
        let Llama { layers, hidden, heads, kv_heads, head_dim, vocab, .. } = *self;
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let mut weights = vec![
            ("token_embd.weight".to_owned(), vec![vocab, hidden]),
            ("output_norm.weight".to_owned(), vec![hidden]),
        ];
        for i in 0..layers {
            let shapes = [
                vec![hidden],
                vec![q, hidden],
                vec![kv, hidden],
                vec![kv, hidden],
                vec![hidden, q],
                vec![hidden],
                vec![ffn, hidden],
                vec![ffn, hidden],
                vec![hidden, ffn],
            ];
            let named = |(name, shape)| (format!("blk.{i}.{name}.weight"), shape);
            weights.extend(LAYER_WEIGHTS.into_iter().zip(shapes).map(named));
        }
        weights
    }
}

/// Which function to emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Prefill,
    Decode,
}

/// The text of the module. `types` has the MLIR type of every weight by name, in the order of the globals.
///
/// # Errors
/// Names the weight that is missing or that nothing uses; or says that the cache's type does not fit the size of the
/// heads, or that more tokens are wanted than there are.
pub fn module(model: &Llama, types: &[(String, String)], phases: &[Phase]) -> Result<String, String> {
    if model.kv_type == KvType::Q8 && !model.head_dim.is_multiple_of(Q8_BLOCK) {
        return Err(format!(
            "a KV cache of type q8 needs heads of a multiple of {Q8_BLOCK} elements, but this model's have {}; use f32 or f16",
            model.head_dim
        ));
    }
    if let Returns::Best(k) = model.returns
        && !(1..=model.vocab).contains(&k)
    {
        return Err(format!(
            "the best {k} of {} tokens were asked for; ask for at least one and at most all",
            model.vocab
        ));
    }
    let mut text = String::new();
    let emit = Emit { model, types };
    emit.module(&mut text, phases).map_err(|_| "formatting into a string failed".to_owned())?;
    if let Some(name) = emit.missing() {
        return Err(format!("the checkpoint has no weight '{name}'"));
    }
    // A weight without a use would leave a model that computes something else.
    match types.iter().find(|(name, _)| !text.contains(&format!("global_load_const @{name} :"))) {
        Some((name, _)) => Err(format!("the checkpoint has a weight '{name}', which no layer of the model uses")),
        None => Ok(text),
    }
}

struct Emit<'a> {
    model: &'a Llama,
    types: &'a [(String, String)],
}

const LAYER_WEIGHTS: [&str; 9] =
    ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"];

impl Emit<'_> {
    fn ty(&self, name: &str) -> &str {
        self.types.iter().find(|(n, _)| n == name).map_or("?", |(_, ty)| ty)
    }

    fn has(&self, name: &str) -> bool {
        self.types.iter().any(|(n, _)| n == name)
    }

    fn head(&self) -> &'static str {
        if self.has("output.weight") { "output.weight" } else { "token_embd.weight" }
    }

    fn missing(&self) -> Option<String> {
        let layers = (0..self.model.layers).flat_map(|i| LAYER_WEIGHTS.map(|w| format!("blk.{i}.{w}.weight")));
        ["token_embd.weight", "output_norm.weight"]
            .map(String::from)
            .into_iter()
            .chain(layers)
            .find(|name| !self.has(name))
    }

    fn cache(&self) -> String {
        let Llama { kv_heads, head_dim, kv_type, .. } = *self.model;
        format!("tensor<1x?x{kv_heads}x{head_dim}x{}>", kv_type.element())
    }

    fn module(&self, out: &mut String, phases: &[Phase]) -> fmt::Result {
        for (name, ty) in self.types {
            writeln!(out, "ml_program.global private @{name}(#ml_program.extern<{ty}>) : {ty}")?;
        }
        for (kind, i) in (0..self.model.layers).flat_map(|i| [("k", i), ("v", i)]) {
            writeln!(out, "ml_program.global private mutable @{kind}_cache.{i} : {}", self.cache())?;
        }
        phases.iter().try_for_each(|phase| self.function(out, *phase))
    }

    fn function(&self, out: &mut String, phase: Phase) -> fmt::Result {
        let Llama { layers, hidden, vocab, returns, .. } = *self.model;
        let (name, rows, extra, leading) = match phase {
            Phase::Prefill => ("prefill", "?", ", %rows: tensor<?xi32>", "?"),
            Phase::Decode => ("decode", "1", "", "1x1"),
        };
        let logits = format!("tensor<{leading}x{vocab}xf32>");
        let best = |k: usize| ["f32", "i32"].map(|element| format!("tensor<{leading}x{k}x{element}>")).join(", ");
        let result = match returns {
            Returns::Logits => logits.clone(),
            Returns::Best(k) => format!("({})", best(k)),
        };
        let x = format!("tensor<1x{rows}x{hidden}xf32>");
        writeln!(
            out,
            "\nfunc.func @{name}(%ids: tensor<1x{rows}xi32>, %positions: tensor<1xi32>{extra}) -> {result} {{"
        )?;
        self.load(out, "embd", "token_embd.weight")?;
        let table = self.ty("token_embd.weight");
        writeln!(out, "  %x.0 = transformer.embedding %ids, %embd : tensor<1x{rows}xi32>, {table} -> {x}")?;
        for i in 0..layers {
            self.layer(out, i, rows)?;
        }
        let head = self.head();
        let (output, output_type) = if head == "output.weight" { ("output", self.ty(head)) } else { ("embd", table) };
        if head == "output.weight" {
            self.load(out, "output", head)?;
        }
        self.load(out, "output_norm", "output_norm.weight")?;
        let mut last = format!("x.{layers}");
        let mut ty = x.clone();
        if phase == Phase::Prefill {
            // Only the rows whose logits are wanted meet the head, the largest weight of all.
            let flat = format!("tensor<?x{hidden}xf32>");
            writeln!(out, "  %flat = tensor.collapse_shape %{last} [[0, 1], [2]] : {x} into {flat}")?;
            writeln!(out, "  %picked = transformer.embedding %rows, %flat : tensor<?xi32>, {flat} -> {flat}")?;
            (last, ty) = ("picked".into(), flat);
        }
        let norm = self.ty("output_norm.weight");
        writeln!(
            out,
            "  %n = transformer.rms_norm %{last}, %output_norm {{eps = {}}} : {ty}, {norm}",
            float(self.model.norm_eps)
        )?;
        writeln!(out, "  %logits = transformer.linear %n, %{output} : {ty}, {output_type} -> {logits}")?;
        let Returns::Best(k) = returns else { return writeln!(out, "  return %logits : {logits}\n}}") };
        let best = best(k);
        writeln!(out, "  %best, %tokens = transformer.top_k %logits : {logits} -> {best}")?;
        writeln!(out, "  return %best, %tokens : {best}\n}}")
    }

    fn load(&self, out: &mut String, value: &str, name: &str) -> fmt::Result {
        writeln!(out, "  %{value} = ml_program.global_load_const @{name} : {}", self.ty(name))
    }

    fn layer(&self, out: &mut String, i: usize, rows: &str) -> fmt::Result {
        let cache = self.cache();
        let name = |weight: &str| format!("blk.{i}.{weight}.weight");
        for weight in LAYER_WEIGHTS {
            self.load(out, &format!("{weight}.{i}"), &name(weight))?;
        }
        for kind in ["k", "v"] {
            writeln!(out, "  %{kind}_cache.{i} = ml_program.global_load @{kind}_cache.{i} : {cache}")?;
        }
        if ["attn_q", "attn_k", "attn_v", "attn_output"].iter().any(|w| self.has(&format!("blk.{i}.{w}.bias"))) {
            self.biased_layer(out, i, rows)?;
        } else {
            self.block(out, i, rows)?;
        }
        for kind in ["k", "v"] {
            writeln!(out, "  ml_program.global_store @{kind}_cache.{i} = %new_{kind}.{i} : {cache}")?;
        }
        Ok(())
    }

    fn rope_attributes(&self, prefix: &str) -> String {
        let mode = match self.model.rope_mode {
            RopeMode::Interleaved => "interleaved",
            RopeMode::Half => "half",
        };
        let mut text = format!("{prefix}mode = \"{mode}\", {prefix}base = {}", float(self.model.rope_base));
        if let Some(divisors) = &self.model.rope_divisors {
            let divisors: Vec<String> = divisors.iter().map(|d| number(*d)).collect();
            let _ = write!(text, ", {prefix}freq_divisors = array<f32: {}>", divisors.join(", "));
        }
        text
    }

    fn block(&self, out: &mut String, i: usize, rows: &str) -> fmt::Result {
        let Llama { hidden, heads, kv_heads, norm_eps, window, kv_type, .. } = *self.model;
        let (x, cache) = (format!("tensor<1x{rows}x{hidden}xf32>"), self.cache());
        let values = |names: &[&str]| names.iter().map(|n| format!("%{n}.{i}")).collect::<Vec<_>>().join(", ");
        let types = |names: &[&str]| {
            names.iter().map(|n| self.ty(&format!("blk.{i}.{n}.weight"))).collect::<Vec<_>>().join(", ")
        };
        let (attn, mlp) = LAYER_WEIGHTS.split_at(5);
        let next = i + 1;
        writeln!(out, "  %x.{next}, %new_k.{i}, %new_v.{i} = transformer.decoder_block %x.{i}")?;
        writeln!(
            out,
            "    attn({}) mlp({}) cache(%k_cache.{i}, %v_cache.{i}) at %positions",
            values(attn),
            values(mlp)
        )?;
        let window = window.map(|w| format!(", window = {w} : i64")).unwrap_or_default();
        let rope = self.rope_attributes("rope_");
        let eps = float(norm_eps);
        let quantize = if kv_type == KvType::Q8 { ", quantize_kv" } else { "" };
        writeln!(
            out,
            "    {{heads = {heads} : i64, kv_heads = {kv_heads} : i64, eps = {eps}, {rope}{window}{quantize}}}"
        )?;
        writeln!(out, "    : {x} attn({}) mlp({}) cache({cache}, {cache}) at tensor<1xi32>", types(attn), types(mlp))
    }

    /// `%{name}.{i}`, of type `result`: the product of `input`, a value and its type, and a weight, with the weight's
    /// bias where the model has one.
    fn projection(
        &self,
        out: &mut String,
        i: usize,
        name: &str,
        (input, input_type): (&str, &str),
        weight: &str,
        result: &str,
    ) -> fmt::Result {
        let ty = self.ty(&format!("blk.{i}.{weight}.weight"));
        let bias_name = format!("blk.{i}.{weight}.bias");
        let (mut bias, mut bias_type) = (String::new(), String::new());
        if self.has(&bias_name) {
            self.load(out, &format!("{weight}.bias.{i}"), &bias_name)?;
            bias = format!(" bias %{weight}.bias.{i}");
            bias_type = format!(", {}", self.ty(&bias_name));
        }
        writeln!(
            out,
            "  %{name}.{i} = transformer.linear %{input}, %{weight}.{i}{bias} : {input_type}, {ty}{bias_type} -> {result}"
        )
    }

    /// A layer whose projections have biases, which `decoder_block` has no place for.
    fn biased_layer(&self, out: &mut String, i: usize, rows: &str) -> fmt::Result {
        let Llama { hidden, heads, kv_heads, head_dim, norm_eps, window, kv_type, .. } = *self.model;
        let cache = self.cache();
        let flat = |width: usize| format!("tensor<1x{rows}x{width}xf32>");
        let split = |heads: usize| format!("tensor<1x{rows}x{heads}x{head_dim}xf32>");
        let x = flat(hidden);
        let ty = |weight: &str| self.ty(&format!("blk.{i}.{weight}.weight"));
        let norm = |out: &mut String, name: &str, input: &str, weight: &str| {
            let (eps, ty) = (float(norm_eps), ty(weight));
            writeln!(out, "  %{name}.{i} = transformer.rms_norm %{input}, %{weight}.{i} {{eps = {eps}}} : {x}, {ty}")
        };
        norm(out, "n", &format!("x.{i}"), "attn_norm")?;
        writeln!(out, "  %axis.{i} = arith.constant 1 : index")?;
        writeln!(out, "  %size.{i} = tensor.dim %x.{i}, %axis.{i} : {x}")?;
        for (name, weight, count) in [("q", "attn_q", heads), ("k", "attn_k", kv_heads), ("v", "attn_v", kv_heads)] {
            let (wide, tall) = (flat(count * head_dim), split(count));
            self.projection(out, i, &format!("{name}w"), (&format!("n.{i}"), &x), weight, &wide)?;
            let size = if rows == "?" { format!("%size.{i}") } else { rows.to_owned() };
            writeln!(
                out,
                "  %{name}h.{i} = tensor.expand_shape %{name}w.{i} [[0], [1], [2, 3]] output_shape [1, {size}, {count}, {head_dim}] : {wide} into {tall}"
            )?;
        }
        let rope = self.rope_attributes("");
        let (tall_q, tall_k) = (split(heads), split(kv_heads));
        writeln!(out, "  %q.{i} = transformer.rope %qh.{i} at %positions {{{rope}}} : {tall_q}, tensor<1xi32>")?;
        writeln!(out, "  %k.{i} = transformer.rope %kh.{i} at %positions {{{rope}}} : {tall_k}, tensor<1xi32>")?;
        for (kind, mut rows) in [("k", "k"), ("v", "vh")] {
            let rounded = format!("{kind}q");
            if kv_type == KvType::Q8 {
                writeln!(out, "  %{rounded}.{i} = transformer.quantize %{rows}.{i} : {tall_k}")?;
                rows = &rounded;
            }
            writeln!(
                out,
                "  %new_{kind}.{i} = transformer.kv_update %{kind}_cache.{i}, %{rows}.{i} at %positions : {cache}, {tall_k}, tensor<1xi32>"
            )?;
        }
        let window = window.map(|w| format!(", window = {w} : i64")).unwrap_or_default();
        writeln!(
            out,
            "  %a.{i} = transformer.attention %q.{i}, %new_k.{i}, %new_v.{i} at %positions {{causal{window}}} : {tall_q}, {cache}, {cache}, tensor<1xi32>"
        )?;
        let wide = flat(heads * head_dim);
        writeln!(out, "  %am.{i} = tensor.collapse_shape %a.{i} [[0], [1], [2, 3]] : {tall_q} into {wide}")?;
        self.projection(out, i, "o", (&format!("am.{i}"), &wide), "attn_output", &x)?;
        writeln!(out, "  %h.{i} = arith.addf %o.{i}, %x.{i} : {x}")?;
        norm(out, "m", &format!("h.{i}"), "ffn_norm")?;
        let weights = format!("{}, {}, {}", ty("ffn_gate"), ty("ffn_up"), ty("ffn_down"));
        writeln!(out, "  %y.{i} = transformer.mlp %m.{i}, %ffn_gate.{i}, %ffn_up.{i}, %ffn_down.{i} : {x}, {weights}")?;
        writeln!(out, "  %x.{} = arith.addf %y.{i}, %h.{i} : {x}", i + 1)
    }
}

/// An f32 attribute, exact.
fn float(value: f32) -> String {
    format!("{} : f32", number(value))
}

/// The shortest decimal that reads back as the same f32, in MLIR's syntax.
fn number(value: f32) -> String {
    let text = format!("{value:e}");
    // MLIR wants a point: 1e5 is 1.0e5.
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}
