//! Binds a program's buffers and runs its functions.
//!
//! A call copies its inputs into memory of the executor (packing those for which the program has another layout),
//! evaluates all sizes, and passes the list of launches to the pool. With the same sizes, buffers and state as in the
//! last call, its bound list is reused.

use crate::{
    Error, Execute, Result, View,
    bind::{self, CallError, layout_bytes, pack},
    check::check_values,
    execute::Outputs,
    memory::Memory,
    object::{KernelFn, Object},
    perf,
    pool::{BoundLaunch, Pool},
};
use kforge_program::{Buffer, Function, Layout, Local, Program};
use std::time::{Duration, Instant};

/// Alignment of weights: a cache line.
const ALIGNMENT: usize = 64;

/// A program with its object, weights and state, ready to be called.
pub struct Executor {
    program: Program,
    kernels: Vec<KernelFn>,
    globals: Vec<Option<Global>>,
    /// All packed weights in one block: large enough for huge pages, which a single layer's weights are not.
    weights: Memory,
    /// Offset of each weight.
    offsets: Vec<usize>,
    functions: Vec<Bound>,
    arena: Memory,
    pool: Pool,
    /// Time per kernel so far, while profiling.
    profile: Option<Vec<KernelTime>>,
    // Last field, so that code outlives everything that may run it.
    object: Object,
}

/// Time of a kernel, summed over all its launches.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelTime {
    pub launches: usize,
    pub time: Duration,
}

impl KernelTime {
    pub(crate) fn add(&mut self, time: Duration) {
        self.launches += 1;
        self.time += time;
    }
}

/// Replacement kernels for an executor: a program with the same globals, inputs and results, and its loaded object.
pub struct Kernels {
    program: Program,
    kernels: Vec<KernelFn>,
    functions: Vec<Bound>,
    object: Object,
}

impl Kernels {
    /// Loads `object` and looks up the program's kernels in it.
    ///
    /// # Errors
    /// If the program does not verify, or the object does not load or lacks a kernel.
    pub fn load(program: Program, object: &[u8]) -> Result<Kernels> {
        program.verify().map_err(Error::Program)?;
        let bytes = object;
        let object = Object::load(bytes)?;
        let kernels = program.kernels.iter().map(|k| object.kernel(&k.name)).collect::<Result<_>>()?;
        if perf::wanted() {
            perf::add(&perf::symbols(&object, bytes)?)?;
        }
        let functions = program.functions.iter().map(|_| Bound::default()).collect();
        Ok(Kernels { program, kernels, functions, object })
    }
}

/// A global with a value.
struct Global {
    dims: Vec<usize>,
    place: Place,
}

enum Place {
    /// A byte range of the weights.
    Weight(std::ops::Range<usize>),
    State(Memory),
}

/// The buffers and launches bound by a function's last call.
#[derive(Default)]
struct Bound {
    symbols: Option<Vec<i64>>,
    /// Addresses of arena and globals that `launches` points to.
    addresses: Vec<u64>,
    inputs: Vec<Memory>,
    outputs: Vec<Memory>,
    shapes: Vec<Vec<usize>>,
    args: Vec<u64>,
    launches: Vec<BoundLaunch>,
}

// SAFETY: the raw pointers in `launches` point into `args` of the same value and are used by `call` only.
unsafe impl Send for Bound {}

impl Executor {
    /// Loads `object` and looks up the program's kernels in it.
    ///
    /// # Errors
    /// If the program does not verify, the object does not load or lacks a kernel, or threads cannot be created.
    pub fn new(program: Program, object: &[u8], threads: usize) -> Result<Executor> {
        let Kernels { program, kernels, functions, object } = Kernels::load(program, object)?;
        let pool = Pool::new(threads).map_err(|error| Error::Threads { threads, error })?;
        let globals = program.globals.iter().map(|_| None).collect();
        let (mut offsets, mut end) = (vec![], 0usize);
        for global in &program.globals {
            offsets.push(end);
            if !global.mutable {
                let bytes = layout_bytes(&global.ty.bytes(global.layout), &[]).unwrap_or(0);
                let next = bytes.checked_next_multiple_of(ALIGNMENT).and_then(|bytes| end.checked_add(bytes));
                end = next.ok_or_else(|| Error::Program(format!("the size of '{}' overflows", global.name)))?;
            }
        }
        let weights = Memory::streamed(end)?;
        let mut executor = Executor {
            program,
            kernels,
            globals,
            functions,
            arena: Memory::zeroed(0)?,
            pool,
            weights,
            offsets,
            profile: None,
            object,
        };
        for index in 0..executor.program.globals.len() {
            executor.initialise(index)?;
        }
        Ok(executor)
    }

