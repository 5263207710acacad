//! Types in MLIR syntax.

use kforge_quant::BlockFormat;

pub const ELEMENTS: [&str; 3] = ["f32", "f16", "bf16"];
/// The names of all block formats.
pub const FORMATS: [&str; BlockFormat::ALL.len()] = {
    let mut names = [""; BlockFormat::ALL.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = BlockFormat::ALL[i].name();
        i += 1;
    }
    names
};

fn format(element: &str) -> Option<BlockFormat> {
    element.parse().ok()
}

/// The smallest depth, at least `k`, that a weight of an element type can have.
pub fn depth(k: usize, element: &str) -> usize {
    k.next_multiple_of(format(element).map_or(1, BlockFormat::block))
}

/// Rows of a width: `tensor<?x33xf32>`.
pub fn tensor(rows: &str, width: usize, element: &str) -> String {
    format!("tensor<{rows}x{width}x{element}>")
}

/// A weight [n, k] of floats or blocks.
pub fn weight(n: usize, k: usize, element: &str) -> String {
    match format(element) {
        Some(format) => format!("!transformer.quant<{format}, {n}x{k}>"),
        None => format!("tensor<{n}x{k}x{element}>"),
    }
}
