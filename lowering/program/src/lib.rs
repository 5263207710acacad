//! The launch program: the result of lowering, which the runtime executes.
//!
//! A [`Program`] is plain serialisable data: globals (weights and state), kernels, and functions. A function is a list
//! of launches over buffers in one arena. Every size, offset and task count is an [`Expr`] over the dimension symbols
//! that the caller's tensors bind, so batch, sequence length and cache capacity are arguments and need no
//! recompilation. This crate links no MLIR: an executor needs nothing else.

pub mod arena;
pub mod constant;
pub mod expr;
pub mod family;
pub mod layout;
pub mod pieces;
pub mod shader;
pub mod types;
pub mod verify;

pub use constant::Constant;
pub use expr::{Expr, Symbols};
pub use family::{Arithmetic, Family, Role};
pub use kforge_quant::Element;
pub use layout::Layout;
pub use pieces::Pieces;
pub use shader::Shader;
pub use types::{Dim, TensorType};

use serde::{Deserialize, Serialize};

/// A compiled module: its kernels, the buffers they access, and the order in which they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Format version, [`Program::VERSION`]; other versions are rejected.
    pub version: u32,
    /// Weights and state, bound once for all functions.
    pub globals: Vec<Global>,
    /// Entry points of the object file or shaders generated with this program.
    pub kernels: Vec<Kernel>,
    pub functions: Vec<Function>,
    /// For a GPU: maximum bytes per binding. A kernel has one binding for each of the [`Pieces`] of a weight.
    pub binding_bytes: Option<usize>,
}

impl Program {
    pub const VERSION: u32 = 3;

    /// The pieces of a global or input; `None` if it is a single buffer.
    ///
    /// # Errors
    /// If it cannot be split into pieces that fit.
    pub fn pieces(&self, ty: &TensorType, layout: Layout) -> Result<Option<Pieces>, String> {
        self.binding_bytes.map_or(Ok(None), |limit| Pieces::of(ty, layout, limit))
    }

    /// The function called `name`.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }
}

/// A tensor that outlives a call: a weight (bound by name, read only, packed into `layout` at load) or state
/// (`mutable`: a KV cache, allocated by the executor).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Global {
    pub name: String,
    pub ty: TensorType,
    pub layout: Layout,
    pub mutable: bool,
    /// A constant of the module: the value of a weight, or the initial value of state. The executor sets it.
    pub value: Option<Constant>,
}

/// One generated kernel. For a CPU it is `extern "C" fn(args: *const u64, task: u64)`, for a GPU a [`Shader`].
///
/// `args` points to one 64-bit word for each of `params` (a pointer), then one for each scalar (an `i64`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// Symbol in the object, or the shader's.
    pub name: String,
    /// Human-readable description: `norm+linear x3 q4_1 [gemv tile 1x64]`.
    pub summary: String,
    /// None for a handwritten kernel.
    pub family: Option<Family>,
    pub role: Role,
    pub arithmetic: Arithmetic,
    pub params: Vec<Access>,
    pub scalars: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    pub fn reads(self) -> bool {
        self != Access::Write
    }
    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// A callable function of tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    pub name: String,
    /// Dimension symbols: `Expr::Sym(i)` is `symbols[i]`.
    pub symbols: Vec<Symbol>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Output>,
    /// Conditions on the caller's sizes and integers, without which a kernel would access memory outside its buffers.
    pub checks: Vec<Check>,
    /// Intermediate buffers in the arena.
    pub locals: Vec<Local>,
    /// Bytes of arena that a call needs.
    pub arena: Expr,
    pub launches: Vec<Launch>,
}

/// A name for a dimension that a caller's tensor binds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Symbol {
    pub name: String,
    pub source: DimSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DimSource {
    /// Axis `axis` of input `input`.
    Input { input: usize, axis: usize },
    /// Axis `axis` of global `global` (the capacity of a KV cache).
    Global { global: usize, axis: usize },
}

/// A condition on sizes, or on the values of i32 inputs and globals, before the launches of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Check {
    /// Two sizes are equal.
    Same { left: Expr, right: Expr },
    /// Every element is in 0..limit: ids of an embedding.
    Index { ids: Buffer, limit: Expr },
    /// Sequence b has `lengths[b]` rows (at most `rows`, which is also the default) starting at position
    /// `positions[b]`, which is not negative, in a cache of `capacity` positions, if given.
    Position { positions: Buffer, lengths: Option<Buffer>, rows: Expr, capacity: Option<Expr> },
    /// The block table [B, P] has a valid block, below `blocks`, for each page of `size` positions that a sequence
    /// uses: those of its rows, and of the positions before, of which a window hides all but the last `window - 1`.
    Blocks {
        table: Buffer,
        positions: Buffer,
        lengths: Option<Buffer>,
        rows: Expr,
        size: Expr,
        blocks: Expr,
        window: Option<Expr>,
    },
}

/// An input: the caller passes a row-major tensor; the executor packs it if `layout` differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    pub ty: TensorType,
    pub layout: Layout,
}

/// A result: its buffer when the call returns. Results that launches compute are `Buffer::Output(i)` with `i` their own
/// index; an in-place update or a returned argument names the input it aliases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Dimensions may be expressions over the symbols.
    pub ty: TensorType,
    pub buffer: Buffer,
}

/// The storage that a launch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Buffer {
    Input(usize),
    Output(usize),
    Global(usize),
    Local(usize),
}

/// An intermediate: `bytes` at `offset` of the arena, alive from launch `first` to launch `last` inclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Local {
    pub bytes: Expr,
    pub offset: Expr,
    pub first: usize,
    pub last: usize,
}

/// A parallel loop over `tasks` calls of one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Index into [`Program::kernels`].
    pub kernel: usize,
    /// Number of tasks: `task` runs from 0 to this, exclusive, in any order, on any thread.
    pub tasks: Expr,
    pub buffers: Vec<Buffer>,
    pub scalars: Vec<Expr>,
    /// Arithmetic operations, for profiles; a multiply-add counts as two, and attention counts caches as if they were
    /// full.
    pub operations: Option<Expr>,
    /// Whether all earlier launches must have ended; false only if the launch conflicts with none since the last
    /// barrier.
    pub barrier: bool,
}
