//! One layer of a decoder as primitive ops, one op per line.
//!
//! ```mlir
//! %n.0 = transformer.rms_norm %x.0, %attn_norm.0 {eps = ...}
//! %qw.0 = transformer.linear %n.0, %attn_q.0                     bias %attn_q.bias.0 where the model has one
//! %qh.0 = tensor.expand_shape %qw.0 [[0], [1], [2, 3]]           [B, S, H * D] as [B, S, H, D]
//! %qn.0 = transformer.rms_norm %qh.0, %attn_q_norm.0             where the model has such a norm
//! %q.0 = transformer.rope %qn.0 at %positions
//! ...                                                            the same for k; v has neither norm nor RoPE
//! %kc.0 = transformer.kv_update %k_cache.0, %k.0 at %positions   after transformer.quantize for a cache of 8 bits
//! %vc.0 = transformer.kv_update %v_cache.0, %vh.0 at %positions
//! %a.0 = transformer.attention %q.0, %kc.0, %vc.0 at %positions {causal}
//! %am.0 = tensor.collapse_shape %a.0 [[0], [1], [2, 3]]
//! %o.0 = transformer.linear %am.0, %attn_output.0
//! %h.0 = arith.addf %o.0, %x.0
//! %m.0 = transformer.rms_norm %h.0, %ffn_norm.0
//! %f.0 = transformer.mlp %m.0, %ffn_gate.0, %ffn_up.0, %ffn_down.0
//! %y.0 = arith.addf %f.0, %h.0
//! ```
//! The order of the ops must not change: fusion and the bits of results depend on it.

use crate::{Arch, Mlp, Norm, QkNorm};
use std::fmt::Write;

/// An SSA value: its name without `%`, and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub name: String,
    pub ty: String,
}

impl Value {
    pub fn new(name: impl Into<String>, ty: impl Into<String>) -> Value {
        Value { name: name.into(), ty: ty.into() }
    }
}

/// A layer: sizes, attributes as MLIR text, and the values that every model has.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    /// The norms, the MLP and their places.
    pub arch: &'a Arch,
    /// Suffix of the names of the values that it defines.
    pub suffix: &'a str,
    /// Dynamic if `None`.
    pub batch: Option<usize>,
    pub rows: Option<usize>,
    pub hidden: usize,
    pub ffn: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Element type of activations.
    pub element: &'a str,
    /// Of the norms: `1.0e-5 : f32`.
    pub eps: &'a str,
    /// Of RoPE: `mode = "half", base = 1.0e4 : f32`; `None` without it.
    pub rope: Option<&'a str>,
    /// Of the attention: `, window = 64 : i64`.
    pub attention: &'a str,
    /// What multiplies the outputs of attention and MLP: `0.22 : f32`.
    pub residual_scale: Option<&'a str>,
    /// Of the MLP: `"gelu"`.
    pub activation: Option<&'a str>,
    /// Whether rows are rounded to 8 bits before they enter the caches.
    pub quantize_kv: bool,
    pub x: Value,
    pub k_cache: Value,
    pub v_cache: Value,
    /// tensor<Bxi32>.
    pub positions: Value,
    /// tensor<Bxi32>.
    pub lengths: Option<Value>,
    /// tensor<BxPxi32>.
    pub block_table: Option<Value>,
}

/// The results of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub x: Value,
    pub k_cache: Value,
    pub v_cache: Value,
}

impl Layer<'_> {
    /// Appends the ops to `out`. `weight` returns the value of a weight by the part of its name after the layer number, such
    /// as `attn_q.weight`; biases and head norms are omitted if it returns `None`.
    ///
    /// # Errors
    /// The name part of the first required weight that is missing.
    pub fn write(&self, out: &mut String, weight: impl FnMut(&str) -> Option<Value>) -> Result<Output, &'static str> {
        Builder { layer: self, out, weight }.layer()
    }
}

