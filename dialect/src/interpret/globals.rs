//! The module's globals: weights, state and constants.

use super::error::{Failure, InterpretError};
use super::values::{ValueType, check_size};
use crate::{constant, ir};
use kforge_reference::{Element, Tensor};
use melior::ir::{
    attribute::TypeAttribute,
    operation::{OperationLike, OperationRef},
};
use std::{collections::HashMap, rc::Rc};

/// What a caller needs to know of a global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalInfo {
    pub name: String,
    /// None for a dynamic dimension.
    pub dims: Vec<Option<usize>>,
    pub element: Element,
    pub mutable: bool,
    /// Its value comes from outside: it must be set before it is read.
    pub external: bool,
    /// The module gives it a value: of a constant the only one, of mutable state the first.
    pub initialised: bool,
}

struct Global<'c, 'm> {
    op: OperationRef<'c, 'm>,
    name: String,
    ty: ValueType,
    mutable: bool,
    external: bool,
    initialised: bool,
    value: Option<Rc<Tensor>>,
}

/// The globals in the order of the module.
#[derive(Default)]
pub(super) struct Globals<'c, 'm> {
    list: Vec<Global<'c, 'm>>,
    by_name: HashMap<String, usize>,
}

impl<'c, 'm> Globals<'c, 'm> {
    /// Adds an `ml_program.global` with its initial value: the given one, or zeros for mutable state of static shape.
    pub fn declare(&mut self, op: OperationRef<'c, 'm>) -> Result<(), InterpretError> {
        let global = Global::new(op).map_err(|failure| InterpretError::at(&op, failure))?;
        self.by_name.insert(global.name.clone(), self.list.len());
        self.list.push(global);
        Ok(())
    }

    pub fn infos(&self) -> Vec<GlobalInfo> {
        let info = |global: &Global<'_, '_>| GlobalInfo {
            name: global.name.clone(),
            dims: global.ty.dims.clone(),
            element: global.ty.element,
            mutable: global.mutable,
            external: global.external,
            initialised: global.initialised,
        };
        self.list.iter().map(info).collect()
    }

    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.list[*self.by_name.get(name)?].value.as_deref()
    }

    /// The value for a load.
    pub fn load(&self, name: &str) -> Result<Rc<Tensor>, Failure> {
        let global = &self.list[self.find(name)?];
        let why = if global.external { "external" } else { "of dynamic shape without an initial value" };
        let missing = || format!("loads @{name}, which is {why} and was not set; set it before the call").into();
        global.value.clone().ok_or_else(missing)
    }

    /// The effect of a store.
    pub fn store(&mut self, name: &str, value: Rc<Tensor>) -> Result<(), Failure> {
        let index = self.find(name)?;
        self.list[index].value = Some(value);
        Ok(())
    }

    /// Sets a global from outside; none where there is no such global.
    pub fn set(&mut self, name: &str, value: Tensor) -> Option<Result<(), InterpretError>> {
        let global = &mut self.list[*self.by_name.get(name)?];
        let fail = |failure: String| Some(Err(InterpretError::at(&global.op, failure)));
        if !global.mutable && !global.external {
            return fail(format!("@{name} is a constant of the module and cannot be set"));
        }
        if !global.ty.accepts(&value) {
            return fail(format!("@{name} is of {}, but was set to {}", global.ty, value.type_name()));
        }
        global.value = Some(Rc::new(value));
        Some(Ok(()))
    }

    fn find(&self, name: &str) -> Result<usize, Failure> {
        self.by_name.get(name).copied().ok_or_else(|| format!("names @{name}, which is no global").into())
    }
}

impl<'c, 'm> Global<'c, 'm> {
    fn new(op: OperationRef<'c, 'm>) -> Result<Self, Failure> {
        let name = ir::string_attribute(&op, "sym_name").ok_or("has no name")?;
        let ty = op.attribute("type").ok().and_then(|a| TypeAttribute::try_from(a).ok()).ok_or("has no type")?;
        let ty = ValueType::of(ty.value())?;
        let mutable = op.has_attribute("is_mutable");
        let initial = op.attribute("value").ok();
        let external = initial.is_some_and(constant::is_extern);
        let value = match (initial, ty.shape()) {
            (Some(initial), _) if !external => Some(constant::tensor(initial)?),
            (None, Some(shape)) => {
                check_size(&shape)?;
                Some(Tensor::zeros(shape, ty.element)?)
            }
            _ => None,
        };
        match &value {
            Some(value) if !ty.accepts(value) => {
                Err(format!("@{name} is of {ty}, but its initial value is {}", value.type_name()).into())
            }
            _ => {
                let initialised = initial.is_some() && !external;
                Ok(Global { op, name, ty, mutable, external, initialised, value: value.map(Rc::new) })
            }
        }
    }
}