    /// Sets a global to its value in the module, if it has one.
    fn initialise(&mut self, index: usize) -> Result<()> {
        let global = &self.program.globals[index];
        let (name, mutable, element, layout) = (global.name.clone(), global.mutable, global.ty.element, global.layout);
        let fail = |message: String| Error::Weight { name: name.clone(), message };
        let Some(bind::Constant { dims, bytes }) = bind::constant(global).map_err(fail)? else { return Ok(()) };
        let view = View { dims: &dims, element, bytes: &bytes };
        if !mutable {
            return self.pack_weight(index, view);
        }
        let size = bind::state_bytes(&self.program.globals[index], &dims).map_err(fail)?;
        let mut memory = Memory::streamed(size)?;
        pack(layout, view, memory.as_mut_slice()).map_err(fail)?;
        self.put_state(index, dims, memory);
        Ok(())
    }

    fn put_state(&mut self, index: usize, dims: Vec<usize>, memory: Memory) {
        self.globals[index] = Some(Global { dims, place: Place::State(memory) });
        // The new memory may have the old address but be smaller, so everything is bound again.
        self.functions.iter_mut().for_each(|bound| bound.symbols = None);
    }

    /// Swaps in `other`'s kernels; the old ones are left in `other`. Weights and state stay.
    ///
    /// # Errors
    /// If their globals, or a function's inputs or results, differ.
    pub fn exchange(&mut self, other: &mut Kernels) -> Result<()> {
        bind::check_exchange(&self.program, &other.program)?;
        std::mem::swap(&mut self.program, &mut other.program);
        std::mem::swap(&mut self.kernels, &mut other.kernels);
        std::mem::swap(&mut self.functions, &mut other.functions);
        std::mem::swap(&mut self.object, &mut other.object);
        self.profile = None;
        Ok(())
    }

    /// Starts measuring each launch separately, which needs a barrier per launch, and discards earlier measurements.
    pub fn start_profile(&mut self) {
        self.profile = Some(vec![KernelTime::default(); self.program.kernels.len()]);
    }

    /// Times measured since [`start_profile`](Self::start_profile), in the order of the program's kernels.
    pub fn profile(&self) -> &[KernelTime] {
        self.profile.as_deref().unwrap_or_default()
    }

    /// Stops measuring; the times are in the order of the program's kernels. `None` if nothing was measured.
    pub fn end_profile(&mut self) -> Option<Vec<KernelTime>> {
        self.profile.take()
    }

    pub fn program(&self) -> &Program {
        &self.program
    }

    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Packs a row-major weight into its global's layout. This is the only copy of the weight.
    ///
    /// # Errors
    /// If there is no such global, it is a constant, or the weight has another size or type.
    pub fn set_weight(&mut self, name: &str, weight: View) -> Result<()> {
        let index = bind::global(&self.program, name)?;
        bind::check_settable(&self.program.globals[index])?;
        self.pack_weight(index, weight)
    }

    fn pack_weight(&mut self, index: usize, weight: View) -> Result<()> {
        let global = &self.program.globals[index];
        let fail = |message: String| Error::Weight { name: global.name.clone(), message };
        let (dims, bytes) = bind::weight_bytes(global, &weight).map_err(&fail)?;
        let range = self.offsets[index]..self.offsets[index] + bytes;
        pack(global.layout, weight, &mut self.weights.as_mut_slice()[range.clone()]).map_err(fail)?;
        self.globals[index] = Some(Global { dims, place: Place::Weight(range) });
        Ok(())
    }

    /// Creates a mutable global with the given shape, zeroed, or with the module's value for it.
    ///
    /// # Errors
    /// If there is no such global, or its type does not match the shape.
    pub fn make_state(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        let index = bind::global(&self.program, name)?;
        let global = &self.program.globals[index];
        let fail = |message: String| Error::Weight { name: name.into(), message };
        let bytes = bind::state_bytes(global, dims).map_err(fail)?;
        if global.value.is_some() {
            return self.initialise(index);
        }
        self.put_state(index, dims.to_vec(), Memory::streamed(bytes)?);
        Ok(())
    }

    /// The bytes of a mutable global in its layout; `None` before it is created.
    pub fn state(&self, name: &str) -> Option<&[u8]> {
        let index = self.program.globals.iter().position(|g| g.name == name && g.mutable)?;
        self.globals[index].as_ref().map(|g| self.bytes(g))
    }

