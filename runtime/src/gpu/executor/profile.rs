//! Runs a call with the time of each launch.

use super::Executor;
use crate::Result;
use std::time::Duration;
use wgpu::{
    BufferDescriptor, BufferUsages, ComputePassDescriptor, ComputePassTimestampWrites, QuerySet, QuerySetDescriptor,
    QueryType,
};

/// Maximum number of timestamps in a query set.
const QUERIES: usize = 4096;

impl Executor {
    /// Runs the bound call of a function, and adds the time of each launch to its kernel's.
    pub(super) fn run_profiled(&mut self, index: usize) -> Result<()> {
        let bound = &self.functions[index];
        let mut times = vec![];
        for dispatches in bound.dispatches.chunks(QUERIES / 2) {
            let count = 2 * dispatches.len() as u32;
            let set =
                self.gpu.device.create_query_set(&QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count });
            let mut encoder = self.encoder();
            for (i, dispatch) in dispatches.iter().enumerate() {
                let mut pass = encoder.begin_compute_pass(&timed(&set, 2 * i as u32));
                pass.set_pipeline(&self.kernels[dispatch.kernel].pipeline);
                pass.set_bind_group(0, &dispatch.group, &[]);
                pass.dispatch_workgroups(dispatch.grid[0], dispatch.grid[1], 1);
            }
            let bytes = 8 * u64::from(count);
            let resolved = self.gpu.device.create_buffer(&BufferDescriptor {
                label: Some("timestamps"),
                size: bytes,
                usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut read = self.read(vec![(resolved.clone(), bytes as usize)])?;
            encoder.resolve_query_set(&set, 0..count, &resolved, 0);
            read.copy(&mut encoder);
            self.gpu.queue.submit([encoder.finish()]);
            read.fetch(&self.gpu)?;
            let period = f64::from(self.gpu.queue.get_timestamp_period());
            let stamps: Vec<u64> = read.bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
            for (dispatch, stamps) in dispatches.iter().zip(stamps.as_chunks::<2>().0) {
                let nanoseconds = stamps[1].saturating_sub(stamps[0]) as f64 * period;
                times.push((dispatch.kernel, Duration::from_nanos(nanoseconds as u64)));
            }
        }
        if let Some(profile) = &mut self.profile {
            times.into_iter().for_each(|(kernel, time)| profile[kernel].add(time));
        }
        Ok(())
    }
}

/// A compute pass between timestamps `first` and `first + 1`.
fn timed(set: &QuerySet, first: u32) -> ComputePassDescriptor<'_> {
    ComputePassDescriptor {
        label: None,
        timestamp_writes: Some(ComputePassTimestampWrites {
            query_set: set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }),
    }
}
