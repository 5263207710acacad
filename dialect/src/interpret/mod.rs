//! The reference interpreter: a module's meaning, op by op, in plain Rust.
//!
//! ```text
//! %y = transformer.linear %x, %w : ...      -->   kforge_reference::linear(x, w, None)
//! ```
//!
//! `kforge-run --target reference` runs it, and it is the oracle that compiled programs are tested against. It knows the
//! ops of the `transformer` dialect (a `fused` op is its region), `arith` and `math`, the shape ops of `tensor`,
//! `linalg.transpose`, the globals of `ml_program` and calls. Kernel attributes, layouts and groups are ignored, because
//! none of them changes what a module means: every tensor in and out is row-major, and a weight in its file's blocks.
//! Anything else, control flow and memrefs among it, is an error at the op. No module that verifies makes it panic.

mod arith;
mod error;
mod globals;
mod roundings;
mod transformer;
pub(crate) mod values;
mod view;

pub use error::InterpretError;
pub use globals::GlobalInfo;

use crate::{Op, ir};
use error::Failure;
use globals::Globals;
use kforge_reference::{Element, Tensor};
use melior::ir::{
    BlockLike, BlockRef, Module, ValueLike,
    attribute::TypeAttribute,
    operation::{OperationLike, OperationRef},
    r#type::FunctionType,
};
use std::{collections::HashMap, rc::Rc};
use values::{Operands, ValueType, Values, check_size, result_type};

/// Calls and fused regions inside each other. Each takes a few frames of the host's stack.
const MAX_DEPTH: usize = 64;

/// Sizes, None for a dynamic one, and element type of each input or output. A scalar has no sizes.
pub type Signature = Vec<(Vec<Option<usize>>, Element)>;

/// What a caller needs to know of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    pub name: String,
    pub inputs: Signature,
    pub outputs: Signature,
}

/// An interpreter of one module, with the state of its globals.
pub struct Interpreter<'c, 'm> {
    module: OperationRef<'c, 'm>,
    functions: Vec<(String, OperationRef<'c, 'm>)>,
    by_name: HashMap<String, usize>,
    globals: Globals<'c, 'm>,
}

impl<'c, 'm> Interpreter<'c, 'm> {
    /// An interpreter of a module that verifies. Mutable globals of static shape start as zeros, those with an initial
    /// value with that; others must be set before they are read.
    ///
    /// # Errors
    /// For a global whose type or initial value the reference does not know.
    pub fn new(module: &'m Module<'c>) -> Result<Self, InterpretError> {
        let mut interpreter = Interpreter {
            module: module.as_operation(),
            functions: vec![],
            by_name: HashMap::new(),
            globals: Globals::default(),
        };
        for op in ir::ops(module.body()) {
            match ir::op_name(&op).as_str() {
                "ml_program.global" => interpreter.globals.declare(op)?,
                "func.func" => {
                    let name = ir::string_attribute(&op, "sym_name").unwrap_or_default();
                    interpreter.by_name.insert(name.clone(), interpreter.functions.len());
                    interpreter.functions.push((name, op));
                }
                _ => {}
            }
        }
        Ok(interpreter)
    }

    /// The module's globals in its order.
    pub fn globals(&self) -> Vec<GlobalInfo> {
        self.globals.infos()
    }

    /// Gives an external or a mutable global its value.
    ///
    /// # Errors
    /// If there is no such global, if it is a constant, or if its type is not the value's.
    pub fn set_global(&mut self, name: &str, value: Tensor) -> Result<(), InterpretError> {
        let absent = || Err(InterpretError::at(&self.module, format!("has no global @{name}")));
        self.globals.set(name, value).unwrap_or_else(absent)
    }

    /// The value of a global, if it has one: after a call, the state that the call left.
    pub fn global(&self, name: &str) -> Option<&Tensor> {
        self.globals.get(name)
    }

    /// The module's functions that can be called from outside: those with a body, of tensors, weights and scalars.
    pub fn functions(&self) -> Vec<FunctionInfo> {
        let info = |(name, op): &(String, OperationRef<'c, 'm>)| {
            ir::body(op)?;
            let (inputs, outputs) = signature(*op).ok()?;
            let plain = |types: Vec<ValueType>| types.into_iter().map(|ty| (ty.dims, ty.element)).collect();
            Some(FunctionInfo { name: name.clone(), inputs: plain(inputs), outputs: plain(outputs) })
        };
        self.functions.iter().filter_map(info).collect()
    }

