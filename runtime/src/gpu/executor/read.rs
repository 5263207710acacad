//! Reads buffers back.

use super::Executor;
use crate::{Error, Result, gpu::Gpu};
use std::sync::mpsc;
use wgpu::{BufferDescriptor, BufferUsages, CommandEncoder, MapMode};

/// Prefixes of buffers, each at a word-aligned offset, and the staging buffer through which all are read back at once.
pub(super) struct Read {
    sources: Vec<(wgpu::Buffer, usize)>,
    staging: wgpu::Buffer,
    pub(super) bytes: Vec<u8>,
}

impl Executor {
    /// A staging buffer to read back the given number of bytes of each buffer.
    pub(super) fn read(&self, sources: Vec<(wgpu::Buffer, usize)>) -> Result<Read> {
        let bytes: usize = sources.iter().map(|(_, bytes)| bytes.next_multiple_of(4)).sum();
        let staging = self.gpu.device.create_buffer(&BufferDescriptor {
            label: Some("read back"),
            size: bytes.max(4) as u64,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.check()?;
        Ok(Read { sources, staging, bytes: vec![0; bytes] })
    }
}

impl Read {
    pub(super) fn copy(&self, encoder: &mut CommandEncoder) {
        let mut at = 0;
        for (source, bytes) in &self.sources {
            let size = bytes.next_multiple_of(4) as u64;
            encoder.copy_buffer_to_buffer(source, 0, &self.staging, at, size);
            at += size;
        }
    }

    /// Waits for the submitted commands and returns the copied results.
    pub(super) fn fetch(&mut self, gpu: &Gpu) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        self.staging.map_async(MapMode::Read, .., move |outcome| {
            // The receiver outlives the call unless waiting has failed, which is reported there.
            let _ = sender.send(outcome);
        });
        gpu.wait()?;
        let outcome = receiver.recv().map_err(|_| Error::Gpu("it did not answer".into()))?;
        outcome.map_err(|e| Error::Gpu(format!("results cannot be read back: {e}")))?;
        let view = self.staging.get_mapped_range(..).map_err(|e| Error::Gpu(format!("results are not mapped: {e}")))?;
        let length = self.bytes.len();
        self.bytes.copy_from_slice(&view[..length]);
        drop(view);
        self.staging.unmap();
        Ok(())
    }
}
