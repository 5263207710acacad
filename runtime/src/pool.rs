//! A persistent thread pool whose threads all execute the same launch list.
//!
//! Every thread goes through the whole list. For each launch it runs its own range of tasks, helps with the others',
//! and continues with the next launch without waiting, unless that has `barrier` set. A barrier waits until all *tasks*
//! before it have ended, not until all threads have arrived: a thread that was preempted delays the others only if it
//! is within a task, and finds no work left when it resumes. There is no scheduler and nothing is allocated, so a
//! launch costs a few atomic increments and a barrier a few hundred nanoseconds: over 150 launches fit into a token of
//! 3.5 ms.
//!
//! A task computes the same bytes on any thread, so results do not depend on the number of threads.

use crate::object::KernelFn;
use std::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

/// A launch with bound arguments.
#[derive(Clone, Copy, Debug)]
pub struct BoundLaunch {
    pub kernel: KernelFn,
    /// The kernel's arguments, which must outlive the run.
    pub args: *const u64,
    pub tasks: usize,
    /// Everything launched before must have ended.
    pub barrier: bool,
}

/// Kernels keep dequantised panels of up to 1 MiB on the stack. The calling thread runs tasks too: Rust's default of 2
/// MiB is enough for it.
const STACK: usize = 4 << 20;

/// Polls before a waiting thread sleeps: about 50 us, longer than any imbalance between two launches and than sampling
/// between two tokens, but short enough that an idle decoder uses no CPU.
const SPINS: usize = 2_000;

/// A list of launches and its progress. There are two, used alternately, because a thread may still be leaving the run
/// of the last call when the next begins.
#[derive(Default)]
struct Run {
    launches: Vec<BoundLaunch>,
    /// For each launch and thread, the first unclaimed task of the thread's range.
    next: Vec<Counter>,
    /// For each launch, the number of tasks that have ended.
    done: Vec<Counter>,
}

/// A counter on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Counter(AtomicUsize);

/// State shared by the threads.
struct Shared {
    threads: usize,
    /// The run of generation g is at index g % 2. Written only by `Pool::run`, after all threads have left it.
    runs: [UnsafeCell<Run>; 2],
    /// Number of runs started.
    generation: Counter,
    /// For each thread, the generation of the last run that it has left.
    left: Vec<Counter>,
    sleepers: Counter,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// Threads that run launch lists; the calling thread is one of them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

// SAFETY: a run is written by `Pool::run` while no thread executes it, and read by threads that saw the generation that
// `run` published afterwards. Its raw pointers are dereferenced only by tasks, all of which end within the call.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads`, at least one.
    ///
    /// # Errors
    /// If the operating system cannot create a thread.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            threads: threads.max(1),
            runs: Default::default(),
            generation: Counter::default(),
            left: (0..threads.max(1)).map(|_| Counter::default()).collect(),
            sleepers: Counter::default(),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        // Created first, so that on an error below the started threads are joined.
        let mut pool = Pool { shared: shared.clone(), workers: vec![] };
        for i in 1..shared.threads {
            let shared = shared.clone();
            let builder = std::thread::Builder::new().name(format!("kforge-{i}")).stack_size(STACK);
            pool.workers.push(builder.spawn(move || shared.work(i))?);
        }
        Ok(pool)
    }

    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Runs the launches in order and returns when all tasks have ended.
    ///
    /// # Safety
    /// Every kernel must be callable with its `args` for every task below its `tasks`, and no other launch since the
    /// last barrier may write what it writes.
    pub unsafe fn run(&mut self, launches: &[BoundLaunch]) {
        let shared = &*self.shared;
        let generation = shared.generation.0.load(Ordering::SeqCst) + 1;
        shared.wait(|| shared.left.iter().all(|left| left.0.load(Ordering::SeqCst) + 2 >= generation));
        // SAFETY: every thread has left the run at this index, and none enters it before the generation is incremented.
        let run = unsafe { &mut *shared.runs[generation % 2].get() };
        run.launches.clear();
        run.launches.extend_from_slice(launches);
        let counters = launches.len() * shared.threads;
        if run.next.len() < counters {
            run.next.resize_with(counters, Counter::default);
            run.done.resize_with(launches.len(), Counter::default);
        }
        for (launch, next) in launches.iter().zip(run.next.chunks_exact(shared.threads)) {
            for (thread, counter) in next.iter().enumerate() {
                counter.0.store(range(launch.tasks, shared.threads, thread).start, Ordering::Relaxed);
            }
        }
        run.done.iter().for_each(|done| done.0.store(0, Ordering::Relaxed));
        shared.generation.0.store(generation, Ordering::SeqCst);
        shared.notify();
        shared.walk(generation, 0);
        // SAFETY: only this thread writes it, in the next call but one.
        let run = unsafe { &*shared.runs[generation % 2].get() };
        shared.wait(|| run.ended(0..launches.len()));
    }
}

