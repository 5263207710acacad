//! The inputs of a GPU kernel's generator, and the parameters that all kernels have.
//!
//! A kernel's parameters are one buffer per operand, one per result that does not overwrite an operand's buffer, then
//! the scalars.

use super::buffer::{self, Buffer, buffer_type};
use crate::{
    emit::{Emitter, V},
    extract::tensor_type,
    group::{Group, Result, Signature, Size, dims, element},
};

use kforge_program::{Access, Expr, Layout, Pieces};
use kforge_target::Adapter;
use melior::ir::{Type, Value, ValueLike};

/// For each operand of a group that is a weight split over several buffers, its pieces. `rows16` is used only for
/// weights that the executor is given, and is read only by linear layers and embeddings.
///
/// # Errors
/// If a tensor has a layout that no kernel of a GPU reads, or an operand or result of a static size is larger than a buffer
/// and cannot be split.
pub fn pieces<'c, 'a>(group: &Group<'c, 'a>, adapter: Adapter) -> Result<'c, 'a, Vec<Option<Pieces>>> {
    if let Some(layout) = group.layouts.iter().chain(&group.result_layouts).find(|l| l.contains('8')) {
        return Err(group.unsupported(
            None,
            format!("has a tensor in the layout {layout}, which no kernel of a GPU reads; use --kv-type f32 or f16, and --numerics exact"),
        ));
    }
    let limit = adapter.binding_bytes;
    let pieces = |value: &Value<'c, 'a>, layout: &str, what: &str| {
        let dims = dims(value.r#type()).into_iter().map(|d| Some(Expr::Const(i64::try_from(d?).ok()?)));
        let ty = dims.collect::<Option<_>>().and_then(|dims| tensor_type(value.r#type(), dims));
        let (Some(ty), Some(layout)) = (ty, Layout::from_name(layout)) else { return Ok(None) };
        let fail =
            |message: String| group.unsupported(group.defining_op(*value), format!("has {what} {ty}: {message}"));
        let pieces = Pieces::of(&ty, layout, limit).map_err(fail)?;
        match ty.bytes(layout).as_const() {
            Some(bytes) if pieces.is_none() && bytes > limit as i64 => Err(fail(format!(
                "it is {bytes} bytes, and the adapter binds {limit} at once; only weights of linear layers and \
                 embeddings are split"
            ))),
            _ => Ok(pieces),
        }
    };
    for (value, layout) in group.yields.iter().zip(&group.result_layouts) {
        pieces(value, layout, "a result")?;
    }
    let operands = group.arguments.iter().zip(&group.layouts);
    let all = operands.map(|(value, layout)| pieces(value, layout, "an operand")).collect::<Result<Vec<_>>>()?;
    let bindings = all.iter().map(|pieces| pieces.map_or(1, |pieces| pieces.count)).sum::<usize>() + group.yields.len();
    if all.iter().any(Option::is_some) && bindings > adapter.bindings {
        return Err(group.unsupported(
            None,
            format!(
                "takes {bindings} buffers of at most {limit} bytes with its weights split, and the adapter binds {}; \
                 fuse less (--fuse)",
                adapter.bindings
            ),
        ));
    }
    Ok(all)
}

/// Inputs of a kernel generator.
#[derive(Clone, Copy)]
pub struct Target<'t, 'c, 'a> {
    pub group: &'t Group<'c, 'a>,
    pub module: &'t Emitter<'c, 'a>,
    pub name: &'t str,
    pub adapter: Adapter,
    /// Per operand: its pieces, if it is split over several buffers.
    pub pieces: &'t [Option<Pieces>],
}

impl<'c, 'a> Target<'_, 'c, 'a> {
    /// The memref type of a tensor; of vec4 elements if `four`.
    pub fn memref(&self, value: Value<'c, 'a>, four: bool) -> Type<'c> {
        buffer_type(self.module, self.adapter, element(value.r#type()), four)
    }

    /// Parameters of all operands and results, as memrefs of scalar elements.
    pub fn scalars(&self) -> Vec<(Type<'c>, String)> {
        let operands = self.group.arguments.iter().enumerate().map(|(i, v)| (self.memref(*v, false), format!("x{i}")));
        let results = self.group.yields.iter().enumerate().map(|(i, v)| (self.memref(*v, false), format!("y{i}")));
        operands.chain(results).collect()
    }

    /// The same without results that overwrite an operand's buffer, as named by `in_place`: a shader with the same
    /// buffer bound twice could not write to it.
    pub fn separate(&self, in_place: &[Option<usize>]) -> Vec<(Type<'c>, String)> {
        let operands = self.group.arguments.len();
        let is_own = |i: usize| i < operands || in_place[i - operands].is_none();
        self.scalars().into_iter().enumerate().filter(|(i, _)| is_own(*i)).map(|(_, buffer)| buffer).collect()
    }

    /// One memref per operand and result, given the buffers that [`separate`](Self::separate) declares.
    pub fn shared(&self, in_place: &[Option<usize>], buffers: &[V<'c, 'a>]) -> Vec<V<'c, 'a>> {
        let (operands, mut own) = buffers.split_at(self.group.arguments.len());
        let mut memrefs = operands.to_vec();
        for cache in in_place {
            memrefs.push(match (cache, own) {
                (Some(cache), _) => operands[*cache],
                (None, [first, rest @ ..]) => {
                    own = rest;
                    *first
                }
                (None, []) => unreachable!("a result that is not in place has a buffer"),
            });
        }
        memrefs
    }

    /// Buffer accesses of a kernel that reads its operands and writes its results.
    pub fn access(&self, in_place: &[Option<usize>]) -> Vec<Access> {
        let mut access = vec![Access::Read; self.group.arguments.len()];
        for cache in in_place {
            match cache {
                Some(cache) => access[*cache] = Access::ReadWrite,
                None => access.push(Access::Write),
            }
        }
        access
    }

    /// The signature of a kernel whose results all have their own buffers.
    pub fn signature(&self, tasks: Size, scalars: Vec<Size>, summary: String) -> Signature {
        let in_place = vec![None; self.group.yields.len()];
        Signature { access: self.access(&in_place), in_place, tasks, scalars, summary, partner: None }
    }

    /// The buffers of operands and results.
    pub fn buffers(&self, e: &Emitter<'c, 'a>, memrefs: &[V<'c, 'a>]) -> Vec<Buffer<'c, 'a>> {
        let values = self.group.arguments.iter().chain(&self.group.yields);
        values.zip(memrefs).map(|(v, memref)| Buffer::new(e, self.adapter, element(v.r#type()), *memref)).collect()
    }

    /// Fails if a result cannot be stored one element at a time.
    pub fn check_results(&self) -> Result<'c, 'a, ()> {
        for value in &self.group.yields {
            let ty = element(value.r#type());
            if buffer::Kept::of(self.module, self.adapter, ty) != buffer::Kept::Plain {
                let fix = if ty == self.module.f16() { "the adapter has no f16" } else { "WGSL has no such type" };
                return Err(self.group.unsupported(
                    self.group.defining_op(*value),
                    format!("has a result of {ty}, which no kernel of this GPU can store ({fix}); make it f32, by arith.extf in front of the op"),
                ));
            }
        }
        Ok(())
    }
}
