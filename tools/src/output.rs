//! Writes results: all files that the tools write, and standard output.
//!
//! After following links, the target of a path decides how it is written:
//!
//! | target | handling |
//! |---|---|
//! | nothing yet | written beside its name and renamed there, with the mode that the umask gives |
//! | a file | the same, with the old one's owner and mode |
//! | a file with more names (hard links), or whose folder or owner admits no new file | emptied and written in place |
//! | a pipe, a device, `/dev/stdout`, `/dev/fd/N` | written as it is, never replaced |
//! | a folder, a socket | an error |
//!
//! A renamed file is either complete or unchanged, however the process ends; a file written in place may be incomplete.

use anyhow::{Context as _, Result};
use kforge_dialect::RemovedOnSignal;
use std::{
    ffi::CString,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown},
        },
    },
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Maximum number of links in a path: as many as Linux follows.
const LINKS: usize = 40;

/// Writes a file as the table above describes.
///
/// # Errors
/// With the path and the system's cause.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::create(path)?;
    output.write_all(bytes).with_context(|| cannot(path))?;
    output.finish()
}

/// Checks that a path can be written, before the work whose result goes there.
///
/// # Errors
/// Those that [`write`] would give now.
pub fn check_place(path: &Path) -> Result<()> {
    place(path).map(drop).with_context(|| cannot(path))
}

/// Whether a path leads to a stream such as a pipe: writing a result there twice outputs it twice.
pub fn is_stream(path: &Path) -> bool {
    !matches!(place(path), Ok(Place::File { .. }))
}

