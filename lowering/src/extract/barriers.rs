//! Barriers between launches that use the same buffers.

use kforge_program::{Access, Buffer, Function, Kernel, Local};
use rustc_hash::FxHashMap as HashMap;

/// Sets a barrier where a launch conflicts with one since the last barrier.
pub fn barriers(function: &mut Function, kernels: &[Kernel]) {
    let mut touched = Touched::default();
    for launch in &mut function.launches {
        let now = || launch.buffers.iter().copied().zip(kernels[launch.kernel].params.iter().copied());
        if now().any(|(buffer, access)| touched.conflicts(buffer, access, &function.locals)) {
            launch.barrier = true;
            touched = Touched::default();
        }
        now().for_each(|(buffer, access)| touched.add(buffer, access, &function.locals));
    }
}

/// The buffers touched since the last barrier.
#[derive(Default)]
struct Touched {
    /// Whether each was written.
    buffers: HashMap<Buffer, bool>,
    /// For the locals touched, and for those written: the earliest end and the latest beginning of a lifetime. A local
    /// that ended before another begins may occupy the same bytes of the arena.
    locals: Option<(usize, usize)>,
    written: Option<(usize, usize)>,
}

impl Touched {
    fn conflicts(&self, buffer: Buffer, access: Access, locals: &[Local]) -> bool {
        if self.buffers.get(&buffer).is_some_and(|written| *written || access.writes()) {
            return true;
        }
        let others = if access.writes() { self.locals } else { self.written };
        match (buffer, others) {
            (Buffer::Local(i), Some((end, begin))) => end < locals[i].first || locals[i].last < begin,
            _ => false,
        }
    }

    fn add(&mut self, buffer: Buffer, access: Access, locals: &[Local]) {
        *self.buffers.entry(buffer).or_default() |= access.writes();
        let Buffer::Local(i) = buffer else { return };
        let join = |span: Option<(usize, usize)>| {
            let (end, begin) = span.unwrap_or((usize::MAX, 0));
            Some((end.min(locals[i].last), begin.max(locals[i].first)))
        };
        self.locals = join(self.locals);
        if access.writes() {
            self.written = join(self.written);
        }
    }
}
