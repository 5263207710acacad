//! `memref`: buffers, workgroup memory and private arrays, all of them flat arrays in WGSL.
//!
//! `%a[%i, %j]` of a `memref<?x64xf32>` is `a[v0 * 64 + v1]`. Elements are scalars, or vectors of two or four lanes,
//! which load 8 or 16 bytes at once. Strides are static, so at most the outermost dimension is dynamic, and its
//! `memref.dim` is the length of the bound array divided by the stride.
//!
//! A memref whose innermost rows are two or four scalars is an array of vectors if the kernel moves such rows by
//! `vector.load` or `vector.store`. Its scalars are then lanes: `%a[%i, %j]` is `a[v0][v1]`.

use super::{
    error::{Result, TranslateError},
    function::{Expr, Function},
    types::{Literal, Scalar, Type, element, literals},
};
use kforge_dialect::ir::{ancestor, body, dims, key, op_name, ops, string_attribute, symbol_attribute};
use melior::ir::{
    Attribute, Type as MlirType, TypeLike, Value, ValueLike,
    operation::{OperationLike, OperationRef},
};
use mlir_sys as sys;

/// A memref of a kernel: its name and shape.
#[derive(Clone, Debug)]
pub struct Memory {
    pub name: String,
    pub shape: Shape,
}

/// The layout of a memref type.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Type of an element of the array.
    pub element: Type,
    pub dims: Vec<Option<usize>>,
    /// Stride of each dimension, in elements.
    strides: Vec<i64>,
    /// Whether the innermost index is a lane of an element.
    pub in_rows: bool,
    offset: i64,
    /// Elements of the array, if all dimensions are static; at least one.
    pub elements: Option<u64>,
}

impl Shape {
    /// # Errors
    /// What to use instead.
    pub fn of(ty: MlirType<'_>) -> std::result::Result<Self, String> {
        let element_type = element(ty);
        let element = match Type::of(element_type)? {
            Type::Vector { scalar: Scalar::Bool, .. } => Err(format!("{ty} has no WGSL; store an i32")),
            Type::Vector { lanes: 3, .. } => Err(format!(
                "{ty} has no WGSL: an element would take the place of four; use vectors of two or four lanes"
            )),
            Type::Bytes => Err(format!("{ty} has no WGSL; store an i32 and bitcast it")),
            element => Ok(element),
        }?;
        let dims = dims(ty);
        if dims.iter().skip(1).any(Option::is_none) {
            return Err(format!(
                "{ty} has no WGSL: only the outermost size can be dynamic; flatten it and pass the sizes"
            ));
        }
        let mut strides = vec![0i64; dims.len()];
        let mut offset = 0i64;
        // SAFETY: the type is a memref, and there is a place for each stride.
        let is_strided = unsafe {
            let result = sys::mlirMemRefTypeGetStridesAndOffset(ty.to_raw(), strides.as_mut_ptr(), &raw mut offset);
            result.value != 0
        };
        let limit = i64::from(i32::MAX);
        if !is_strided || strides.iter().chain([&offset]).any(|s| !(0..=limit).contains(s)) {
            return Err(format!("{ty} has no WGSL; use strides and an offset that are static, and below 2^31"));
        }
        let mut last = Some(offset);
        for (dim, stride) in dims.iter().zip(&strides) {
            last = match (last, dim) {
                (Some(last), Some(dim)) => {
                    let span = i64::try_from(dim.saturating_sub(1)).ok().and_then(|d| d.checked_mul(*stride));
                    let end = span.and_then(|s| s.checked_add(last)).filter(|end| *end < limit);
                    Some(end.ok_or_else(|| {
                        format!("{ty} has no WGSL: an index has 32 bits, so use less than 2^31 elements")
                    })?)
                }
                _ => None,
            };
        }
        let elements = last.and_then(|last| u64::try_from(last).ok()).map(|last| last + 1);
        Ok(Self { element, dims, strides, in_rows: false, offset, elements })
    }

