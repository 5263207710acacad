//! Compares compiled code with the reference: every op and fused kernel, exactness, the decoder, whole programs, random
//! modules and invalid calls. See `kforge_test::run` for how a case is run.

#[path = "compiled/caches.rs"]
mod caches;
#[path = "compiled/constants.rs"]
mod constants;
#[path = "compiled/decoder.rs"]
mod decoder;
#[path = "compiled/exactness.rs"]
mod exactness;
#[path = "compiled/executor.rs"]
mod executor;
#[path = "compiled/families.rs"]
mod families;
#[path = "compiled/fused.rs"]
mod fused;
#[path = "compiled/ops.rs"]
mod ops;
#[path = "compiled/perf.rs"]
mod perf;
#[path = "compiled/pieces.rs"]
mod pieces;
#[path = "compiled/program.rs"]
mod program;
#[path = "compiled/random.rs"]
mod random;
#[path = "compiled/session.rs"]
mod session;
#[path = "compiled/spread.rs"]
mod spread;
#[path = "compiled/text.rs"]
mod text;
#[path = "compiled/top_k.rs"]
mod top_k;
