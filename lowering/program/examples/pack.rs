//! The rate at which weights are packed, by format: bytes as in the file a second, the fastest of ten times.
//!
//!     RAYON_NUM_THREADS=2 cargo run --release -p kforge-program --example pack

use kforge_program::{
    Element, Expr, Layout, TensorType,
    layout::{self, pack_rows16},
};
use kforge_quant::BlockFormat;
use std::time::Instant;

/// A feed-forward layer of a model of 2 to 3 billion weights.
const SHAPE: [usize; 2] = [8192, 2048];

fn main() -> Result<(), String> {
    for element in BlockFormat::ALL.map(Element::Quant).into_iter().chain([Element::BF16, Element::F32]) {
        let bytes = element.tensor_bytes(&SHAPE).ok_or("the shape is no whole blocks")?;
        let source: Vec<u8> = (0..bytes).map(|i| (i * 7919 % 251) as u8).collect();
        let ty = TensorType { dims: SHAPE.map(|d| Expr::Const(d as i64)).to_vec(), element };
        let size = layout::bytes(&ty, Layout::Rows16).eval(&[])? as usize;
        let (mut packed, mut best) = (vec![0; size], f64::MAX);
        for _ in 0..10 {
            let begin = Instant::now();
            pack_rows16(element, SHAPE[0], SHAPE[1], &source, &mut packed)?;
            best = best.min(begin.elapsed().as_secs_f64());
        }
        println!("{:6}  {:5.1} GB/s", element.to_string(), bytes as f64 / best / 1e9);
    }
    Ok(())
}