    fn bytes<'e>(&'e self, global: &'e Global) -> &'e [u8] {
        match &global.place {
            Place::Weight(range) => &self.weights.as_slice()[range.clone()],
            Place::State(memory) => memory.as_slice(),
        }
    }

    /// Calls a function; the result borrows its outputs.
    ///
    /// # Errors
    /// If an input's shape, type or value is not what the function takes, or a global is not bound.
    pub fn call(&mut self, name: &str, inputs: &[View]) -> Result<Outputs<'_>> {
        let function = self.run(name, inputs)?;
        Ok(Outputs::new(self, function))
    }

    fn run(&mut self, name: &str, inputs: &[View]) -> Result<usize> {
        let index = bind::function(&self.program, name)?;
        self.prepare(index, inputs).map_err(|error| error.of(name))?;
        let bound = &self.functions[index];
        if let Some(profile) = &mut self.profile {
            for (launch, bound) in self.program.functions[index].launches.iter().zip(&bound.launches) {
                let _span = tracing::trace_span!("launch", kernel = self.program.kernels[launch.kernel].name).entered();
                let begin = Instant::now();
                // SAFETY: as below; one launch after another is stricter than the barriers ask for.
                unsafe { self.pool.run(std::slice::from_ref(bound)) };
                profile[launch.kernel].add(begin.elapsed());
            }
            return Ok(index);
        }
        // SAFETY: the program verified: every launch binds buffers of the sizes that the generator requires, allocated
        // by `prepare`, and there are barriers between launches that conflict.
        unsafe { self.pool.run(&bound.launches) };
        Ok(index)
    }

    /// Runs the launches of a function's last call again, on the inputs left in place, for benchmarks: nothing is
    /// copied, checked or bound.
    ///
    /// # Errors
    /// If there is no such function, it has not been called, or memory that it uses has been reallocated since.
    pub fn rerun(&mut self, name: &str) -> Result<()> {
        let index = bind::function(&self.program, name)?;
        let bound = &self.functions[index];
        if bound.symbols.is_none() || bound.addresses != self.addresses() {
            let message = "must be called before it is run again".into();
            return Err(Error::Call { function: name.into(), message });
        }
        // SAFETY: as in `call`: the call bound these launches, and what they point to is still in place.
        unsafe { self.pool.run(&bound.launches) };
        Ok(())
    }

    /// Addresses of arena and globals; 0 for a global without a value.
    fn addresses(&self) -> Vec<u64> {
        let global = |g: &Option<Global>| g.as_ref().map_or(0, |g| self.bytes(g).as_ptr() as u64);
        std::iter::once(self.arena.address()).chain(self.globals.iter().map(global)).collect()
    }

    fn prepare(&mut self, index: usize, inputs: &[View]) -> Result<(), CallError> {
        let function = &self.program.functions[index];
        let dims = |global: usize| self.globals[global].as_ref().map(|global| &global.dims[..]);
        let symbols = bind::symbols(&self.program, function, inputs, dims)?;
        let integers = |global: usize| self.globals[global].as_ref().map(|g| (&g.dims[..], self.bytes(g)));
        check_values(&self.program, function, inputs, &symbols, integers)?;
        let arena =
            usize::try_from(function.arena.eval(&symbols)?).map_err(|_| "the arena's size is negative".to_owned())?;
        if arena > self.arena.as_slice().len() {
            self.arena = Memory::zeroed(arena)?;
        }
        let addresses = self.addresses();
        for (i, (global, address)) in self.program.globals.iter().zip(&addresses[1..]).enumerate() {
            if *address == 0 && function.launches.iter().any(|l| l.buffers.contains(&Buffer::Global(i))) {
                return Err(CallError::Message(format!("the global '{}' has no value", global.name)));
            }
        }
        let bound = &mut self.functions[index];
        if bound.symbols.as_ref() != Some(&symbols) || bound.addresses != addresses {
            bound.symbols = None;
            bind(function, &self.kernels, &symbols, &addresses, bound)?;
            bound.addresses = addresses;
            bound.symbols = Some(symbols);
        }
        for ((port, input), memory) in function.inputs.iter().zip(inputs).zip(&mut bound.inputs) {
            pack(port.layout, *input, memory.as_mut_slice())?;
        }
        Ok(())
    }

    fn result_of(&self, function: usize, index: usize) -> Option<View<'_>> {
        let bound = &self.functions[function];
        let function = &self.program.functions[function];
        let output = function.outputs.get(index)?;
        let dims = bound.shapes.get(index)?;
        let (memory, layout) = match output.buffer {
            Buffer::Output(o) => (bound.outputs.get(o)?.as_slice(), Layout::RowMajor),
            Buffer::Input(i) => (bound.inputs.get(i)?.as_slice(), function.inputs.get(i)?.layout),
            Buffer::Global(g) => {
                let global = self.globals.get(g)?.as_ref()?;
                (self.bytes(global), self.program.globals.get(g)?.layout)
            }
            Buffer::Local(_) => return None,
        };
        let bytes = output.ty.element.tensor_bytes(dims)?;
        (layout == Layout::RowMajor).then(|| View { dims, element: output.ty.element, bytes: &memory[..bytes] })
    }
}

