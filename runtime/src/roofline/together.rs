//! Times threads that start together.

use crate::{Error, Result};
use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Minimum number of repetitions, even if one exceeds the budget.
const LEAST: usize = 2;

/// Seconds from the first start to the last end of `work(thread)` on all `threads`, the best of the repetitions that
/// fit the budget. The calling thread is one of them.
///
/// # Errors
/// If the operating system gives no more threads.
pub(super) fn best(threads: usize, budget: Duration, work: impl Fn(usize) + Sync) -> Result<f64> {
    let race = Race::new(threads);
    thread::scope(|scope| {
        for thread in 1..threads {
            let (race, work) = (&race, &work);
            let worker = move || while race.run(|| work(thread)) {};
            if let Err(error) = thread::Builder::new().spawn_scoped(scope, worker) {
                race.stop.store(true, Ordering::SeqCst);
                return Err(Error::Threads { threads, error });
            }
        }
        let mut best = u64::MAX;
        for repetition in 1.. {
            race.begin.store(u64::MAX, Ordering::SeqCst);
            race.end.store(0, Ordering::SeqCst);
            race.run(|| work(0));
            best = best.min(race.end.load(Ordering::SeqCst) - race.begin.load(Ordering::SeqCst));
            if repetition >= LEAST && race.epoch.elapsed() >= budget {
                break;
            }
        }
        race.stop.store(true, Ordering::SeqCst);
        Ok(best as f64 * 1e-9)
    })
}

/// State shared by the threads.
struct Race {
    threads: usize,
    /// Arrivals at the barrier so far, for starts and ends; only grows.
    arrivals: AtomicUsize,
    stop: AtomicBool,
    epoch: Instant,
    /// Nanoseconds since `epoch`, of the first start and the last end of this repetition.
    begin: AtomicU64,
    end: AtomicU64,
}

impl Race {
    fn new(threads: usize) -> Race {
        let (arrivals, stop, epoch) = (AtomicUsize::new(0), AtomicBool::new(false), Instant::now());
        Race { threads, arrivals, stop, epoch, begin: AtomicU64::new(u64::MAX), end: AtomicU64::new(0) }
    }

    /// Takes part in one repetition; false if there are no more.
    fn run(&self, work: impl FnOnce()) -> bool {
        self.meet();
        if self.stop.load(Ordering::SeqCst) {
            return false;
        }
        // The minimum over all threads: a thread delayed here would otherwise measure less time than the others took.
        self.begin.fetch_min(self.now(), Ordering::SeqCst);
        work();
        self.end.fetch_max(self.now(), Ordering::SeqCst);
        self.meet();
        true
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Barrier of all threads. Polls, because a sleeping thread wakes up to a tenth of a millisecond late; yields now
    /// and then in case there are more threads than cores.
    fn meet(&self) {
        // An arrival belongs to the barrier that it completes.
        let all = (self.arrivals.fetch_add(1, Ordering::SeqCst) / self.threads + 1) * self.threads;
        let mut polls = 0u32;
        while self.arrivals.load(Ordering::SeqCst) < all && !self.stop.load(Ordering::SeqCst) {
            polls += 1;
            if polls.is_multiple_of(1 << 12) { thread::yield_now() } else { spin_loop() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_takes_part_in_every_repetition() {
        for threads in [1, 2, 5] {
            let counts: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            let seconds = best(threads, Duration::from_millis(3), |thread| {
                counts[thread].fetch_add(1, Ordering::Relaxed);
            });
            assert!(seconds.unwrap() < 10.0);
            let counts: Vec<usize> = counts.into_iter().map(AtomicUsize::into_inner).collect();
            assert!(counts[0] >= LEAST && counts.iter().all(|c| *c == counts[0]), "{counts:?}");
        }
    }
}