    /// The same memory with its innermost rows as elements, if these are two or four scalars.
    fn in_rows(&self) -> Option<Self> {
        let row = self.dims.last().copied().flatten().filter(|row| matches!(row, 2 | 4))?;
        let lanes = row as i64;
        let (inner, outer) = self.strides.split_last()?;
        let Type::Vector { scalar, lanes: 1 } = self.element else { return None };
        if *inner != 1 || outer.iter().chain([&self.offset]).any(|stride| stride % lanes != 0) {
            return None;
        }
        Some(Self {
            element: Type::Vector { scalar, lanes: row },
            dims: self.dims.clone(),
            strides: outer.iter().map(|stride| stride / lanes).collect(),
            in_rows: true,
            offset: self.offset / lanes,
            elements: self.elements.map(|elements| elements.div_ceil(row as u64)),
        })
    }

    /// `array<f32>` or `array<f32, 1024>`.
    pub fn array(&self) -> String {
        match self.elements {
            Some(elements) => format!("array<{}, {elements}>", self.element),
            None => format!("array<{}>", self.element),
        }
    }

    pub fn element_bytes(&self) -> u64 {
        self.element.scalar().bytes() * self.lanes() as u64
    }

    fn lanes(&self) -> usize {
        match self.element {
            Type::Vector { lanes, .. } => lanes,
            Type::Bytes | Type::Matrix { .. } => 1,
        }
    }

    /// The number of elements, at least one, if they are contiguous in the order of their indices.
    fn row_major(&self) -> Option<usize> {
        let mut count = 1usize;
        for (dim, stride) in self.dims.iter().zip(&self.strides).rev() {
            if *dim != Some(1) && usize::try_from(*stride) != Ok(count) {
                return None;
            }
            count = count.checked_mul((*dim)?)?;
        }
        (self.offset == 0 && count > 0).then_some(count)
    }

    /// Bytes of the array, if static.
    pub fn bytes(&self) -> Option<u64> {
        self.elements.and_then(|elements| elements.checked_mul(self.element_bytes()))
    }
}

/// The name of a memref's `#gpu.address_space`: empty in the default space; the attribute's text if it is another
/// attribute.
pub fn space(ty: MlirType<'_>) -> String {
    // SAFETY: callers pass memrefs; the attribute is null in the default space.
    let space = unsafe { Attribute::from_option_raw(sys::mlirMemRefTypeGetMemorySpace(ty.to_raw())) };
    let text = space.map(|space| space.to_string()).unwrap_or_default();
    let name = text.strip_prefix("#gpu.address_space<").and_then(|rest| rest.strip_suffix('>'));
    name.unwrap_or(&text).to_owned()
}

/// Whether a type is a memref.
pub fn is_memref(ty: MlirType<'_>) -> bool {
    // SAFETY: the type is alive.
    unsafe { sys::mlirTypeIsAMemRef(ty.to_raw()) }
}

impl Function {
    pub(super) fn memref(&mut self, op: OperationRef<'_, '_>, name: &str) -> Result<()> {
        match name {
            "load" => {
                let place = self.place(op, 0, 1)?;
                self.define(op, place)
            }
            "store" => {
                let value = self.operand(op, 0)?;
                let place = self.place(op, 1, 2)?;
                self.line(format!("{place} = {};", value.text));
                Ok(())
            }
            "dim" => self.dim(op),
            "alloca" => self.alloca(op),
            "get_global" => self.table(op),
            "alloc" => self.unsupported(op, "use memref.alloca for private memory, or a workgroup attribution"),
            "subview" | "reinterpret_cast" | "view" | "cast" | "collapse_shape" | "expand_shape" => {
                self.unsupported(op, "fold it into the indices (--fold-memref-alias-ops), or take the other type")
            }
            _ => self.unsupported(op, "memref.load, store, dim, alloca and get_global of a constant have"),
        }
    }

