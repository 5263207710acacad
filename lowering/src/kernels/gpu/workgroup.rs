//! A GPU kernel under construction: a `gpu.func` whose workgroups each do one task.
//!
//! ```mlir
//! gpu.func @gemv_0(%x: memref<?xf32>, %y: memref<?xf32>, %rows: index, %tasks: index)
//!     workgroup(%shared: memref<256xf32, #gpu.address_space<workgroup>>)
//!     kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
//!   %task = ... block_id x + block_id y * grid_dim x
//!   scf.if %task < %tasks { ... }
//! ```
//! A grid has at most 65535 workgroups along an axis, so tasks span two axes; workgroups past the last task do nothing.
//! Parameters are buffers, then scalars, then the number of tasks. A weight larger than the adapter's binding limit is
//! several buffers, one after another.

use super::target::Target;
use crate::{
    emit::{Emitter, V, VectorType},
    group::{Result, dims},
};
use melior::ir::{
    Attribute, Block, Location, Region, RegionLike, Type, TypeLike, ValueLike,
    attribute::{DenseI32ArrayAttribute, IntegerAttribute, StringAttribute, TypeAttribute},
    r#type::{FunctionType, MemRefType, ShapedTypeLike as _},
};

/// Declaration of a kernel.
pub struct Declaration<'n, 'c> {
    pub name: &'n str,
    /// Memref types and their names.
    pub buffers: Vec<(Type<'c>, String)>,
    pub scalars: usize,
    /// Memref types of workgroup memory ([`Emitter::shared`]).
    pub shared: Vec<Type<'c>>,
    /// Threads per workgroup.
    pub threads: usize,
}

/// The operation of a reduction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    Sum,
    Max,
}

/// What the body of a kernel sees: its task, thread and memory.
pub struct Workgroup<'c, 'a> {
    pub task: V<'c, 'a>,
    pub thread: V<'c, 'a>,
    pub threads: usize,
    /// Minimum threads of a subgroup, which are adjacent; 0 without subgroups, or if the workgroup is not a multiple of
    /// them.
    pub subgroups: usize,
    pub buffers: Vec<V<'c, 'a>>,
    /// Per buffer: all its pieces, if it is a split weight.
    pub splits: Vec<Option<Split<'c, 'a>>>,
    pub scalars: Vec<V<'c, 'a>>,
    pub shared: Vec<V<'c, 'a>>,
}

/// A weight split over several buffers.
#[derive(Clone)]
pub struct Split<'c, 'a> {
    pub memrefs: Vec<V<'c, 'a>>,
    /// Rows per buffer.
    pub rows: usize,
}