    /// Calls a function.
    ///
    /// # Errors
    /// If there is no such function, if an input is not of its type, or at the op that fails. Stores to globals before
    /// that op have happened then.
    pub fn call(&mut self, function: &str, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InterpretError> {
        let Some(op) = self.function(function) else {
            return Err(InterpretError::at(&self.module, format!("has no function @{function}")));
        };
        check_inputs(op, function, &inputs).map_err(|failure| InterpretError::at(&op, failure))?;
        let outputs = self.invoke(op, inputs.into_iter().map(Rc::new).collect(), &mut vec![])?;
        Ok(outputs.into_iter().map(Rc::unwrap_or_clone).collect())
    }

    fn function(&self, name: &str) -> Option<OperationRef<'c, 'm>> {
        Some(self.functions[*self.by_name.get(name)?].1)
    }

    /// Runs the body of a function or of a `fused` op inside those on the stack.
    fn invoke(
        &mut self,
        op: OperationRef<'c, 'm>,
        inputs: Vec<Rc<Tensor>>,
        stack: &mut Vec<OperationRef<'c, 'm>>,
    ) -> Result<Vec<Rc<Tensor>>, InterpretError> {
        let Some(block) = ir::body(&op) else {
            return Err(InterpretError::at(&op, "has no body, so that it cannot be called"));
        };
        // Without control flow, recursion has no end.
        if stack.contains(&op) {
            return Err(InterpretError::at(&op, "calls itself, which never ends"));
        }
        if stack.len() >= MAX_DEPTH {
            return Err(InterpretError::at(&op, format!("is more than {MAX_DEPTH} calls and regions deep")));
        }
        stack.push(op);
        let outputs = self.run(block, inputs, stack)?;
        stack.pop();
        Ok(outputs)
    }

    /// Runs a block and gives what its terminator returns.
    fn run(
        &mut self,
        block: BlockRef<'c, 'm>,
        inputs: Vec<Rc<Tensor>>,
        stack: &mut Vec<OperationRef<'c, 'm>>,
    ) -> Result<Vec<Rc<Tensor>>, InterpretError> {
        let mut values = Values::default();
        for (index, input) in inputs.into_iter().enumerate() {
            if let Ok(argument) = block.argument(index) {
                values.set(argument, input);
            }
        }
        let mut last = None;
        for op in ir::ops(block) {
            let operands = op.operands().map(|value| values.get(value)).collect::<Result<_, _>>();
            let operands = Operands(operands.map_err(|failure| InterpretError::at(&op, failure))?);
            let name = ir::op_name(&op);
            let results = match (Op::named(&name), name.as_str()) {
                (Some(Op::Yield), _) | (_, "func.return") => return Ok(operands.0),
                (Some(Op::Fused), _) => self.invoke(op, operands.0, stack)?,
                (_, "func.call") => {
                    let callee = symbol(op, "callee").map_err(|failure| InterpretError::at(&op, failure))?;
                    let Some(function) = self.function(&callee) else {
                        return Err(InterpretError::at(&op, format!("calls @{callee}, which is no function")));
                    };
                    self.invoke(function, operands.0, stack)?
                }
                (kind, name) => {
                    self.evaluate(op, kind, name, &operands).map_err(|failure| InterpretError::at(&op, failure))?
                }
            };
            check_results(op, &results).map_err(|failure| InterpretError::at(&op, failure))?;
            for (result, tensor) in op.results().zip(results) {
                values.set(result, tensor);
            }
            last = Some(op);
        }
        Err(InterpretError::at(&last.unwrap_or(self.module), "ends a block that returns nothing"))
    }

    /// The results of an op that runs no other.
    fn evaluate(
        &mut self,
        op: OperationRef<'c, 'm>,
        kind: Option<Op>,
        name: &str,
        operands: &Operands,
    ) -> Result<Vec<Rc<Tensor>>, Failure> {
        match name {
            "ml_program.global_load" | "ml_program.global_load_const" => {
                return Ok(vec![self.globals.load(&symbol(op, "global")?)?]);
            }
            "ml_program.global_store" => {
                self.globals.store(&symbol(op, "global")?, Rc::clone(operands.get(0)?))?;
                return Ok(vec![]);
            }
            _ => {}
        }
        for index in 0..op.result_count() {
            if let Some(shape) = result_type(op, index)?.shape() {
                check_size(&shape)?;
            }
        }
        if let Some(kind) = kind {
            return Ok(transformer::evaluate(op, kind, operands)?.into_iter().map(Rc::new).collect());
        }
        match name.split_once('.') {
            Some(("arith" | "math", _)) => Ok(vec![arith::evaluate(op, name, operands)?]),
            Some(("tensor" | "linalg", _)) => Ok(vec![view::evaluate(op, name, operands)?]),
            _ => Err(Failure::unknown()),
        }
    }
}

/// Types of a function's inputs and outputs.
fn signature(op: OperationRef<'_, '_>) -> Result<(Vec<ValueType>, Vec<ValueType>), Failure> {
    let ty = op.attribute("function_type").ok().and_then(|a| TypeAttribute::try_from(a).ok());
    let ty = ty.and_then(|ty| FunctionType::try_from(ty.value()).ok()).ok_or("has no function type")?;
    let inputs = (0..ty.input_count()).filter_map(|i| ty.input(i).ok()).map(ValueType::of).collect::<Result<_, _>>()?;
    let outputs =
        (0..ty.result_count()).filter_map(|i| ty.result(i).ok()).map(ValueType::of).collect::<Result<_, _>>()?;
    Ok((inputs, outputs))
}

fn check_inputs(op: OperationRef<'_, '_>, name: &str, inputs: &[Tensor]) -> Result<(), Failure> {
    let (types, _) = signature(op)?;
    if types.len() != inputs.len() {
        return Err(format!("@{name} takes {} inputs, but got {}", types.len(), inputs.len()).into());
    }
    for (index, (ty, input)) in types.iter().zip(inputs).enumerate() {
        if !ty.accepts(input) {
            return Err(format!("@{name} takes {ty} as input {index}, but got {}", input.type_name()).into());
        }
    }
    Ok(())
}

/// Sizes that the types leave open to the verifier are known now, and must be those of the types.
fn check_results(op: OperationRef<'_, '_>, results: &[Rc<Tensor>]) -> Result<(), Failure> {
    if results.len() != op.result_count() {
        return Err(format!("has {} results, but {} were computed", op.result_count(), results.len()).into());
    }
    for (index, (result, tensor)) in op.results().zip(results).enumerate() {
        let ty = ValueType::of(result.r#type())?;
        if !ty.accepts(tensor) {
            return Err(format!("must give {ty} as result {index}, but gives {}", tensor.type_name()).into());
        }
    }
    Ok(())
}

/// A reference to a symbol of the module.
fn symbol(op: OperationRef<'_, '_>, name: &str) -> Result<String, Failure> {
    ir::symbol_attribute(&op, name).ok_or_else(|| format!("has no symbol of this module as '{name}'").into())
}
