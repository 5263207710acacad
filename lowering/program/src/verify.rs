//! Verifies a program before it is used.

use crate::{Access, Buffer, Check, Constant, DimSource, Element, Function, Program};

impl Program {
    /// Checks that every index is in range, that nothing writes to read-only buffers, and that there is a barrier
    /// between launches that conflict.
    ///
    /// # Errors
    /// Names the function, the launch and the cause.
    pub fn verify(&self) -> Result<(), String> {
        if self.version != Program::VERSION {
            return Err(format!("the program has version {}, this executor runs {}", self.version, Program::VERSION));
        }
        for global in &self.globals {
            let dims: Option<Vec<usize>> = global.ty.dims.iter().map(|d| usize::try_from(d.as_const()?).ok()).collect();
            let (bytes, width) =
                (dims.and_then(|dims| global.ty.element.tensor_bytes(&dims)), global.ty.element.bytes());
            let fits = |value: &Constant| bytes.zip(width).is_some_and(|(bytes, width)| value.fits(bytes, width));
            if !global.value.as_ref().is_none_or(fits) {
                return Err(format!("the value of the global '{}' is not of its type", global.name));
            }
        }
        self.functions
            .iter()
            .try_for_each(|f| self.verify_function(f).map_err(|e| format!("function '{}': {e}", f.name)))
    }

    fn verify_function(&self, f: &Function) -> Result<(), String> {
        for symbol in &f.symbols {
            let rank = match symbol.source {
                DimSource::Input { input, axis } => f.inputs.get(input).map(|i| (i.ty.dims.len(), axis)),
                DimSource::Global { global, axis } => self.globals.get(global).map(|g| (g.ty.dims.len(), axis)),
            };
            if rank.is_none_or(|(rank, axis)| axis >= rank) {
                return Err(format!("symbol '{}' has no source", symbol.name));
            }
        }
        // Buffers that a call's checks can read before its launches.
        let ty = |buffer: &Buffer| match buffer {
            Buffer::Input(i) => f.inputs.get(*i).map(|input| &input.ty),
            Buffer::Global(i) => self.globals.get(*i).map(|global| &global.ty),
            Buffer::Output(_) | Buffer::Local(_) => None,
        };
        let integers = |buffer: &Buffer| ty(buffer).is_some_and(|ty| ty.element == Element::I32);
        for check in &f.checks {
            let sound = match check {
                Check::Same { .. } => true,
                Check::Index { ids, .. } => integers(ids),
                Check::Position { positions, lengths, .. } => integers(positions) && lengths.iter().all(integers),
                Check::Blocks { table, positions, lengths, .. } => {
                    let is_table = ty(table).is_some_and(|ty| ty.dims.len() == 2);
                    is_table && integers(table) && integers(positions) && lengths.iter().all(integers)
                }
            };
            if !sound {
                return Err("a check names no i32 input or global".into());
            }
        }
        // Buffers touched since the last barrier.
        let mut touched: Vec<(Buffer, Access)> = vec![];
        for (i, launch) in f.launches.iter().enumerate() {
            let fail = |what: String| Err(format!("launch {i}: {what}"));
            let Some(kernel) = self.kernels.get(launch.kernel) else {
                return fail(format!("there is no kernel {}", launch.kernel));
            };
            if kernel.params.len() != launch.buffers.len() || kernel.scalars != launch.scalars.len() {
                return fail(format!(
                    "'{}' takes {} buffers and {} scalars",
                    kernel.name,
                    kernel.params.len(),
                    kernel.scalars
                ));
            }
            if launch.barrier {
                touched.clear();
            }
            for (buffer, access) in launch.buffers.iter().zip(&kernel.params) {
                let (exists, writable) = match *buffer {
                    Buffer::Input(n) => (n < f.inputs.len(), true),
                    Buffer::Output(n) => (n < f.outputs.len(), true),
                    Buffer::Global(n) => (n < self.globals.len(), self.globals.get(n).is_some_and(|g| g.mutable)),
                    Buffer::Local(n) => (f.locals.get(n).is_some_and(|l| l.first <= i && i <= l.last), true),
                };
                if !exists {
                    return fail(format!("{buffer:?} does not exist there"));
                }
                if access.writes() && !writable {
                    return fail(format!("{buffer:?} is read-only"));
                }
                let conflict =
                    |(b, a): &(Buffer, Access)| self.overlap(f, *b, *buffer) && (a.writes() || access.writes());
                if touched.iter().any(conflict) {
                    return fail(format!("{buffer:?} needs a barrier before it"));
                }
            }
            touched.extend(launch.buffers.iter().copied().zip(kernel.params.iter().copied()));
        }
        Ok(())
    }

    /// Whether two buffers may share memory: they are the same, or locals whose bytes overlap.
    fn overlap(&self, f: &Function, a: Buffer, b: Buffer) -> bool {
        let (Buffer::Local(a), Buffer::Local(b)) = (a, b) else { return a == b };
        if a == b {
            return true;
        }
        let (Some(a), Some(b)) = (f.locals.get(a), f.locals.get(b)) else { return true };
        match (a.offset.as_const(), a.bytes.as_const(), b.offset.as_const(), b.bytes.as_const()) {
            (Some(ao), Some(ab), Some(bo), Some(bb)) => ao < bo + bb && bo < ao + ab,
            // Sizes known only at run time: disjoint lifetimes may share bytes.
            _ => a.last < b.first || b.last < a.first,
        }
    }
}

impl Function {
    /// Maximum bytes of locals alive at once, a lower bound for the arena.
    ///
    /// # Errors
    /// If a size has no value for these symbols.
    pub fn live_bytes(&self, symbols: &[i64]) -> Result<i64, String> {
        let sizes = self.locals.iter().map(|l| l.bytes.eval(symbols)).collect::<Result<Vec<_>, _>>()?;
        let at = |i: usize| -> i64 {
            self.locals.iter().zip(&sizes).filter(|(l, _)| l.first <= i && i <= l.last).map(|(_, size)| size).sum()
        };
        Ok((0..self.launches.len()).map(at).max().unwrap_or(0))
    }
}
