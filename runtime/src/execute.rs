//! The interface of all executors, independent of where kernels run.

use crate::{Result, executor::KernelTime};
use kforge_program::{Element, Program};

/// A borrowed tensor: row-major, little-endian.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub dims: &'a [usize],
    pub element: Element,
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The elements of an aligned f32 tensor without a copy, as every f32 output is; `None` for any other tensor.
    pub fn as_f32(&self) -> Option<&'a [f32]> {
        // SAFETY: every bit pattern is an f32.
        (self.element == Element::F32).then(|| unsafe { self.aligned() }).flatten()
    }

    /// The same for an i32 tensor.
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
        // SAFETY: only whole, aligned elements are used, and the caller guarantees that any bits are valid.
        let (head, elements, tail) = unsafe { self.bytes.align_to::<T>() };
        (head.is_empty() && tail.is_empty()).then_some(elements)
    }
}

/// A program with its kernels, weights and state, ready to be called.
pub trait Execute: Send {
    fn program(&self) -> &Program;

    /// Packs a row-major weight into its global's layout.
    ///
    /// # Errors
    /// If there is no such global, it is a constant, or the weight has another size or type.
    fn set_weight(&mut self, name: &str, weight: View) -> Result<()>;

    /// Creates a mutable global with the given shape, zeroed, or with the module's value for it.
    ///
    /// # Errors
    /// If there is no such global, its type does not match the shape, or there is not enough memory.
    fn make_state(&mut self, name: &str, dims: &[usize]) -> Result<()>;

    /// The bytes of a mutable global in its layout; `None` before it is created.
    ///
    /// # Errors
    /// If it cannot be read back.
    fn read_state(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Calls a function and returns its index, by which its results are available until the next call.
    ///
    /// # Errors
    /// If an input's shape, type or value is not what the function takes, a global is not bound, or the device fails.
    fn run(&mut self, name: &str, inputs: &[View]) -> Result<usize>;

    /// Result `index` of the last call of function `function`; `None` past the last, or for one in a layout other than
    /// row-major (a cache).
    fn result(&self, function: usize, index: usize) -> Option<View<'_>>;

    /// Runs the launches of a function's last call again, `times` times, on the inputs left in place, for benchmarks:
    /// nothing is copied, checked or bound. A GPU gets them in one submission.
    ///
    /// # Errors
    /// If there is no such function, it has not been called, or memory that it uses has been reallocated since.
    fn rerun(&mut self, name: &str, times: u64) -> Result<()>;

    /// Starts measuring each launch separately, and discards earlier measurements.
    ///
    /// # Errors
    /// If the device has no timer for it.
    fn start_profile(&mut self) -> Result<()>;

    /// Stops measuring; the times are in the order of the program's kernels. `None` if nothing was measured.
    fn end_profile(&mut self) -> Option<Vec<KernelTime>>;

    /// Human-readable: `2 threads`, or the name of a GPU.
    fn machine(&self) -> String;

    fn is_gpu(&self) -> bool;

    /// CPU threads; 1 on a GPU.
    fn threads(&self) -> usize;
}

/// The results of a call, valid until the next one.
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

    /// Result `index`; `None` past the last, or for one in a layout other than row-major (a cache).
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