impl<'c> Declaration<'_, 'c> {
    /// Appends the kernel to a `gpu.module`'s body; `body` fills it. Weights become several buffers as the target's
    /// `pieces` say.
    ///
    /// # Errors
    /// If `body` fails, or the kernel exceeds the adapter's threads or workgroup memory.
    pub fn build<'a>(
        self,
        of: &Target<'_, 'c, 'a>,
        body: impl FnOnce(&Emitter<'c, 'a>, &Workgroup<'c, 'a>) -> Result<'c, 'a, ()>,
    ) -> Result<'c, 'a, ()> {
        let Target { module, adapter, pieces, .. } = *of;
        let (threads, bytes) = (self.threads, bytes(&self.shared));
        if threads > adapter.threads || bytes > adapter.workgroup_bytes {
            return Err(of.group.unsupported(
                None,
                format!(
                    "{} takes {threads} threads and {bytes} bytes of a workgroup, and the adapter has {} and {}; fuse \
                     less (--fuse)",
                    of.group.family, adapter.threads, adapter.workgroup_bytes
                ),
            ));
        }
        let context = module.context;
        let named = |name: &str| Location::name(context, name, module.location());
        let pieces_of = |i: usize| pieces.get(i).copied().flatten();
        let mut arguments: Vec<(Type, Location)> = vec![];
        for (i, (ty, name)) in self.buffers.iter().enumerate() {
            arguments.push((*ty, named(name)));
            let more = 1..pieces_of(i).map_or(1, |pieces| pieces.count);
            arguments.extend(more.map(|piece| (*ty, named(&format!("{name}_{piece}")))));
        }
        let bound = arguments.len();
        arguments.extend((0..self.scalars).map(|i| (module.index(), named(&format!("size{i}")))));
        arguments.push((module.index(), named("tasks")));
        let inputs: Vec<Type> = arguments.iter().map(|(ty, _)| *ty).collect();
        arguments.extend(self.shared.iter().map(|ty| (*ty, named("shared"))));
        let region = Region::new();
        region.append_block(Block::new(&arguments));
        let attributes = [
            ("sym_name", StringAttribute::new(context, self.name).into()),
            ("function_type", TypeAttribute::new(FunctionType::new(context, &inputs, &[]).into()).into()),
            ("gpu.kernel", Attribute::unit(context)),
            ("workgroup_attributions", IntegerAttribute::new(module.int(64), self.shared.len() as i64).into()),
            ("known_block_size", DenseI32ArrayAttribute::new(context, &[self.threads as i32, 1, 1]).into()),
        ];
        let op = module.structured("gpu.func", &[], &[], &attributes, vec![region]);
        module.fill(op, 0, |e, values| {
            let (mut bound, rest) = values.split_at(bound);
            let (mut buffers, mut splits) = (vec![], vec![]);
            for i in 0..self.buffers.len() {
                let (memrefs, others) = bound.split_at(pieces_of(i).map_or(1, |pieces| pieces.count));
                buffers.push(memrefs[0]);
                splits.push(pieces_of(i).map(|pieces| Split { memrefs: memrefs.to_vec(), rows: pieces.rows }));
                bound = others;
            }
            let (scalars, rest) = rest.split_at(self.scalars);
            let row = e.gpu_id("block_id", "y") * e.gpu_id("grid_dim", "x");
            let task = e.gpu_id("block_id", "x") + row;
            let group = Workgroup {
                task,
                thread: e.gpu_id("thread_id", "x"),
                threads: self.threads,
                subgroups: if adapter.subgroups > 1 && self.threads.is_multiple_of(adapter.subgroups) {
                    adapter.subgroups
                } else {
                    0
                },
                buffers,
                splits,
                scalars: scalars.to_vec(),
                shared: rest[1..].to_vec(),
            };
            let outcome = e.try_if(task.lt(rest[0]), |e| body(e, &group));
            e.op("gpu.return", &[], &[], &[]);
            outcome
        })
    }
}

