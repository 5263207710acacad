//! Types as MLIR spells them.

pub const ELEMENTS: [&str; 3] = ["f32", "f16", "bf16"];
pub const FORMATS: [&str; 8] = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"];

/// The least depth from `k` on that a weight of an element can have.
pub fn depth(k: usize, element: &str) -> usize {
    k.next_multiple_of(if element.ends_with("_k") { 256 } else { 1 })
}

/// Rows of a width: `tensor<?x33xf32>`.
pub fn tensor(rows: &str, width: usize, element: &str) -> String {
    format!("tensor<{rows}x{width}x{element}>")
}

/// A weight [n, k] of floats or blocks.
pub fn weight(n: usize, k: usize, element: &str) -> String {
    match element.starts_with('q') {
        true => format!("!transformer.quant<{element}, {n}x{k}>"),
        false => format!("tensor<{n}x{k}x{element}>"),
    }
}
