//! Aligned, zeroed memory from the operating system.

use crate::{Error, Result};
use memmap2::{MmapMut, MmapOptions};

/// Zeroed bytes on page boundaries. A page takes physical memory from its first write on: a KV cache sized for the
/// whole context costs what has been decoded, until huge pages make it large.
#[derive(Debug)]
pub struct Memory {
    map: MmapMut,
    bytes: usize,
}

/// From here on, huge pages are asked for: a translation miss every 4 KiB costs a streaming kernel 10 % and more.
const HUGE: usize = 2 << 20;

impl Memory {
    /// `bytes` of zeros.
    ///
    /// # Errors
    /// If the operating system has no such range.
    pub fn zeroed(bytes: usize) -> Result<Memory> {
        Self::map(bytes, false)
    }

    /// The same for bytes that are all written and then read over and over, such as packed weights and long KV caches.
    ///
    /// # Errors
    /// If the operating system has no such range.
    pub fn streamed(bytes: usize) -> Result<Memory> {
        Self::map(bytes, bytes >= HUGE)
    }

    fn map(bytes: usize, huge: bool) -> Result<Memory> {
        let map = MmapOptions::new()
            .len(bytes.max(64))
            .no_reserve_swap()
            .map_anon()
            .map_err(|cause| Error::Memory { bytes, cause })?;
        #[cfg(target_os = "linux")]
        if huge {
            // Advice only: without it the same bytes are read, more slowly.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = huge;
        Ok(Memory { map, bytes })
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.map[..self.bytes]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map[..self.bytes]
    }

    /// The address that kernels are given. It stays the same until the memory is dropped.
    pub fn address(&self) -> u64 {
        self.map.as_ptr() as u64
    }
}

/// Bytes of physical memory; without bound where the system does not say.
pub fn physical() -> usize {
    // SAFETY: both are questions without side effects; -1 is no answer.
    let (pages, bytes) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (usize::try_from(pages), usize::try_from(bytes)) {
        (Ok(pages), Ok(bytes)) => pages.saturating_mul(bytes),
        _ => usize::MAX,
    }
}