/// Bytes of static memrefs of 32-bit or f16 elements, or of vectors of them.
pub fn bytes(memrefs: &[Type<'_>]) -> usize {
    let of_one = |ty: &Type| {
        let memref = MemRefType::try_from(*ty).expect("memory of a workgroup is a memref");
        let (element, lanes) = match memref.element() {
            vector if vector.is_vector() => (VectorType(vector).element(), VectorType(vector).lanes()),
            scalar => (scalar, 1),
        };
        let bytes = if element.to_string() == "f16" { 2 } else { 4 };
        dims(*ty).into_iter().map(|dim| dim.unwrap_or(0)).product::<usize>() * lanes * bytes
    };
    memrefs.iter().map(of_one).sum()
}

impl<'c, 'a> Workgroup<'c, 'a> {
    /// Reduces the `value` of all threads, in a fixed order; all threads get the result. `shared` has one element per
    /// thread. All threads must execute this.
    pub fn reduce(&self, e: &Emitter<'c, 'a>, shared: V<'c, 'a>, value: V<'c, 'a>, fold: Fold) -> V<'c, 'a> {
        let result = self.reduce_once(e, shared, value, fold);
        // The memory may be reused immediately.
        e.barrier();
        result
    }

    /// The same, without the final barrier: the caller must have one before the memory is written again.
    pub fn reduce_once(&self, e: &Emitter<'c, 'a>, shared: V<'c, 'a>, value: V<'c, 'a>, fold: Fold) -> V<'c, 'a> {
        if self.subgroups == 0 {
            return self.reduce_in_memory(e, shared, value, fold);
        }
        // Reduces within subgroups by shuffles, then across subgroups in memory.
        let value = self.across(e, value, 1, fold);
        let (number, lane) = self.thread.div_rem(self.subgroups);
        e.if_(lane.eq(0), |e| e.store(value, shared, &[number]));
        e.barrier();
        let part = |i| e.load(shared, &[e.ci(i)]);
        (1..self.threads / self.subgroups).fold(part(0), |sum, i| fold.of(sum, part(i)))
    }

    /// Sums the values of `count` adjacent threads, a power of two; all of them get the sum. The conditions are those
    /// of [`reduce`](Self::reduce).
    pub fn sum_of_neighbours(
        &self,
        e: &Emitter<'c, 'a>,
        shared: V<'c, 'a>,
        value: V<'c, 'a>,
        count: usize,
    ) -> V<'c, 'a> {
        if count <= self.subgroups.max(1) {
            return self.across_some(e, value, 1, count, Fold::Sum);
        }
        e.store(value, shared, &[self.thread]);
        e.barrier();
        let first = self.thread / count * count;
        let part = |i| e.load(shared, &[(first + i).min(self.threads - 1)]);
        let sum = (1..count).fold(part(0), |sum, i| sum + part(i));
        e.barrier();
        sum
    }

    /// Reduces a value or vector over the lanes of a subgroup that are a multiple of `step` apart; all of them get the
    /// result.
    pub fn across(&self, e: &Emitter<'c, 'a>, value: V<'c, 'a>, step: usize, fold: Fold) -> V<'c, 'a> {
        self.across_some(e, value, step, self.subgroups, fold)
    }

    /// The same over `count` adjacent lanes, at most a subgroup.
    fn across_some(&self, e: &Emitter<'c, 'a>, value: V<'c, 'a>, step: usize, count: usize, fold: Fold) -> V<'c, 'a> {
        let mut value = value;
        let mut distance = step;
        while distance < count {
            value = fold.of(value, e.shuffle_xor(value, distance, self.subgroups));
            distance *= 2;
        }
        value
    }

    fn reduce_in_memory(&self, e: &Emitter<'c, 'a>, shared: V<'c, 'a>, value: V<'c, 'a>, fold: Fold) -> V<'c, 'a> {
        e.store(value, shared, &[self.thread]);
        let mut width = self.threads;
        while width > 1 {
            let half = width.div_ceil(2);
            e.barrier();
            e.if_(self.thread.lt(width - half), |e| {
                let other = e.load(shared, &[self.thread + half]);
                e.store(fold.of(e.load(shared, &[self.thread]), other), shared, &[self.thread]);
            });
            width = half;
        }
        e.barrier();
        e.load(shared, &[e.ci(0)])
    }
}

impl Fold {
    fn of<'c, 'a>(self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        match self {
            Fold::Sum => a + b,
            Fold::Max => a.max(b),
        }
    }
}

impl<'c, 'a> Emitter<'c, 'a> {
    /// A memref type in workgroup memory.
    pub fn shared(&self, dims: &[usize], element: Type<'c>) -> Type<'c> {
        let space = Attribute::parse(self.context, "#gpu.address_space<workgroup>").expect("the gpu dialect is loaded");
        let dims: Vec<i64> = dims.iter().map(|dim| *dim as i64).collect();
        MemRefType::new(element, &dims, None, Some(space)).into()
    }

    /// `gpu.thread_id x` and its like.
    pub fn gpu_id(&self, op: &str, axis: &str) -> V<'c, 'a> {
        let dimension =
            Attribute::parse(self.context, &format!("#gpu<dim {axis}>")).expect("the gpu dialect is loaded");
        self.value(&format!("gpu.{op}"), &[], self.index(), &[("dimension", dimension)])
    }

    /// The value or vector of the lane whose number differs in the bit `distance`.
    fn shuffle_xor(&self, value: V<'c, 'a>, distance: usize, width: usize) -> V<'c, 'a> {
        let mode = Attribute::parse(self.context, "#gpu<shuffle_mode xor>").expect("the gpu dialect is loaded");
        let bit = self.int(1);
        let one = |value: V<'c, 'a>| {
            let operands = [value, self.cint(32, distance as i64), self.cint(32, width as i64)];
            let op = self.op("gpu.shuffle", &operands, &[value.r#type(), bit], &[("mode", mode)]);
            self.wrap(op.result(0).expect("the value"))
        };
        if !value.r#type().is_vector() {
            return one(value);
        }
        let lanes = VectorType(value.r#type()).lanes();
        let exchanged: Vec<V> = (0..lanes).map(|lane| one(self.extract(value, lane))).collect();
        self.from_elements(&exchanged)
    }

    /// Synchronises workgroup memory, not buffers: no task reads from a buffer what another thread has written there.
    pub fn barrier(&self) {
        let spaces =
            Attribute::parse(self.context, "[#gpu.address_space<workgroup>]").expect("the gpu dialect is loaded");
        self.op("gpu.barrier", &[], &[], &[("address_spaces", spaces)]);
    }
}
