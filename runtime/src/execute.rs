//! What every executor does, whatever its kernels run on.

use crate::{Result, executor::KernelTime};
use kforge_program::{Element, Program};

/// A tensor borrowed from whoever has it: row-major, little-endian.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub dims: &'a [usize],
    pub element: Element,
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The elements of an aligned f32 tensor in place, which every output of f32 is; `None` of any other.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        // SAFETY: every bit pattern is an f32.
        (self.element == Element::F32).then(|| unsafe { self.aligned() }).flatten()
    }

    /// The same of an i32 tensor.
    pub fn as_i32(&self) -> Option<&'a [i32]> {
        // SAFETY: every bit pattern is an i32.
        (self.element == Element::I32).then(|| unsafe { self.aligned() }).flatten()
    }

    /// # Safety
    /// Every bit pattern must be a `T`.
    unsafe fn aligned<T>(&self) -> Option<&'a [T]> {
        if cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: only whole, aligned elements are taken, and the caller says that any bits are one.
        let (head, elements, tail) = unsafe { self.bytes.align_to::<T>() };
        (head.is_empty() && tail.is_empty()).then_some(elements)
    }
}

/// A program with its kernels, weights and state, ready to be called.
pub trait Execute: Send {
    fn program(&self) -> &Program;

    /// Packs a row-major weight into the layout that its global asks for.
    ///
    /// # Errors
    /// If there is no such global, it is a constant, or the weight has another size or type.
    fn set_weight(&mut self, name: &str, weight: View) -> Result<()>;

    /// Makes a mutable global of the given shape, all zeros, or with the module's value for it.
    ///
    /// # Errors
    /// If there is no such global, its type does not admit the shape, or there is no memory.
    fn make_state(&mut self, name: &str, dims: &[usize]) -> Result<()>;

    /// The bytes of a mutable global in its layout, once it is made.
    ///
    /// # Errors
    /// If it cannot be read back.
    fn read_state(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Calls a function and gives its number, by which its results are had until the next call.
    ///
    /// # Errors
    /// If an input's shape, type or value is not what the function takes, a global is not bound, or the machine fails.
    fn run(&mut self, name: &str, inputs: &[View]) -> Result<usize>;

    /// Result `index` of the last call of function `function`; `None` past the last, or for one that lies in a layout of
    /// its own (a cache).
    fn result(&self, function: usize, index: usize) -> Option<View<'_>>;

    /// Runs the launches of a function's last call again, `times` times, on the inputs that it left in place: what a
    /// benchmark times, as nothing is copied, checked or bound. A GPU gets them in one submission.
    ///
    /// # Errors
    /// If there is no such function, it has not been called, or what it uses has been made anew since.
    fn rerun(&mut self, name: &str, times: u64) -> Result<()>;

    /// Begins to measure each launch by itself, and forgets what was measured before.
    ///
    /// # Errors
    /// If this machine has no clock for it.
    fn start_profile(&mut self) -> Result<()>;

    /// Ends measuring; the times are in the order of the program's kernels. `None` if nothing was measured.
    fn end_profile(&mut self) -> Option<Vec<KernelTime>>;

    /// For people: `2 threads`, or the name of a GPU.
    fn machine(&self) -> String;

    fn is_gpu(&self) -> bool;

    /// Threads of a CPU; 1 of a GPU.
    fn threads(&self) -> usize;
}

/// The results of a call, until the next one.
pub struct Outputs<'e> {
    executor: &'e dyn Execute,
    function: usize,
}

impl<'e> Outputs<'e> {
    pub(crate) fn new(executor: &'e dyn Execute, function: usize) -> Self {
        Outputs { executor, function }
    }

    pub fn len(&self) -> usize {
        self.executor.program().functions[self.function].outputs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Result `index`; `None` past the last, or for one that lies in a layout of its own (a cache).
    pub fn get(&self, index: usize) -> Option<View<'e>> {
        self.executor.result(self.function, index)
    }
}

impl<'e> dyn Execute + 'e {
    /// Calls a function; the result borrows its outputs.
    ///
    /// # Errors
    /// As [`Execute::run`].
    pub fn call(&mut self, name: &str, inputs: &[View]) -> Result<Outputs<'_>> {
        let function = self.run(name, inputs)?;
        Ok(Outputs::new(self, function))
    }
}