    /// `a[index]` of the memref that is operand `memref`, at the indices from operand `first` on.
    pub(super) fn place(&mut self, op: OperationRef<'_, '_>, memref: usize, first: usize) -> Result<String> {
        let memref = self.operand_value(op, memref)?;
        let memory = self.memory(op, memref)?;
        let index = self.index(op, &memory.shape, first)?;
        if !memory.shape.in_rows {
            return Ok(format!("{}[{index}]", memory.name));
        }
        let lane = self.operand(op, first + memory.shape.strides.len())?;
        let lanes = memory.shape.lanes() as i32;
        let lane = match lane.as_int() {
            Some(known @ 0..) if known < lanes => known.to_string(),
            // A constant index out of range would make the shader invalid, even if the op never runs.
            Some(_) => self.at_run_time(&lane).text,
            None => lane.text,
        };
        Ok(format!("{}[{index}][{lane}]", memory.name))
    }

    /// `a[index]` with all lanes: the row that `vector.load` or `vector.store` moves, whose type is `vector`.
    pub(super) fn row(
        &mut self,
        op: OperationRef<'_, '_>,
        memref: usize,
        first: usize,
        vector: MlirType<'_>,
    ) -> Result<String> {
        let memref = self.operand_value(op, memref)?;
        let memory = self.memory(op, memref)?;
        if memory.shape.in_rows && Type::of(vector) == Ok(memory.shape.element) {
            let index = self.index(op, &memory.shape, first)?;
            let lane = self.operand(op, first + memory.shape.strides.len())?;
            if lane.as_int() == Some(0) {
                return Ok(format!("{}[{index}]", memory.name));
            }
        }
        self.unsupported(
            op,
            "move whole innermost rows of two or four scalars, as of memref<?x4xf32> from index 0 on, or load and \
             store elements of a memref of vectors, as memref<?xvector<4xf32>>",
        )
    }

    /// The index in the flat array, computed from the operands from `first` on.
    fn index(&mut self, op: OperationRef<'_, '_>, shape: &Shape, first: usize) -> Result<String> {
        let (mut terms, mut known) = (vec![], shape.offset);
        for (i, stride) in shape.strides.iter().enumerate() {
            let index = self.operand(op, first + i)?;
            match index.as_int() {
                Some(value) => known = known.wrapping_add(i64::from(value).wrapping_mul(*stride)),
                None if *stride == 1 => terms.push(index.text),
                None => terms.push(format!("{} * {stride}", index.text)),
            }
        }
        if terms.is_empty() {
            // A constant index out of range would make the shader invalid, even if the op never runs.
            let is_inside = known >= 0 && shape.elements.is_none_or(|elements| known.cast_unsigned() < elements);
            if is_inside && known <= i64::from(i32::MAX) {
                return Ok(known.to_string());
            }
            let literal = Literal::int(known).map_err(|message| TranslateError::op(op, message))?;
            let constant = Expr::constant(vec![literal], Type::Vector { scalar: Scalar::I32, lanes: 1 });
            return Ok(self.at_run_time(&constant).text);
        }
        let rest = Literal::int(known).map_err(|message| TranslateError::op(op, message))?;
        match rest {
            Literal::Int(0) => {}
            Literal::Int(known) if known > 0 => terms.push(known.to_string()),
            rest => terms.push(rest.to_string()),
        }
        Ok(terms.join(" + "))
    }

    fn dim(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let memref = self.operand_value(op, 0)?;
        let memory = self.memory(op, memref)?;
        let axis = self.operand(op, 1)?.as_int().and_then(|axis| usize::try_from(axis).ok());
        let Some((axis, dim)) = axis.and_then(|axis| memory.shape.dims.get(axis).map(|dim| (axis, *dim))) else {
            return Err(TranslateError::op(op, "has no WGSL; use a constant axis that the memref has"));
        };
        let result = self.result(op, 0)?;
        if let Some(dim) = dim {
            let literal = Literal::int(dim as i64).map_err(|message| TranslateError::op(op, message))?;
            let ty = self.result_type(op, 0)?;
            self.bind(result, Expr::constant(vec![literal], ty));
            return Ok(());
        }
        let inner: i64 = memory.shape.dims.iter().skip(1).map(|d| d.map_or(1, |d| d as i64)).product();
        let inner = if memory.shape.in_rows { inner / memory.shape.lanes() as i64 } else { inner };
        if memory.shape.offset != 0 || memory.shape.strides.get(axis) != Some(&inner) {
            return Err(TranslateError::op(
                op,
                "of a strided memref has no WGSL: the array's length does not tell; pass the size as an argument",
            ));
        }
        if inner == 0 {
            return Err(TranslateError::op(
                op,
                "of a memref without elements has no WGSL; pass the size as an argument",
            ));
        }
        let length = format!("arrayLength(&{})", memory.name);
        self.define(op, if inner == 1 { format!("i32({length})") } else { format!("i32({length} / {inner}u)") })
    }

