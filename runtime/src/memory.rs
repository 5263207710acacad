//! Aligned, zeroed memory from the operating system.

use crate::{Error, Result};
use memmap2::{MmapMut, MmapOptions};

/// Zeroed, page-aligned bytes. A page takes physical memory at its first write: a KV cache sized for the whole context
/// costs only what has been decoded, unless it is large enough for huge pages.
#[derive(Debug)]
pub struct Memory {
    map: MmapMut,
    bytes: usize,
}

/// From this size on, huge pages are requested: with a TLB miss every 4 KiB a streaming kernel is 10 % slower or more.
const HUGE: usize = 2 << 20;

impl Memory {
    /// `bytes` of zeros.
    ///
    /// # Errors
    /// If the operating system has no such range.
    pub fn zeroed(bytes: usize) -> Result<Memory> {
        Self::map(bytes, false)
    }

    /// The same, with huge pages for large sizes, for bytes that are all written and then read repeatedly, such as
    /// packed weights and long KV caches.
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
            .map_err(|error| Error::Memory { bytes, error })?;
        #[cfg(target_os = "linux")]
        if huge {
            // Only a hint: if it fails, reading is slower.
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

    /// The address passed to kernels. It stays the same until the memory is dropped.
    pub fn address(&self) -> u64 {
        self.map.as_ptr() as u64
    }
}

/// Bytes of physical memory; `usize::MAX` if the system does not report it.
pub fn physical() -> usize {
    // SAFETY: both are queries without side effects; -1 means no answer.
    let (pages, bytes) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (usize::try_from(pages), usize::try_from(bytes)) {
        (Ok(pages), Ok(bytes)) => pages.saturating_mul(bytes),
        _ => usize::MAX,
    }
}
