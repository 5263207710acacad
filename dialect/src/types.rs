//! The dialect's own types and attributes.

use crate::{ffi, ir::text};
use kforge_quant::BlockFormat;
use melior::{
    Context, StringRef,
    ir::{Attribute, AttributeLike, Type, TypeLike},
};

/// `!transformer.quant<format, rows x columns>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantType {
    pub format: BlockFormat,
    pub rows: usize,
    pub columns: usize,
}

impl QuantType {
    /// Reads the type back; `None` for any other type.
    pub fn from_type(ty: Type<'_>) -> Option<QuantType> {
        // SAFETY: the accessors are called on a quant type only; its verifier keeps the sizes non-negative.
        unsafe {
            if !ffi::kforgeTypeIsQuant(ty.to_raw()) {
                return None;
            }
            let format = text(StringRef::from_raw(ffi::kforgeQuantFormat(ty.to_raw()))).parse().ok()?;
            let rows = usize::try_from(ffi::kforgeQuantRows(ty.to_raw())).ok()?;
            let columns = usize::try_from(ffi::kforgeQuantColumns(ty.to_raw())).ok()?;
            Some(QuantType { format, rows, columns })
        }
    }
}

/// `#transformer.kernel<"name", tile = [...]>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelAttribute {
    pub name: String,
    pub tile: Vec<usize>,
}

impl KernelAttribute {
    /// Reads the attribute back; `None` for any other, or for a negative tile.
    pub fn from_attribute(attribute: Attribute<'_>) -> Option<KernelAttribute> {
        // SAFETY: the accessors are called on a kernel attribute only; the tile lives as long as the context.
        unsafe {
            if !ffi::kforgeAttributeIsKernel(attribute.to_raw()) {
                return None;
            }
            let name = text(StringRef::from_raw(ffi::kforgeKernelName(attribute.to_raw())));
            let mut tile = std::ptr::null();
            let count = ffi::kforgeKernelTile(attribute.to_raw(), &mut tile);
            let tile: &[i64] = if count == 0 { &[] } else { std::slice::from_raw_parts(tile, count) };
            let tile = tile.iter().map(|t| usize::try_from(*t)).collect::<Result<_, _>>().ok()?;
            Some(KernelAttribute { name, tile })
        }
    }

    pub fn to_attribute<'c>(&self, context: &'c Context) -> Attribute<'c> {
        let tile: Vec<i64> = self.tile.iter().map(|t| *t as i64).collect();
        // SAFETY: name and tile are copied by the context before the call returns.
        unsafe {
            let name = StringRef::new(&self.name);
            Attribute::from_raw(ffi::kforgeKernelGet(context.to_raw(), name.to_raw(), tile.as_ptr(), tile.len()))
        }
    }
}
