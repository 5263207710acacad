//! Models as a library: open, compile, cache compiled code, load, decode.
//!
//! ```no_run
//! use kforge_engine::{Model, Options, Sampling};
//!
//! # fn main() -> kforge_engine::Result<()> {
//! let model = Model::open("random:tiny", Options::default())?;
//! let mut session = model.session(Sampling::default(), 64)?;
//! for piece in session.generate("The capital of France is", 16)? {
//!     print!("{}", piece?);
//! }
//! # Ok(())
//! # }
//! ```
//! Nothing here prints: warnings and progress go to the [`Watch`] of the [`Options`].
//!
//! | module | part |
//! |---|---|
//! | `options` | device, compilation options, and the receiver of progress |
//! | `gpu` | the GPU of this process |
//! | `compile` | from a module's text to a loaded program, through the cache of objects |
//! | `module` | a checkpoint as a module, and its weights in an executor |
//! | `model` | model names; creating a decoder |
//! | `session` | generating text from text |

pub mod compile;
pub mod gpu;
pub mod model;
pub mod module;
mod options;
mod session;

pub use kforge_runtime::sample::Sampling;
pub use model::{Model, Timings};
pub use options::{Options, Place, Silent, Watch, Work};
pub use session::{Generation, Session};

/// Why a model does not open, compile or decode. Messages are complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] kforge_checkpoint::Error),
    #[error(transparent)]
    Compile(#[from] kforge_lowering::compile::CompileError),
    #[error(transparent)]
    Runtime(#[from] kforge_runtime::Error),
    /// The request cannot be satisfied.
    #[error("{0}")]
    Request(String),
}

impl Error {
    fn request(cause: impl Into<String>) -> Error {
        Error::Request(cause.into())
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
