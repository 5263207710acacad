//! Compiled objects on disk.
//!
//! An entry is a file named by the hash of all inputs that determine it, and contains a hash of its own bytes: a
//! damaged entry is ignored. Entries are written to a temporary file and renamed, so several processes may share a
//! directory, and a killed process leaves nothing behind that would be read.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Magic number of an entry; the digit is the version of this format.
const MAGIC: &[u8; 8] = b"KFOBJ\0\x001";

/// The user's cache directory of KernelForge: `$KFORGE_CACHE`, or `kernelforge` in the system's cache directory.
pub fn directory() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(directory) = set("KFORGE_CACHE") {
        return Some(directory);
    }
    if let Some(directory) = set("XDG_CACHE_HOME") {
        return Some(directory.join("kernelforge"));
    }
    let caches = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    Some(set("HOME")?.join(caches).join("kernelforge"))
}

/// A directory of entries.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub fn new(directory: impl Into<PathBuf>) -> Cache {
        Cache { directory: directory.into() }
    }

    /// The key of an entry derived from `parts`, each hashed with its length.
    pub fn key<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().to_hex().to_string()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.kfobj"))
    }

    /// The value and bytes stored under `key`; `None` if there is no entry or it is damaged.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<(T, Vec<u8>)> {
        let file = fs::read(self.path(key)).ok()?;
        let rest = file.strip_prefix(MAGIC)?;
        let (hash, payload) = rest.split_at_checked(blake3::OUT_LEN)?;
        if blake3::hash(payload).as_bytes() != hash {
            return None;
        }
        let (length, rest) = payload.split_at_checked(8)?;
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let (value, bytes) = rest.split_at_checked(length)?;
        Some((serde_json::from_slice(value).ok()?, bytes.to_vec()))
    }

    /// Stores a value and bytes under `key`.
    ///
    /// # Errors
    /// If the directory cannot be created or written; existing entries are not lost.
    pub fn put<T: Serialize>(&self, key: &str, value: &T, bytes: &[u8]) -> io::Result<()> {
        let value = serde_json::to_vec(value)?;
        let mut payload = (value.len() as u64).to_le_bytes().to_vec();
        payload.extend(value);
        payload.extend(bytes);
        fs::create_dir_all(&self.directory)?;
        write_whole(&self.path(key), &[MAGIC, blake3::hash(&payload).as_bytes(), &payload])
    }
}

/// Writes an entry next to its destination and renames it. The path belongs to the cache, so a link that is there is
/// replaced, as a damaged entry would be.
fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A temporary file's error ends with its own path, but the reader of the message expects another.
    let plain = |e: io::Error| match e.to_string().split_once(" at path ") {
        Some((cause, _)) => io::Error::new(e.kind(), cause),
        None => e,
    };
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(plain)?;
    parts.iter().try_for_each(|part| file.write_all(part)).map_err(plain)?;
    file.persist(path).map_err(|e| plain(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_parts_apart() {
        assert_ne!(Cache::key([&b"ab"[..], b"c"]), Cache::key([&b"a"[..], b"bc"]));
        assert_eq!(Cache::key([&b"ab"[..]]), Cache::key([&b"ab"[..]]));
    }

    #[test]
    fn damaged_entries_are_no_entries() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("objects"));
        assert!(cache.get::<String>("k").is_none());
        cache.put("k", &"value".to_owned(), b"object").unwrap();
        assert_eq!(cache.get::<String>("k"), Some(("value".to_owned(), b"object".to_vec())));
        let path = cache.path("k");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(cache.get::<String>("k").is_none(), "cut at {length}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, &flipped).unwrap();
            assert!(cache.get::<String>("k").is_none(), "flipped at {at}");
        }
        cache.put("k", &"again".to_owned(), b"").unwrap();
        assert_eq!(cache.get::<String>("k"), Some(("again".to_owned(), vec![])));
    }
}