/// A norm of `x` as an op; only a layer norm has a bias.
pub fn norm(kind: Norm, x: &Value, weight: &Value, bias: Option<&Value>, eps: &str) -> String {
    let name = match kind {
        Norm::Rms => "rms_norm",
        Norm::Layer => "layer_norm",
    };
    let (operand, ty) = bias.map(|bias| (format!(", %{}", bias.name), format!(", {}", bias.ty))).unwrap_or_default();
    format!("transformer.{name} %{}, %{}{operand} {{eps = {eps}}} : {}, {}{ty}", x.name, weight.name, x.ty, weight.ty)
}

/// The type of a tensor.
pub fn tensor(dims: &[Option<usize>], element: &str) -> String {
    let mut text = String::from("tensor<");
    for dim in dims {
        let _ = match dim {
            Some(dim) => write!(text, "{dim}x"),
            None => write!(text, "?x"),
        };
    }
    text + element + ">"
}

struct Builder<'a, F> {
    layer: &'a Layer<'a>,
    out: &'a mut String,
    weight: F,
}

impl<F: FnMut(&str) -> Option<Value>> Builder<'_, F> {
    fn layer(mut self) -> Result<Output, &'static str> {
        let Layer { hidden, heads, kv_heads, .. } = *self.layer;
        let x = self.layer.x.clone();
        let (pre, post) = (self.layer.arch.norms.has_pre(), self.layer.arch.norms.has_post());
        let n = if pre { self.norm("n", &x, ["attn_norm.weight", "attn_norm.bias"])? } else { x.clone() };
        let q = self.heads("q", &n, heads, ["attn_q.weight", "attn_q.bias"], Some("attn_q_norm.weight"))?;
        let q = self.rope("q", q);
        let k = self.heads("k", &n, kv_heads, ["attn_k.weight", "attn_k.bias"], Some("attn_k_norm.weight"))?;
        let k = self.rope("k", k);
        let v = self.heads("v", &n, kv_heads, ["attn_v.weight", "attn_v.bias"], None)?;
        let k_cache = self.update("k", &self.layer.k_cache, k);
        let v_cache = self.update("v", &self.layer.v_cache, v);
        let a = self.attention(&q, &k_cache, &v_cache);
        let o = self.linear("o", &a, hidden, ["attn_output.weight", "attn_output.bias"])?;
        let o = if post { self.norm("on", &o, ["post_attention_norm.weight", "post_attention_norm.bias"])? } else { o };
        let h = self.add("h", o, &x);
        let m = if pre { self.norm("m", &h, ["ffn_norm.weight", "ffn_norm.bias"])? } else { h.clone() };
        let f = self.mlp("f", &m)?;
        let f = if post { self.norm("fn", &f, ["post_ffw_norm.weight", "post_ffw_norm.bias"])? } else { f };
        Ok(Output { x: self.add("y", f, &h), k_cache, v_cache })
    }

    /// A line that defines a value of a name and type.
    fn define(&mut self, name: &str, text: String, ty: &str) -> Value {
        let name = format!("{name}{}", self.layer.suffix);
        let _ = writeln!(self.out, "  %{name} = {text}");
        Value::new(name, ty)
    }

    fn need(&mut self, part: &'static str) -> Result<Value, &'static str> {
        (self.weight)(part).ok_or(part)
    }

    fn shape(&self, last: &[usize]) -> String {
        let dims: Vec<_> =
            [self.layer.batch, self.layer.rows].into_iter().chain(last.iter().copied().map(Some)).collect();
        tensor(&dims, self.layer.element)
    }

    fn norm(&mut self, name: &str, x: &Value, [weight, bias]: [&'static str; 2]) -> Result<Value, &'static str> {
        let weight = self.need(weight)?;
        match self.layer.arch.norm {
            Norm::Rms => Ok(self.rms_norm(name, x, &weight)),
            Norm::Layer => {
                let bias = self.need(bias)?;
                let text = norm(Norm::Layer, x, &weight, Some(&bias), self.layer.eps);
                Ok(self.define(name, text, &x.ty))
            }
        }
    }

    fn rms_norm(&mut self, name: &str, x: &Value, weight: &Value) -> Value {
        let text = norm(Norm::Rms, x, weight, None, self.layer.eps);
        self.define(name, text, &x.ty)
    }

    /// The norm of queries or keys.
    fn qk_norm(&mut self, name: &str, x: Value, part: &'static str) -> Result<Value, &'static str> {
        let weight = self.need(part)?;
        Ok(self.rms_norm(&format!("{name}n"), &x, &weight))
    }

    /// The product of `x` and a weight of `width` rows, with the weight's bias where the model has one.
    fn linear(
        &mut self,
        name: &str,
        x: &Value,
        width: usize,
        [weight, bias]: [&'static str; 2],
    ) -> Result<Value, &'static str> {
        let weight = self.need(weight)?;
        let (values, types) = match (self.weight)(bias) {
            Some(bias) => (format!(" bias %{}", bias.name), format!(", {}", bias.ty)),
            None => Default::default(),
        };
        let ty = self.shape(&[width]);
        let text = format!(
            "transformer.linear %{}, %{}{values} : {}, {}{types} -> {ty}",
            x.name, weight.name, x.ty, weight.ty
        );
        Ok(self.define(name, text, &ty))
    }

    /// A projection as heads, [B, S, H, D], with its norm where the family has one.
    fn heads(
        &mut self,
        name: &str,
        x: &Value,
        heads: usize,
        parts: [&'static str; 2],
        norm: Option<&'static str>,
    ) -> Result<Value, &'static str> {
        let (depth, qk_norm) = (self.layer.head_dim, self.layer.arch.qk_norm);
        let mut wide = self.linear(&format!("{name}w"), x, heads * depth, parts)?;
        if let (Some(norm), QkNorm::Projection) = (norm, qk_norm) {
            wide = self.qk_norm(name, wide, norm)?;
        }
        let mut sizes = Vec::new();
        for (axis, size) in [self.layer.batch, self.layer.rows].into_iter().enumerate() {
            sizes.push(match size {
                Some(size) => size.to_string(),
                None => {
                    let number =
                        self.define(&format!("{name}a{axis}"), format!("arith.constant {axis} : index"), "index");
                    let text = format!("tensor.dim %{}, %{} : {}", wide.name, number.name, wide.ty);
                    format!("%{}", self.define(&format!("{name}s{axis}"), text, "index").name)
                }
            });
        }
        let ty = self.shape(&[heads, depth]);
        let text = format!(
            "tensor.expand_shape %{} [[0], [1], [2, 3]] output_shape [{}, {heads}, {depth}] : {} into {ty}",
            wide.name,
            sizes.join(", "),
            wide.ty
        );
        let split = self.define(&format!("{name}h"), text, &ty);
        match (norm, qk_norm) {
            (Some(norm), QkNorm::Head) => self.qk_norm(name, split, norm),
            _ => Ok(split),
        }
    }

    fn rope(&mut self, name: &str, x: Value) -> Value {
        let Some(attributes) = self.layer.rope else { return x };
        let at = self.sequences(false);
        let text = format!("transformer.rope %{}{} {{{attributes}}} : {}{}", x.name, at.values, x.ty, at.types);
        self.define(name, text, &x.ty)
    }

    fn update(&mut self, name: &str, cache: &Value, mut rows: Value) -> Value {
        if self.layer.quantize_kv {
            let text = format!("transformer.quantize %{} : {}", rows.name, rows.ty);
            rows = self.define(&format!("{name}r"), text, &rows.ty);
        }
        let at = self.sequences(true);
        let text = format!(
            "transformer.kv_update %{}, %{}{} : {}, {}{}",
            cache.name, rows.name, at.values, cache.ty, rows.ty, at.types
        );
        self.define(&format!("{name}c"), text, &cache.ty)
    }

    /// The attention, with its heads concatenated again.
    fn attention(&mut self, q: &Value, k: &Value, v: &Value) -> Value {
        let at = self.sequences(true);
        let attributes = self.layer.attention;
        let text = format!(
            "transformer.attention %{}, %{}, %{}{} {{causal{attributes}}} : {}, {}, {}{}",
            q.name, k.name, v.name, at.values, q.ty, k.ty, v.ty, at.types
        );
        let a = self.define("a", text, &q.ty);
        let ty = self.shape(&[self.layer.heads * self.layer.head_dim]);
        let text = format!("tensor.collapse_shape %{} [[0], [1], [2, 3]] : {} into {ty}", a.name, a.ty);
        self.define("am", text, &ty)
    }

    fn mlp(&mut self, name: &str, x: &Value) -> Result<Value, &'static str> {
        let (hidden, ffn) = (self.layer.hidden, self.layer.ffn);
        let inner = match self.layer.arch.mlp {
            Mlp::Swiglu => {
                let [gate, up, down] =
                    [self.need("ffn_gate.weight")?, self.need("ffn_up.weight")?, self.need("ffn_down.weight")?];
                let activation =
                    self.layer.activation.map(|name| format!(" {{activation = {name}}}")).unwrap_or_default();
                let text = format!(
                    "transformer.mlp %{}, %{}, %{}, %{}{activation} : {}, {}, {}, {}",
                    x.name, gate.name, up.name, down.name, x.ty, gate.ty, up.ty, down.ty
                );
                return Ok(self.define(name, text, &x.ty));
            }
            Mlp::Geglu => {
                let gate = self.linear("g", x, ffn, ["ffn_gate.weight", "ffn_gate.bias"])?;
                let up = self.linear("u", x, ffn, ["ffn_up.weight", "ffn_up.bias"])?;
                let gate = self.gelu("ga", &gate);
                self.define("gu", format!("arith.mulf %{}, %{} : {}", gate.name, up.name, gate.ty), &gate.ty)
            }
            Mlp::Gelu => {
                let up = self.linear("u", x, ffn, ["ffn_up.weight", "ffn_up.bias"])?;
                self.gelu("ga", &up)
            }
        };
        self.linear(name, &inner, hidden, ["ffn_down.weight", "ffn_down.bias"])
    }

    fn gelu(&mut self, name: &str, x: &Value) -> Value {
        let text = format!("transformer.gelu %{} {{approximate = \"tanh\"}} : {}", x.name, x.ty);
        self.define(name, text, &x.ty)
    }

    /// The sum of the stream `x` and what a part of the layer adds to it.
    fn add(&mut self, name: &str, mut a: Value, x: &Value) -> Value {
        if let Some(factor) = self.layer.residual_scale {
            let text = format!("transformer.scale %{} {{factor = {factor}}} : {}", a.name, a.ty);
            a = self.define(&format!("{name}s"), text, &a.ty);
        }
        self.define(name, format!("arith.addf %{}, %{} : {}", a.name, x.name, a.ty), &a.ty)
    }

    /// Operands that locate the sequences: positions, and optionally lengths and a block table.
    fn sequences(&self, with_blocks: bool) -> Sequences {
        let layer = self.layer;
        let mut text =
            Sequences { values: format!(" at %{}", layer.positions.name), types: format!(", {}", layer.positions.ty) };
        if let Some(lengths) = &layer.lengths {
            let _ = write!(text.values, " lengths %{}", lengths.name);
            let _ = write!(text.types, ", {}", lengths.ty);
        }
        if let Some(table) = layer.block_table.as_ref().filter(|_| with_blocks) {
            let _ = write!(text.values, " blocks %{}", table.name);
            let _ = write!(text.types, " blocks {}", table.ty);
        }
        text
    }
}

/// Trailing operands of an op, and their types.
struct Sequences {
    values: String,
    types: String,
}
