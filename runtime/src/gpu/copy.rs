//! How fast a GPU copies: what every kernel that streams is set against.

use super::Gpu;
use crate::Result;
use std::time::{Duration, Instant};
use wgpu::{BufferDescriptor, BufferUsages, CommandEncoderDescriptor};

impl Gpu {
    /// 1e9 bytes a second, read and written, of copies between two buffers of half of `bytes` each: the best of as many
    /// submissions as `budget` takes, each of about ten milliseconds.
    ///
    /// # Errors
    /// If there is no memory for them, or the GPU fails.
    pub fn copy_gb_s(&self, bytes: u64, budget: Duration) -> Result<f64> {
        let limits = self.adapter.limits();
        let half = (bytes / 2).min(limits.max_buffer_size).next_multiple_of(4).max(4);
        let buffer = |label| {
            self.device.create_buffer(&BufferDescriptor {
                label: Some(label),
                size: half,
                usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let (from, to) = (buffer("copy from"), buffer("copy to"));
        self.check()?;
        let seconds = |copies: u64| -> Result<f64> {
            let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
            for _ in 0..copies {
                encoder.copy_buffer_to_buffer(&from, 0, &to, 0, half);
            }
            let commands = encoder.finish();
            let begin = Instant::now();
            self.queue.submit([commands]);
            self.wait()?;
            Ok(begin.elapsed().as_secs_f64())
        };
        // The first touches the memory.
        seconds(1)?;
        let copies = (0.01 / seconds(1)?).clamp(1.0, 1000.0) as u64;
        let (mut best, start) = (f64::INFINITY, Instant::now());
        loop {
            best = best.min(seconds(copies)?);
            if start.elapsed() >= budget {
                break;
            }
        }
        Ok(2.0 * (half * copies) as f64 / best / 1e9)
    }
}
