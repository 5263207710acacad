//! One persistent pool of threads that walk a launch list together.
//!
//! Every worker goes through the whole list: of each launch it does its own range of tasks and helps with the others',
//! then goes on to the next without waiting, unless that one says `barrier`. There all meet. Nobody hands out work and nothing is allocated, so a
//! launch costs an atomic increment and a barrier a few hundred nanoseconds: over 150 launches fit a token of 3.5 ms.
//!
//! A task computes the same bytes on any thread, so results do not depend on how many there are.

use crate::object::KernelFn;
use std::{
    hint::spin_loop,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

/// A launch with everything bound.
#[derive(Clone, Copy, Debug)]
pub struct BoundLaunch {
    pub kernel: KernelFn,
    /// The kernel's arguments, alive through the run.
    pub args: *const u64,
    pub tasks: usize,
    /// Everything launched before must have ended.
    pub barrier: bool,
}

/// Kernels keep dequantised panels of up to 1 MiB on the stack. The thread that calls runs tasks too: Rust's default of
/// 2 MiB is enough for it.
const STACK: usize = 4 << 20;

/// Polls before a waiting thread goes to sleep: about 50 us, longer than any imbalance between two launches and than the
/// sampling between two tokens, short enough that an idle decoder burns nothing.
const SPINS: usize = 2_000;

/// A list of launches and how far its workers are.
struct Run {
    launches: *const BoundLaunch,
    count: usize,
    /// For each launch and thread, the first task of the thread's range that nobody has taken.
    next: Vec<Counter>,
}

/// A counter on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Counter(AtomicUsize);

/// What the threads share.
struct Shared {
    threads: usize,
    run: AtomicPtr<Run>,
    /// Runs begun so far.
    generation: Counter,
    /// Arrivals at barriers so far, the end of a run included; it only grows.
    arrivals: Counter,
    sleepers: Counter,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// Threads that run launch lists; the calling thread is one of them.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    run: Box<Run>,
    /// Barriers passed so far.
    passed: usize,
}

// SAFETY: the raw pointers in `run` are set and used within one call of `Pool::run`.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool of `threads`, at least one.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            threads: threads.max(1),
            run: AtomicPtr::new(std::ptr::null_mut()),
            generation: Counter::default(),
            arrivals: Counter::default(),
            sleepers: Counter::default(),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let run = Box::new(Run { launches: std::ptr::null(), count: 0, next: vec![] });
        // Made first, so that an error below joins the threads that were started.
        let mut pool = Pool { shared: shared.clone(), workers: vec![], run, passed: 0 };
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
    /// Every kernel must be callable with its `args` for every task below its `tasks`, alone among the launches since
    /// the last barrier in writing what it writes.
    pub unsafe fn run(&mut self, launches: &[BoundLaunch]) {
        let shared = &*self.shared;
        let run = &mut *self.run;
        run.launches = launches.as_ptr();
        run.count = launches.len();
        let counters = launches.len() * shared.threads;
        if run.next.len() < counters {
            run.next.resize_with(counters, Counter::default);
        }
        for (launch, next) in launches.iter().zip(run.next.chunks_exact(shared.threads)) {
            for (thread, counter) in next.iter().enumerate() {
                counter.0.store(range(launch.tasks, shared.threads, thread).start, Ordering::Relaxed);
            }
        }
        shared.run.store(run, Ordering::Relaxed);
        shared.generation.0.fetch_add(1, Ordering::SeqCst);
        shared.notify();
        self.passed = shared.walk(run, self.passed, 0);
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

/// The tasks that belong to a thread.
pub(crate) fn range(tasks: usize, threads: usize, thread: usize) -> std::ops::Range<usize> {
    let start = |thread: usize| tasks / threads * thread + (tasks % threads).min(thread);
    start(thread)..start(thread + 1)
}

impl Shared {
    fn work(&self, thread: usize) {
        let (mut seen, mut passed) = (0, 0);
        loop {
            self.wait(|| self.generation.0.load(Ordering::SeqCst) != seen);
            seen += 1;
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            // SAFETY: `Pool::run` published the run before it raised the generation, and keeps it until all have arrived.
            let run = unsafe { &*self.run.load(Ordering::Relaxed) };
            passed = self.walk(run, passed, thread);
        }
    }

    /// Takes part in a run; returns the barriers passed so far.
    fn walk(&self, run: &Run, mut passed: usize, thread: usize) -> usize {
        // SAFETY: the slice outlives the run, as `Pool::run` waits for all threads.
        let launches = unsafe { std::slice::from_raw_parts(run.launches, run.count) };
        for (i, (launch, next)) in launches.iter().zip(run.next.chunks_exact(self.threads)).enumerate() {
            if launch.barrier && i > 0 {
                passed = self.meet(passed);
            }
            // Own tasks first, in order: neighbours read neighbouring weights, which the prefetchers follow. Then what
            // slower threads have left.
            for owner in (thread..self.threads).chain(0..thread) {
                let end = range(launch.tasks, self.threads, owner).end;
                loop {
                    let task = next[owner].0.fetch_add(1, Ordering::Relaxed);
                    if task >= end {
                        break;
                    }
                    // SAFETY: the caller of `Pool::run` vouches for kernel, arguments and task.
                    unsafe { (launch.kernel)(launch.args, task as u64) };
                }
            }
        }
        self.meet(passed)
    }

    /// Waits until all threads are here.
    fn meet(&self, passed: usize) -> usize {
        let passed = passed + 1;
        let all = passed * self.threads;
        if self.arrivals.0.fetch_add(1, Ordering::SeqCst) + 1 == all {
            self.notify();
        } else {
            self.wait(|| self.arrivals.0.load(Ordering::SeqCst) >= all);
        }
        passed
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

    /// Wakes sleepers, after the change that they wait for.
    fn notify(&self) {
        if self.sleepers.0.load(Ordering::SeqCst) > 0 {
            // A sleeper checks under the lock, so it has either seen the change or waits already.
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
