//! A kernel of a GPU under construction: a `gpu.func` whose workgroups each do one task.
//!
//! ```mlir
//! gpu.func @gemv_0(%x: memref<?xf32>, %y: memref<?xf32>, %rows: index, %tasks: index)
//!     workgroup(%shared: memref<256xf32, #gpu.address_space<workgroup>>)
//!     kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
//!   %task = ... block_id x + block_id y * grid_dim x
//!   scf.if %task < %tasks { ... }
//! ```
//! A grid has 65535 workgroups along an axis at most, so tasks go along two; the last row of them may be cut off. Parameters
//! are buffers, then scalars, then the number of tasks.

use crate::emit::{Cmp, Emitter, V};
use melior::ir::{
    Attribute, Block, BlockLike, Location, Region, RegionLike, Type,
    attribute::{DenseI32ArrayAttribute, IntegerAttribute, StringAttribute, TypeAttribute},
    operation::{OperationBuilder, OperationLike},
    r#type::{FunctionType, MemRefType},
};

/// What a kernel is declared with.
pub struct Declaration<'n, 'c> {
    pub name: &'n str,
    /// Memrefs and their names.
    pub buffers: Vec<(Type<'c>, String)>,
    pub scalars: usize,
    /// Memory of the workgroup: elements and their type.
    pub shared: Vec<(usize, Type<'c>)>,
    /// Threads of a workgroup.
    pub threads: usize,
}

/// What a workgroup has: its task, and in each thread the thread's number.
pub struct Workgroup<'c, 'a> {
    pub task: V<'c, 'a>,
    pub thread: V<'c, 'a>,
    pub threads: usize,
    pub buffers: Vec<V<'c, 'a>>,
    pub scalars: Vec<V<'c, 'a>>,
    pub shared: Vec<V<'c, 'a>>,
}

impl<'c> Declaration<'_, 'c> {
    /// Appends the kernel to a `gpu.module`'s body; `body` fills it.
    pub fn build<'a, E>(
        self,
        module: &Emitter<'c, 'a>,
        body: impl FnOnce(&Emitter<'c, 'a>, &Workgroup<'c, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let context = module.context;
        let named = |name: &str| Location::name(context, name, module.location);
        let mut arguments: Vec<(Type, Location)> = self.buffers.iter().map(|(ty, name)| (*ty, named(name))).collect();
        arguments.extend((0..self.scalars).map(|i| (module.index(), named(&format!("size{i}")))));
        arguments.push((module.index(), named("tasks")));
        let inputs: Vec<Type> = arguments.iter().map(|(ty, _)| *ty).collect();
        let space = Attribute::parse(context, "#gpu.address_space<workgroup>").expect("the gpu dialect is loaded");
        for (elements, element) in &self.shared {
            let ty = MemRefType::new(*element, &[*elements as i64], None, Some(space)).into();
            arguments.push((ty, named("shared")));
        }
        let region = Region::new();
        region.append_block(Block::new(&arguments));
        let unit = Attribute::unit(context);
        let op = OperationBuilder::new("gpu.func", module.location)
            .add_attributes(&module.attributes(&[
                ("sym_name", StringAttribute::new(context, self.name).into()),
                ("function_type", TypeAttribute::new(FunctionType::new(context, &inputs, &[]).into()).into()),
                ("gpu.kernel", unit),
                ("workgroup_attributions", IntegerAttribute::new(module.int(64), self.shared.len() as i64).into()),
                ("known_block_size", DenseI32ArrayAttribute::new(context, &[self.threads as i32, 1, 1]).into()),
            ]))
            .add_regions([region])
            .build()
            .expect("a function always builds");
        let op = module.block.append_operation(op);
        let block = op.region(0).ok().and_then(|r| r.first_block()).expect("the function was given a block");
        let values: Vec<V> = (0..arguments.len()).map(|i| block.argument(i).expect("an argument").into()).collect();
        let e = Emitter { block, ..*module };
        let (buffers, rest) = values.split_at(self.buffers.len());
        let (scalars, rest) = rest.split_at(self.scalars);
        let row = e.mul(e.gpu_id("block_id", "y"), e.gpu_id("grid_dim", "x"));
        let task = e.add(e.gpu_id("block_id", "x"), row);
        let group = Workgroup {
            task,
            thread: e.gpu_id("thread_id", "x"),
            threads: self.threads,
            buffers: buffers.to_vec(),
            scalars: scalars.to_vec(),
            shared: rest[1..].to_vec(),
        };
        let mut outcome = Ok(());
        e.if_(e.cmp(Cmp::Slt, task, rest[0]), |e| outcome = body(e, &group));
        e.op("gpu.return", &[], &[], &[]);
        outcome
    }
}

impl<'c, 'a> Workgroup<'c, 'a> {
    /// Every thread's `value` folded into one by `fold`, in the same order each time; all threads get it. `shared` has an
    /// element for each thread, and all threads must come here.
    pub fn reduce(
        &self,
        e: &Emitter<'c, 'a>,
        shared: V<'c, 'a>,
        value: V<'c, 'a>,
        fold: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
    ) -> V<'c, 'a> {
        e.store(value, shared, &[self.thread]);
        let mut width = self.threads;
        while width > 1 {
            let half = width.div_ceil(2);
            e.barrier();
            e.if_(e.cmp(Cmp::Slt, self.thread, e.ci(width - half)), |e| {
                let other = e.load(shared, &[e.add_c(self.thread, half)]);
                e.store(fold(e, e.load(shared, &[self.thread]), other), shared, &[self.thread]);
            });
            width = half;
        }
        e.barrier();
        let result = e.load(shared, &[e.ci(0)]);
        // The memory may be written again at once.
        e.barrier();
        result
    }
}

impl<'c, 'a> Emitter<'c, 'a> {
    /// `gpu.thread_id x` and its like.
    pub fn gpu_id(&self, op: &str, axis: &str) -> V<'c, 'a> {
        let dimension =
            Attribute::parse(self.context, &format!("#gpu<dim {axis}>")).expect("the gpu dialect is loaded");
        self.value(&format!("gpu.{op}"), &[], self.index(), &[("dimension", dimension)])
    }

    pub fn barrier(&self) {
        self.op("gpu.barrier", &[], &[], &[]);
    }
}