impl Execute for Executor {
    fn program(&self) -> &Program {
        &self.program
    }
    fn set_weight(&mut self, name: &str, weight: View) -> Result<()> {
        Executor::set_weight(self, name, weight)
    }
    fn make_state(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        Executor::make_state(self, name, dims)
    }
    fn read_state(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.state(name).map(<[u8]>::to_vec))
    }
    fn run(&mut self, name: &str, inputs: &[View]) -> Result<usize> {
        Executor::run(self, name, inputs)
    }
    fn result(&self, function: usize, index: usize) -> Option<View<'_>> {
        self.result_of(function, index)
    }
    fn rerun(&mut self, name: &str, times: u64) -> Result<()> {
        (0..times).try_for_each(|_| Executor::rerun(self, name))
    }
    fn start_profile(&mut self) -> Result<()> {
        Executor::start_profile(self);
        Ok(())
    }
    fn end_profile(&mut self) -> Option<Vec<KernelTime>> {
        Executor::end_profile(self)
    }
    fn machine(&self) -> String {
        format!("{} threads", self.pool.threads())
    }
    fn is_gpu(&self) -> bool {
        false
    }
    fn threads(&self) -> usize {
        self.pool.threads()
    }
}

/// Binds the addresses, scalars and number of tasks of every launch.
fn bind(
    function: &Function,
    kernels: &[KernelFn],
    symbols: &[i64],
    addresses: &[u64],
    bound: &mut Bound,
) -> Result<(), CallError> {
    let size = |expr: &kforge_program::Expr| layout_bytes(expr, symbols);
    bound.launches.clear();
    bound.args.clear();
    bound.inputs = function
        .inputs
        .iter()
        .map(|p| Ok(Memory::zeroed(size(&p.ty.bytes(p.layout))?)?))
        .collect::<Result<_, CallError>>()?;
    bound.outputs = function
        .outputs
        .iter()
        .enumerate()
        .map(|(i, o)| {
            let own = o.buffer == Buffer::Output(i);
            Ok(Memory::zeroed(if own { size(&o.ty.bytes(Layout::RowMajor))? } else { 0 })?)
        })
        .collect::<Result<_, CallError>>()?;
    bound.shapes = bind::result_shapes(function, symbols)?;
    let arena = size(&function.arena)?;
    let local = |(i, local): (usize, &Local)| {
        let (offset, bytes) = (size(&local.offset)?, size(&local.bytes)?);
        if offset.checked_add(bytes).is_none_or(|end| end > arena) {
            return Err(format!("intermediate {i} lies outside the arena"));
        }
        Ok(addresses[0] + offset as u64)
    };
    let locals = function.locals.iter().enumerate().map(local).collect::<Result<Vec<u64>, String>>()?;
    let mut starts = vec![];
    for launch in &function.launches {
        starts.push(bound.args.len());
        for buffer in &launch.buffers {
            bound.args.push(match *buffer {
                Buffer::Input(i) => bound.inputs[i].address(),
                Buffer::Output(i) => bound.outputs[i].address(),
                Buffer::Global(i) => addresses[1 + i],
                Buffer::Local(i) => locals[i],
            });
        }
        for scalar in &launch.scalars {
            bound.args.push(scalar.eval(symbols)? as u64);
        }
    }
    // Only now are the addresses of `args` final.
    for (launch, start) in function.launches.iter().zip(starts) {
        bound.launches.push(BoundLaunch {
            kernel: kernels[launch.kernel],
            args: bound.args[start..].as_ptr(),
            tasks: size(&launch.tasks)?,
            barrier: launch.barrier,
        });
    }
    Ok(())
}
