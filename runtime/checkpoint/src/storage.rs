//! A file's bytes: memory-mapped, or owned.

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

/// The bytes of a checkpoint file.
#[derive(Debug)]
pub enum Storage {
    /// A memory-mapped file: its pages are loaded when they are read.
    Mapped(Mmap),
    /// Bytes in memory.
    Owned(Vec<u8>),
}

impl Storage {
    /// Maps a file.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, or is not a regular file.
    pub fn open(path: &Path) -> io::Result<Storage> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the mapping is shared and read-only, and lives as long as the slices borrowed from it. Sound as long
        // as nobody writes to the file or truncates it meanwhile, which no reader of mapped files can rule out: model
        // files are written once and then replaced, not edited.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Storage::Mapped(map))
    }

    /// Tells the operating system that the pages of `range` (bytes) are not needed any more. Only whole pages inside
    /// the range are given back, so its neighbours stay; reading the range again reads the disk again. Does nothing for
    /// owned bytes, and nothing for a range that lies outside the file.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Storage::Mapped(map) = self {
            let page = page_size();
            let from = range.start.checked_next_multiple_of(page);
            // The last page of the file is whole too: nothing follows it.
            let to = if range.end == map.len() { range.end } else { range.end / page * page };
            if let Some(from) = from
                && from < to
                && to <= map.len()
            {
                // SAFETY: the range lies in the map, which is a shared, read-only mapping of a file: pages that are
                // dropped come back from the file with the same bytes. The advice may fail; then the pages stay.
                let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from) };
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl From<Vec<u8>> for Storage {
    fn from(bytes: Vec<u8>) -> Self {
        Storage::Owned(bytes)
    }
}

impl Deref for Storage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Storage::Mapped(map) => map,
            Storage::Owned(bytes) => bytes,
        }
    }
}

#[cfg(unix)]
fn page_size() -> usize {
    // SAFETY: sysconf reads a constant of the system and touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // 64 KiB is the largest base page in use, so a multiple of whatever the page is.
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(1 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_bytes_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bytes");
        let bytes: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let storage = Storage::open(&path).unwrap();
        for range in [0..100_000, 1..99_999, 5..6, 90_000..100_000, 0..usize::MAX, usize::MAX..usize::MAX, 7..7] {
            storage.release(range);
            assert_eq!(storage[..], bytes);
        }
    }

    #[test]
    fn owned_bytes_ignore_a_release() {
        let storage = Storage::from(vec![1, 2, 3]);
        storage.release(0..3);
        assert_eq!(storage[..], [1, 2, 3]);
    }

    #[test]
    fn a_directory_is_no_file() {
        assert!(Storage::open(&std::env::temp_dir()).is_err());
    }
}
