//! The kernels of a module, each generated once for all groups that compute the same.

use crate::{
    emit::{Builder, Emitter},
    group::{Definition, Group, Signature},
    kernels,
};
use kforge_dialect::{ir::body, pass::PassError};
use kforge_program::Family;
use kforge_target::{Adapter, Target};
use melior::{
    Context,
    ir::{
        Attribute, AttributeLike, Block, BlockLike, BlockRef, Identifier, Region, RegionLike, Type, TypeLike, Value,
        ValueLike,
        attribute::StringAttribute,
        operation::{OperationBuilder, OperationLike, OperationRef},
    },
};
use rustc_hash::FxHashMap as HashMap;

/// Kernels generated so far, by what they compute.
pub(super) struct Kernels<'c, 'a> {
    pub context: &'c Context,
    pub target: Target,
    pub module: BlockRef<'c, 'a>,
    /// What the GPU has, and where its kernels go.
    gpu: Option<(Adapter, BlockRef<'c, 'a>)>,
    known: HashMap<Identity, (String, Signature)>,
}

impl<'c, 'a> Kernels<'c, 'a> {
    /// None yet, for the module `op`.
    pub fn new(context: &'c Context, target: Target, module: BlockRef<'c, 'a>, op: OperationRef<'c, 'a>) -> Self {
        let gpu = target.adapter().map(|adapter| (adapter, gpu_module(context, module, op)));
        Kernels { context, target, module, gpu, known: HashMap::default() }
    }

    pub fn is_gpu(&self) -> bool {
        self.gpu.is_some()
    }

    /// Functions generated.
    pub fn count(&self) -> usize {
        self.known.values().map(|(_, signature)| 1 + usize::from(signature.partner.is_some())).sum()
    }

    /// The name and signature of a group's kernel.
    ///
    /// # Errors
    /// If no kernel can compute the group.
    pub fn kernel(&mut self, group: &Group<'c, '_>) -> Result<(String, Signature), PassError<'c>> {
        let key = Identity::of(group);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let name = format!("{}_{}", group.family, self.known.len());
        let block = self.gpu.map_or(self.module, |(_, kernels)| kernels);
        let builder = Builder::new(self.context, block, group.op.location());
        let emitter = Emitter::new(&builder, self.target);
        let signature = kernels::generate(group, &emitter, &name, self.gpu.map(|(adapter, _)| adapter));
        let signature = signature.map_err(|e| PassError::at(&e.op, format!("cannot be compiled: {}", e.message)))?;
        self.known.insert(key, (name.clone(), signature.clone()));
        Ok((name, signature))
    }
}

/// Puts a `gpu.module` for the kernels in front and returns its body.
fn gpu_module<'c, 'a>(context: &'c Context, module: BlockRef<'c, 'a>, op: OperationRef<'c, 'a>) -> BlockRef<'c, 'a> {
    let region = Region::new();
    region.append_block(Block::new(&[]));
    let name = StringAttribute::new(context, "kernels").into();
    let kernels = OperationBuilder::new("gpu.module", op.location())
        .add_attributes(&[(Identifier::new(context, "sym_name"), name)])
        .add_regions([region])
        .build()
        .expect("a module always builds");
    let kernels = module.insert_operation(0, kernels);
    body(&kernels).expect("the module was given a block")
}

/// Equal for groups of equal kernels: their ops, with operands and results by position. Names, attributes and types are
/// unique in a context, so their addresses represent them.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    family: Family,
    tile: Vec<usize>,
    layouts: Vec<String>,
    result_layouts: Vec<String>,
    ops: Vec<Computation>,
    yields: Vec<Place>,
}

#[derive(PartialEq, Eq, Hash)]
struct Computation {
    name: usize,
    operands: Vec<Place>,
    attributes: Vec<(usize, usize)>,
    /// Their types.
    results: Vec<usize>,
}

/// Where a value is defined.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    Argument { index: usize, ty: usize },
    Result { op: usize, index: usize },
    Outside,
}

impl Identity {
    fn of(group: &Group<'_, '_>) -> Identity {
        let place = |v: Value| match group.definition(v) {
            Some(Definition::Argument(index)) => Place::Argument { index, ty: address(v.r#type()) },
            Some(Definition::Op(op)) => {
                let index = group.body[op].results().position(|result| Value::from(result) == v);
                Place::Result { op, index: index.unwrap_or_default() }
            }
            None => Place::Outside,
        };
        let attribute =
            |(name, value): (Identifier, Attribute)| (name.to_raw().ptr as usize, value.to_raw().ptr as usize);
        let computation = |op: &OperationRef| Computation {
            name: op.name().to_raw().ptr as usize,
            operands: op.operands().map(place).collect(),
            attributes: op.attributes().map(attribute).collect(),
            results: op.results().map(|result| address(result.r#type())).collect(),
        };
        Identity {
            family: group.family,
            tile: group.tile.clone(),
            layouts: group.layouts.clone(),
            result_layouts: group.result_layouts.clone(),
            ops: group.body.iter().map(computation).collect(),
            yields: group.yields.iter().map(|v| place(*v)).collect(),
        }
    }
}

fn address(ty: Type) -> usize {
    ty.to_raw().ptr as usize
}