impl Run {
    /// Whether all tasks of some launches have ended.
    fn ended(&self, launches: std::ops::Range<usize>) -> bool {
        launches.into_iter().all(|i| self.done[i].0.load(Ordering::SeqCst) == self.launches[i].tasks)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.generation.0.fetch_add(1, Ordering::SeqCst);
        self.shared.notify();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// The range of tasks assigned to a thread.
pub(crate) fn range(tasks: usize, threads: usize, thread: usize) -> std::ops::Range<usize> {
    let start = |thread: usize| tasks / threads * thread + (tasks % threads).min(thread);
    start(thread)..start(thread + 1)
}

impl Shared {
    fn work(&self, thread: usize) {
        let mut seen = 0;
        loop {
            self.wait(|| self.generation.0.load(Ordering::SeqCst) != seen);
            seen += 1;
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            self.walk(seen, thread);
        }
    }

    /// Takes part in a run; when it returns, all tasks have been claimed, and those claimed by this thread have ended.
    fn walk(&self, generation: usize, thread: usize) {
        // SAFETY: the generation has been published, and the run is not written until this thread reports that it left.
        let run = unsafe { &*self.runs[generation % 2].get() };
        // Launches before this one are known to have ended.
        let mut ended = 0;
        for (i, (launch, next)) in run.launches.iter().zip(run.next.chunks_exact(self.threads)).enumerate() {
            if launch.barrier && ended < i {
                self.wait(|| run.ended(ended..i));
                ended = i;
            }
            let mut count = 0;
            // Own tasks first, in order: adjacent tasks read adjacent weights, which helps the prefetchers. Then tasks
            // that slower threads have not claimed.
            for owner in (thread..self.threads).chain(0..thread) {
                let end = range(launch.tasks, self.threads, owner).end;
                loop {
                    let task = next[owner].0.fetch_add(1, Ordering::Relaxed);
                    if task >= end {
                        break;
                    }
                    // SAFETY: the caller of `Pool::run` guarantees that kernel, arguments and task are valid.
                    unsafe { (launch.kernel)(launch.args, task as u64) };
                    count += 1;
                }
            }
            if count > 0 && run.done[i].0.fetch_add(count, Ordering::SeqCst) + count == launch.tasks {
                self.notify();
            }
        }
        self.left[thread].0.store(generation, Ordering::SeqCst);
        self.notify();
    }

    /// Polls for a while, then sleeps until `ready`.
    fn wait(&self, ready: impl Fn() -> bool) {
        for _ in 0..SPINS {
            if ready() {
                return;
            }
            spin_loop();
        }
        self.sleepers.0.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !ready() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.sleepers.0.fetch_sub(1, Ordering::SeqCst);
    }

    /// Wakes sleeping threads, after the change that they wait for.
    fn notify(&self) {
        if self.sleepers.0.load(Ordering::SeqCst) > 0 {
            // A sleeper checks the condition under the lock, so it has either seen the change or is already waiting.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// args: [counter, expected count before this launch].
    unsafe extern "C" fn count(args: *const u64, _task: u64) {
        // SAFETY: the test passes two words, the first the address of a live counter.
        unsafe {
            let counter = &*(*args as *const AtomicUsize);
            assert!(counter.fetch_add(1, Ordering::Relaxed) >= *args.add(1) as usize);
        }
    }

    /// args: [address of usize]; not atomic, so that two tasks at once would lose one.
    unsafe extern "C" fn add_alone(args: *const u64, _task: u64) {
        // SAFETY: the test passes the address of a live cell and one task a barrier.
        unsafe { *(*args as *mut usize) += 1 };
    }

    #[test]
    fn every_task_runs_once_and_barriers_hold() {
        for threads in [1, 2, 3, 4] {
            let mut pool = Pool::new(threads).unwrap();
            for round in 0..50 {
                let counter = AtomicUsize::new(0);
                let address = std::ptr::from_ref(&counter) as u64;
                let sizes = [0, 1, 7, 100, 3, 0, 33];
                let mut before = 0;
                let args: Vec<[u64; 2]> = sizes
                    .iter()
                    .map(|tasks| {
                        let args = [address, before];
                        before += *tasks as u64;
                        args
                    })
                    .collect();
                let launches: Vec<BoundLaunch> = sizes
                    .iter()
                    .zip(&args)
                    .map(|(tasks, args)| BoundLaunch {
                        kernel: count,
                        args: args.as_ptr(),
                        tasks: *tasks,
                        barrier: true,
                    })
                    .collect();
                // SAFETY: `count` takes these arguments and is atomic.
                unsafe { pool.run(&launches) };
                assert_eq!(counter.into_inner() as u64, before, "{threads} threads, round {round}");
            }
        }
    }

    #[test]
    fn threads_that_sleep_wake_up() {
        let mut pool = Pool::new(3).unwrap();
        let mut cell = 0usize;
        let args = [&raw mut cell as u64];
        for i in 0..5 {
            let launch = BoundLaunch { kernel: add_alone, args: args.as_ptr(), tasks: 1, barrier: true };
            // SAFETY: one task a barrier writes the cell.
            unsafe { pool.run(&[launch; 10]) };
            assert_eq!(cell, 10 * (i + 1));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