fn cannot(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// A result being written. A file that is renamed appears with [`Output::finish`]; if dropped before, nothing is left.
pub struct Output {
    path: PathBuf,
    to: To,
}

enum To {
    Renamed { temporary: NamedTempFile<Temporary>, target: PathBuf, exists: bool },
    Through(File),
}

struct Temporary {
    file: File,
    _removed: Option<RemovedOnSignal>,
}

impl Output {
    /// Opens what a path leads to.
    ///
    /// # Errors
    /// With the path and the system's cause.
    pub fn create(path: &Path) -> Result<Output> {
        let to = To::open(path).with_context(|| cannot(path))?;
        Ok(Output { path: path.to_owned(), to })
    }

    /// The file that is written, under another name than its own until it is finished.
    pub fn name(&self) -> &Path {
        match &self.to {
            To::Renamed { temporary, .. } => temporary.path(),
            To::Through(_) => &self.path,
        }
    }

    /// Puts the result in place.
    ///
    /// # Errors
    /// With the path and the system's cause.
    pub fn finish(self) -> Result<()> {
        self.to.finish().with_context(|| cannot(&self.path))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Renamed { temporary, .. } => temporary.as_file_mut().file.write(bytes),
            To::Through(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl To {
    fn open(path: &Path) -> io::Result<To> {
        let (target, old) = match place(path)? {
            Place::Open(descriptor) => return Ok(To::Through(descriptor.into())),
            Place::Special(target) => return Ok(To::Through(OpenOptions::new().write(true).open(target)?)),
            Place::File { target, old } => (target, old),
        };
        let in_place = || Ok(To::Through(OpenOptions::new().write(true).truncate(true).open(&target)?));
        if old.as_ref().is_some_and(|old| old.nlink() > 1) {
            return in_place();
        }
        match temporary(&target, old.as_ref()) {
            Ok(temporary) => Ok(To::Renamed { temporary, exists: old.is_some(), target }),
            // A new file cannot be created in this folder or for this owner; the old one may still be writable.
            Err(error) if old.is_some() && is_denied(&error) => in_place(),
            Err(error) => Err(error),
        }
    }

    fn finish(self) -> io::Result<()> {
        let To::Renamed { temporary, target, exists } = self else { return Ok(()) };
        match temporary.persist(&target) {
            Ok(_) => Ok(()),
            // A file that is a mount point, as containers mount single files, can be written but not replaced.
            Err(error) if exists && (is_denied(&error.error) || error.error.kind() == ErrorKind::ResourceBusy) => {
                let mut whole = File::open(error.file.path())?;
                io::copy(&mut whole, &mut OpenOptions::new().write(true).truncate(true).open(&target)?).map(drop)
            }
            Err(error) => Err(error.error),
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// A file beside `target`, of its owner and mode.
fn temporary(target: &Path, old: Option<&Metadata>) -> io::Result<NamedTempFile<Temporary>> {
    let open = |path: &Path| {
        // Registered before the file exists, so that no signal comes in between.
        let removed = RemovedOnSignal::new(path);
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Temporary { file, _removed: removed })
    };
    let temporary = tempfile::Builder::new().make_in(folder(target), open)?;
    if let Some(old) = old {
        let file = &temporary.as_file().file;
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    Ok(temporary)
}

/// The target of a path.
enum Place {
    /// An open file of this process, under another descriptor.
    Open(OwnedFd),
    /// A target that is written in place.
    Special(PathBuf),
    /// A file, or the name for one.
    File { target: PathBuf, old: Option<Metadata> },
}

/// Follows a path, and asks whether it can be written.
fn place(path: &Path) -> io::Result<Place> {
    let mut target = path.to_owned();
    for _ in 0..=LINKS {
        if let Some(number) = descriptor(&target) {
            // SAFETY: the descriptor is borrowed for the call alone, which fails where it is not open.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            return Ok(Place::Open(descriptor.try_clone_to_owned()?));
        }
        let old = match fs::symlink_metadata(&target) {
            Ok(found) if found.is_symlink() => {
                target = folder(&target).join(fs::read_link(&target)?);
                continue;
            }
            Ok(found) if found.is_dir() => return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder")),
            Ok(found) if found.file_type().is_socket() => {
                return Err(io::Error::new(ErrorKind::Unsupported, "it is a socket"));
            }
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound && target.file_name().is_some() => {
                let folder = folder(&target);
                if !folder.is_dir() {
                    let message = format!("{} is no folder", folder.display());
                    return Err(io::Error::new(ErrorKind::NotFound, message));
                }
                may_write(folder)?;
                return Ok(Place::File { target, old: None });
            }
            Err(error) => return Err(error),
        };
        may_write(&target)?;
        return Ok(if old.is_file() { Place::File { target, old: Some(old) } } else { Place::Special(target) });
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The descriptor that a path like `/dev/fd/3` names; `/dev/stdout` is a link to one.
fn descriptor(path: &Path) -> Option<i32> {
    let number = i32::from(path.file_name()?.to_str()?.parse::<u16>().ok()?);
    let folder = fs::canonicalize(folder(path)).ok()?;
    let is_of_descriptors =
        folder == Path::new("/dev/fd") || fs::canonicalize("/proc/self/fd").is_ok_and(|own| own == folder);
    is_of_descriptors.then_some(number)
}

fn may_write(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is zero-terminated.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::W_OK, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Standard output, unbuffered. Its errors are the system's: Rust's own says nothing where it is closed.
///
/// # Errors
/// If it cannot be opened.
pub fn standard() -> Result<File> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned();
    descriptor.map(File::from).context(STANDARD)
}

/// Prefix of errors of standard output.
pub const STANDARD: &str = "standard output cannot be written";

/// Writes to standard output. `println!` panics where that is full.
///
/// # Errors
/// With the system's cause.
pub fn print(bytes: &[u8]) -> Result<()> {
    standard()?.write_all(bytes).context(STANDARD)
}

/// Prints a line to standard output, or returns the error.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::print((format!($($text)*) + "\n").as_bytes()) };
}

/// Prints a line to standard error; a failure cannot be reported.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => {{
        use ::std::io::Write as _;
        let _ = ::std::io::stderr().write_all((format!($($text)*) + "\n").as_bytes());
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, os::unix::fs::symlink, process::Command, thread};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode()
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    fn made(program: &str, path: &Path, arguments: &[&str]) -> bool {
        Command::new(program).arg(path).args(arguments).stderr(std::process::Stdio::null()).status().unwrap().success()
    }

    #[test]
    fn files_are_replaced_with_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (new, plain) = (folder.path().join("new"), folder.path().join("plain"));
        File::create(&plain).unwrap();
        write(&new, b"1").unwrap();
        assert_eq!(mode(&new), mode(&plain), "the umask's");
        fs::set_permissions(&new, Permissions::from_mode(0o640)).unwrap();
        let before = fs::metadata(&new).unwrap().ino();
        write(&new, b"22").unwrap();
        assert_eq!((fs::read(&new).unwrap(), mode(&new) & 0o7777), (b"22".to_vec(), 0o640));
        assert_ne!(fs::metadata(&new).unwrap().ino(), before, "renamed");
        // Dropped without `finish`, it leaves nothing.
        let mut output = Output::create(&new).unwrap();
        output.write_all(b"333").unwrap();
        drop(output);
        assert_eq!(fs::read(&new).unwrap(), b"22");
        assert_eq!(files(folder.path()), 2);
    }

    #[test]
    fn links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        fs::write(at("inner/real"), b"old").unwrap();
        fs::hard_link(at("inner/real"), at("other")).unwrap();
        symlink("inner/real", at("link")).unwrap();
        symlink(at("link"), at("absolute")).unwrap();
        write(&at("absolute"), b"new").unwrap();
        for name in ["inner/real", "other", "link", "absolute"] {
            assert_eq!(fs::read(at(name)).unwrap(), b"new", "{name}");
        }
        assert!(at("link").is_symlink() && at("absolute").is_symlink());
        // Writing to a dangling link creates its target.
        symlink("inner/made", at("dangling")).unwrap();
        write(&at("dangling"), b"made").unwrap();
        assert_eq!(fs::read(at("inner/made")).unwrap(), b"made");
        assert!(at("dangling").is_symlink());
        symlink("loop", at("loop")).unwrap();
        assert!(write(&at("loop"), b"").is_err());
    }

    #[test]
    fn pipes_and_devices_are_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(made("mkfifo", &pipe, &[]));
        check_place(&pipe).unwrap();
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        assert!(is_stream(&pipe));
        // A device node, if the test may create one.
        let null = folder.path().join("null");
        if made("mknod", &null, &["c", "1", "3"]) && OpenOptions::new().write(true).open(&null).is_ok() {
            write(&null, b"gone").unwrap();
            assert!(fs::symlink_metadata(&null).unwrap().file_type().is_char_device());
        }
    }

    #[test]
    fn descriptors_are_the_open_file() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap();
        file.write_all(b"one ").unwrap();
        let link = folder.path().join("link");
        symlink(format!("/dev/fd/{}", file.as_raw_fd()), &link).unwrap();
        write(&link, b"two").unwrap();
        file.write_all(b" three").unwrap();
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two three");
        assert!(write(Path::new("/dev/fd/987654"), b"").is_err());
    }

    #[test]
    fn errors_name_the_place_and_the_cause() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| {
            let error = format!("{:#}", write(path, b"").unwrap_err());
            assert_eq!(format!("{:#}", check_place(path).unwrap_err()), error);
            error.strip_prefix(&path.display().to_string()).unwrap().to_owned()
        };
        assert_eq!(error(folder.path()), " cannot be written: it is a folder");
        let inner = folder.path().join("none");
        assert_eq!(error(&inner.join("file")), format!(" cannot be written: {} is no folder", inner.display()));
        assert!(error(Path::new("")).contains("No such file"));
        fs::write(&inner, b"").unwrap();
        assert!(error(&inner.join("file")).contains("Not a directory"));
        assert_eq!(files(folder.path()), 1);
    }
}
