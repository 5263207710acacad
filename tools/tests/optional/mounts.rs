//! The tuner's database on a file system that cannot be written to, or is full.

use crate::place::{Place, text, warnings};
use kforge_tuner::{Database, database};
use std::{fs, path::PathBuf, process::Command};

/// A file system of its own.
struct Mount(PathBuf);

impl Mount {
    fn new(place: &Place, options: &str) -> Mount {
        let at = place.path().join("mount");
        fs::create_dir(&at).unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(&at).status().unwrap();
        assert!(status.success());
        Mount(at)
    }

    fn again(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

pub fn a_read_only_directory_is_read() {
    let place = Place::tuned();
    drop(place.database());
    let (right, _) = place.selected();
    let mount = Mount::new(&place, "size=8m");
    fs::copy(place.file(), mount.0.join(database::FILE)).unwrap();
    mount.again("ro");
    let select = "--select-kernels=mode=cached-only threads=2";
    let run =
        |tool: &str, arguments: &[&str]| place.command(tool, arguments).env("KFORGE_CACHE", &mount.0).output().unwrap();
    let output = run("kforge-opt", &["m.mlir", "--kforge-fuse", select]);
    assert!(output.status.success() && text(&output.stdout).contains(right.trim()), "{}", text(&output.stderr));
    assert_eq!(warnings(&text(&output.stderr)), Vec::<&str>::new());
    let output = run("kforge-opt", &["m.mlir", "--kforge-fuse", "--select-kernels=mode=tune threads=2"]);
    assert!(output.status.success() && text(&output.stdout).contains(right.trim()), "{}", text(&output.stderr));
    assert!(warnings(&text(&output.stderr))[0].contains("cannot be written"), "{}", text(&output.stderr));
    let output = run("kforge-run", &["tune", "m.mlir"]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("cannot be written"));
    let output = run("kforge-run", &["tune", "--verify", "--threads", "2"]);
    assert!(output.status.success() && text(&output.stdout).starts_with("1 winners are right"), "{output:?}");
    let arguments = ["m.mlir", "--input", "random:1", "--random-globals", "2", "--compare", "reference"];
    let output = run("kforge-run", &[&arguments[..], &["--output", "y.npy", "--no-cache"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
}

pub fn a_full_disk_loses_nothing() {
    let place = Place::tuned();
    drop(place.database());
    let mount = Mount::new(&place, "size=512k");
    fs::copy(place.file(), mount.0.join(database::FILE)).unwrap();
    let rows = place.lines().len();
    // Whatever is left is filled, but for less than a page.
    let filler = mount.0.join("filler");
    let mut size = 512 << 10;
    while size > 0 {
        let _ = fs::write(&filler, vec![1; size]);
        if fs::metadata(&filler).is_ok_and(|m| m.len() == size as u64) {
            break;
        }
        size -= 4096;
    }
    let run = |arguments: &[&str]| {
        place.command("kforge-run", arguments).args(["--threads", "2"]).env("KFORGE_CACHE", &mount.0).output().unwrap()
    };
    let arguments = ["m.mlir", "--input", "random:1", "--random-globals", "2", "--compare", "reference"];
    let output = run(&[&arguments[..], &["--output", "y.npy", "--tuning", "tune"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run(&["tune", "--import", "rows.jsonl"]);
    let said = text(&output.stderr);
    assert!(output.status.success() || said.contains("tuning database"), "{said}");
    fs::remove_file(&filler).unwrap();
    let left = Database::open(&mount.0).unwrap().lines().unwrap();
    assert_eq!(left.len(), rows);
    assert!(left.iter().all(|line| line.row.check().is_ok()));
}