    fn alloca(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let result = self.result(op, 0)?;
        let memory = self.private(op, result)?;
        self.line(format!("var {}: {};", memory.name, memory.shape.array()));
        self.bind_memory(result, memory);
        Ok(())
    }

    /// A private array with the elements of a constant `memref.global` of the kernel's module.
    fn table(&mut self, op: OperationRef<'_, '_>) -> Result<()> {
        let result = self.result(op, 0)?;
        let memory = self.private(op, result)?;
        let name = symbol_attribute(&op, "name");
        let is_named =
            |global: &OperationRef| op_name(global) == "memref.global" && string_attribute(global, "sym_name") == name;
        let module = ancestor(op, "gpu.module").and_then(|module| body(&module));
        let global = module.map(ops).unwrap_or_default().into_iter().find(is_named);
        let value = global.filter(|global| global.has_attribute("constant"));
        let value = value.and_then(|global| global.attribute("initial_value").ok());
        let value = value.ok_or_else(|| {
            TranslateError::op(op, "has no WGSL; name a constant memref.global of the same gpu.module, with a value")
        })?;
        let Type::Vector { scalar, lanes: 1 } = memory.shape.element else {
            return Err(TranslateError::op(op, "of vectors has no WGSL; use a table of scalars"));
        };
        let Some(elements) = memory.shape.row_major() else {
            let ty = result.r#type();
            return Err(TranslateError::op(op, format!("of {ty} has no WGSL; use a table with elements, row by row")));
        };
        let literals = literals(value, scalar, elements).map_err(|message| TranslateError::op(op, message))?;
        let texts: Vec<String> = match &literals[..] {
            [literal] => vec![literal.to_string(); elements],
            literals => literals.iter().map(Literal::to_string).collect(),
        };
        if literals.iter().any(|literal| !literal.is_finite()) {
            return Err(TranslateError::op(op, "has no WGSL: a table's elements must be finite"));
        }
        self.line(format!("var {} = {}({});", memory.name, memory.shape.array(), texts.join(", ")));
        self.bind_memory(result, memory);
        Ok(())
    }

    /// A private array for a value of memref type.
    pub(super) fn private<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Memory> {
        let shape = self.shape(op, value)?;
        if !matches!(space(value.r#type()).as_str(), "" | "private") {
            let ty = value.r#type();
            return Err(TranslateError::op(op, format!("of {ty} is private memory; leave its memory space out")));
        }
        if shape.elements.is_none() {
            return Err(TranslateError::op(
                op,
                format!("of {} has no WGSL; private memory has a static size", value.r#type()),
            ));
        }
        let name = self.name_for(value);
        Ok(Memory { name, shape })
    }

    pub(super) fn shape<'c, 'a>(&mut self, op: OperationRef<'c, 'a>, value: Value<'c, 'a>) -> Result<Shape> {
        let mut shape = Shape::of(value.r#type()).map_err(|message| TranslateError::op(op, format!("on {message}")))?;
        if self.rows.contains(&key(value)) {
            // Moving rows of any other memref is an error reported at its op.
            shape = shape.in_rows().unwrap_or(shape);
        }
        self.features.f16 |= shape.element.uses_f16();
        Ok(shape)
    }
}
