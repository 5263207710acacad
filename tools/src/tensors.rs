//! One element type, as programs and as the reference semantics name it.

use anyhow::{Result, bail};
use kforge_program::Element;
use kforge_reference::Element as Reference;

/// The program's element of the reference's.
///
/// # Errors
/// If no tensor of it is passed in or out.
pub fn program(element: Reference) -> Result<Element> {
    Ok(match element {
        Reference::F32 => Element::F32,
        Reference::F16 => Element::F16,
        Reference::BF16 => Element::BF16,
        Reference::I32 => Element::I32,
        Reference::Quant(format) => Element::Quant(format),
        Reference::I64 | Reference::Bool => bail!("tensors of {element} are not passed in or out; use i32"),
    })
}

/// The reference's element of the program's.
pub fn reference(element: Element) -> Reference {
    match element {
        Element::F32 => Reference::F32,
        Element::F16 => Reference::F16,
        Element::BF16 => Reference::BF16,
        Element::I32 => Reference::I32,
        Element::Quant(format) => Reference::Quant(format),
    }
}
