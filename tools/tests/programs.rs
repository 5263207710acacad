//! The programs among other programs: full and closed outputs, signals, links and pipes as outputs, and names of any bytes.

#[path = "programs/models.rs"]
mod models;
#[path = "programs/place.rs"]
mod place;

use place::{KERNEL, MODULE, Place, text};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const SIGINT: i32 = 2;
const SIGPIPE: i32 = 13;

/// Every option that names one file to write, and how the file begins.
const OUTPUTS: [(&str, &[u8]); 6] = [
    ("kforge-run m.mlir --input random:1 --output OUT", b"\x93NUMPY"),
    ("kforge-run compile m.mlir --emit asm --output OUT", b"\t"),
    ("kforge-run generate --model random:tiny --prompt a --max-tokens 1 --dump-logits OUT", b"\x93NUMPY"),
    ("kforge-run tune --export OUT", b""),
    ("kforge-opt m.mlir --canonicalize -o OUT", b"module"),
    ("kforge-translate --mlir-to-wgsl k.mlir -o OUT", b"// Kernel k"),
];

#[test]
fn outputs_go_where_their_paths_lead() {
    for (line, begins) in OUTPUTS {
        let place = Place::new();
        let written = |out: &Path| {
            let output = place.run(line, out);
            assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        };
        // A link, and the file's mode.
        fs::write(place.path("real"), b"old").unwrap();
        fs::set_permissions(place.path("real"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real", place.path("link")).unwrap();
        written(&place.path("link"));
        assert!(place.path("link").is_symlink(), "{line}");
        assert!(fs::read(place.path("real")).unwrap().starts_with(begins), "{line}");
        assert_eq!(fs::metadata(place.path("real")).unwrap().mode() & 0o7777, 0o640, "{line}");
        // A second name.
        fs::hard_link(place.path("real"), place.path("other")).unwrap();
        fs::write(place.path("other"), b"old").unwrap();
        written(&place.path("real"));
        assert!(fs::read(place.path("other")).unwrap().starts_with(begins), "{line}");
        // A new file has the umask's mode.
        written(&place.path("new"));
        fs::write(place.path("plain"), b"").unwrap();
        let mode = |name| fs::metadata(place.path(name)).unwrap().mode();
        assert_eq!(mode("new"), mode("plain"), "{line}");
        // A pipe.
        let pipe = place.path("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        written(&pipe);
        assert!(reader.join().unwrap().starts_with(begins), "{line}");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "{line}");
        // A device, where one may be made.
        let null = place.path("null");
        let made = Command::new("mknod").arg(&null).args(["c", "1", "3"]).stderr(Stdio::null()).status().unwrap();
        if made.success() && fs::OpenOptions::new().write(true).open(&null).is_ok() {
            written(&null);
            assert!(fs::symlink_metadata(&null).unwrap().file_type().is_char_device(), "{line}");
        }
        // Standard output.
        let output = place.run(line, "/dev/stdout");
        assert!(output.status.success() && output.stdout.windows(begins.len().max(1)).any(|w| w.starts_with(begins)));
        // What cannot be written is said once, and leaves nothing.
        let before = place.names();
        for (out, cause) in [("none/out", "none is no folder"), (".", "it is a folder")] {
            let output = place.run(line, out);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{line} {out}");
            let said: Vec<&str> = said.lines().filter(|line| !line.contains("are random")).collect();
            assert_eq!(said.len(), 1, "{line}: {said:?}");
            assert!(said[0].ends_with(&format!(": {out} cannot be written: {cause}")), "{line}: {said:?}");
        }
        assert_eq!(place.names(), before, "{line}");
    }
}

/// What fails leaves the file as it was.
#[test]
fn a_failure_keeps_the_old_file() {
    let place = Place::new();
    fs::write(place.path("bad.mlir"), "func.func @f() { return 1 }").unwrap();
    fs::write(place.path("out"), b"old").unwrap();
    let before = place.names();
    for line in ["kforge-opt bad.mlir -o OUT", "kforge-run compile bad.mlir --emit asm -o OUT"] {
        assert_eq!(place.run(line, "out").status.code(), Some(1), "{line}");
        assert_eq!(fs::read(place.path("out")).unwrap(), b"old", "{line}");
    }
    assert_eq!(place.names(), before);
}

/// Commands that print, little or much.
const PRINTS: [&str; 12] = [
    "kforge-opt large.mlir",
    "kforge-opt --help",
    "kforge-opt --show-passes",
    "kforge-opt --show-passes=markdown",
    "kforge-run --help",
    "kforge-run --version",
    "kforge-run inspect m.mlir",
    "kforge-run asm m.mlir",
    "kforge-run m.mlir --input random:1",
    "kforge-run emit-mlir",
    "kforge-run generate --model random:tiny --prompt a --max-tokens 2",
    "kforge-translate --mlir-to-wgsl k.mlir",
];

#[test]
fn a_full_output_is_one_line() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let place = Place::new();
    for line in PRINTS {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = place.command(line, OsStr::new("")).stdout(full).output().unwrap();
        says_why(&output, line, "No space left on device");
    }
}

/// Fails unless a program ended with 1 and one line: that standard output cannot be written, and the cause.
fn says_why(output: &Output, line: &str, cause: &str) {
    let program = line.split(' ').next().unwrap();
    let said = text(&output.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.contains("are random")).collect();
    assert_eq!(output.status.code(), Some(1), "{line}: {said:?}");
    let expected = format!("{program}: standard output cannot be written: {cause}");
    assert!(matches!(said[..], [said] if said.starts_with(&expected)), "{line}: {said:?}");
}

#[test]
fn a_missing_output_is_one_line() {
    let place = Place::new();
    for line in PRINTS {
        let command = place.command(line, OsStr::new(""));
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" >&-", "sh"]).arg(command.get_program()).args(command.get_args());
        let output = shell.current_dir(place.folder.path()).env("KFORGE_CACHE", place.path("cache")).output().unwrap();
        says_why(&output, line, "Bad file descriptor");
    }
}

#[test]
fn a_full_standard_error_is_no_panic() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let place = Place::new();
    for line in ["kforge-run none.mlir", "kforge-translate --mlir-to-wgsl none.mlir", "kforge-run --nothing"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = place.command(line, OsStr::new("")).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(1), "{line}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_in_silence() {
    let place = Place::new();
    for line in PRINTS {
        let mut child =
            place.command(line, OsStr::new("")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{line}: {}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.lines().all(|line| line.contains("are random")), "{line}: {said}");
    }
    // Of a filter's reader that has read.
    let mut child = place.command("kforge-opt large.mlir", OsStr::new("")).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "module {\n");
    assert_eq!(child.wait().unwrap().signal(), Some(SIGPIPE));
}

fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_interrupt_leaves_nothing() {
    let place = Place::new();
    fs::write(place.path("out"), b"old").unwrap();
    let before = place.names();
    // It waits for its input, with its output begun.
    let mut child = place.command("kforge-opt - -o OUT", OsStr::new("out")).stdin(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while place.names() == before {
        assert!(begin.elapsed() < Duration::from_secs(60), "no output was begun");
        thread::sleep(Duration::from_millis(10));
    }
    interrupt(&child);
    assert_eq!(child.wait().unwrap().signal(), Some(SIGINT));
    assert_eq!((fs::read(place.path("out")).unwrap(), place.names()), (b"old".to_vec(), before));

    for line in ["kforge-run -", "kforge-translate --mlir-to-wgsl -", "kforge-lsp"] {
        let mut child = place.command(line, OsStr::new("")).stdin(Stdio::piped()).spawn().unwrap();
        // It waits for its input soon, and ends the same before.
        thread::sleep(Duration::from_millis(200));
        interrupt(&child);
        assert_eq!(child.wait().unwrap().signal(), Some(SIGINT), "{line}");
    }
}

#[test]
fn names_are_any_bytes() {
    let place = Place::new();
    let name = |end: &str| OsStr::from_bytes(&[b"\xff\xfe", end.as_bytes()].concat()).to_owned();
    if fs::write(place.path(name(".mlir")), MODULE).is_err() {
        // Not on every file system.
        return;
    }
    fs::write(place.path(name(".wgsl.mlir")), KERNEL).unwrap();
    let good = |program: &str, arguments: &[OsString]| {
        let output = place.command(program, OsStr::new("")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
        output
    };
    let file = name(".mlir");
    good("kforge-opt", &[file.clone(), "-o".into(), name(".out")]);
    assert!(fs::read(place.path(name(".out"))).unwrap().starts_with(b"module"));
    good("kforge-translate", &["--mlir-to-wgsl".into(), name(".wgsl.mlir"), "-o".into(), name(".wgsl")]);
    good("kforge-run", &[file.clone(), "--input".into(), "random:1".into(), "--output".into(), name(".npy")]);
    let again = good("kforge-run", &[file.clone(), "--input".into(), name(".npy")]);
    assert!(text(&again.stdout).contains("sizes = [2, 4]"));
    good("kforge-run", &["inspect".into(), file.clone()]);
    good("kforge-run", &["asm".into(), file.clone()]);
    good("kforge-run", &["compile".into(), file, "-o".into(), name(".o"), "--dump-ir".into(), name(".ir")]);
    // What is no file at all is an error, and no panic.
    for program in ["kforge-opt", "kforge-run", "kforge-translate", "kforge-reduce"] {
        let output = place.command(program, OsStr::new("")).arg(name(".none")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{program}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("panicked"), "{program}: {}", text(&output.stderr));
    }
}

#[test]
fn bytecode_is_read_as_text_is() {
    let place = Place::new();
    let bytes = |file: &str| {
        let output = place.run(&format!("kforge-opt {file} --emit-bytecode"), "");
        assert!(output.stdout.starts_with(b"ML\xefR"), "{}", text(&output.stderr));
        output.stdout
    };
    fs::write(place.path("m.mlirbc"), bytes("m.mlir")).unwrap();
    fs::write(place.path("k.mlirbc"), bytes("k.mlir")).unwrap();
    for line in [
        "kforge-run FILE --input random:1 --target reference",
        "kforge-run compile FILE --emit llvm",
        "kforge-run asm FILE",
        "kforge-run inspect FILE",
    ] {
        let with = |file: &str| place.run(&line.replace("FILE", file), "");
        let (expected, actual) = (with("m.mlir"), with("m.mlirbc"));
        assert!(actual.status.success(), "{line}: {}", text(&actual.stderr));
        // But for the address of a result.
        let tail = |output: &Output| text(&output.stdout).split_once("sizes").map_or(String::new(), |(_, t)| t.into());
        match line.contains("--input") {
            true => assert_eq!(tail(&actual), tail(&expected), "{line}"),
            false => assert_eq!(text(&actual.stdout), text(&expected.stdout), "{line}"),
        }
        let mut child = place.command(&line.replace("FILE", "-"), OsStr::new(""));
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&fs::read(place.path("m.mlirbc")).unwrap()).unwrap();
        assert!(child.wait().unwrap().success(), "{line} of standard input");
    }
    let wgsl = |file: &str| place.run(&format!("kforge-translate --mlir-to-wgsl {file}"), "").stdout;
    assert_eq!(text(&wgsl("k.mlirbc")), text(&wgsl("k.mlir")));
    // What is cut short is an error.
    let whole = fs::read(place.path("m.mlirbc")).unwrap();
    fs::write(place.path("cut.mlirbc"), &whole[..whole.len() / 2]).unwrap();
    let output = place.run("kforge-run cut.mlirbc --input random:1", "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("cut.mlirbc:"), "{}", text(&output.stderr));
}

/// The version of the dialect is a section of bytecode: its number 7, its length 2, then major and minor, each number n as
/// `2 n + 1`.
#[test]
fn bytecode_of_a_newer_dialect_is_refused() {
    let place = Place::new();
    let output = place.run("kforge-opt m.mlir --emit-bytecode", "");
    let number = |n: u8| 2 * n + 1;
    let [section, length] = [7, number(2)];
    let version = [section, length, number(1), number(1)];
    let at: Vec<usize> =
        output.stdout.windows(4).enumerate().filter(|(_, w)| *w == version).map(|(at, _)| at).collect();
    let [at] = at[..] else { panic!("the version stands at {at:?}") };
    for (major, minor, newer) in [(1, 0, false), (0, 63, false), (1, 1, false), (1, 2, true), (2, 0, true)] {
        let mut bytes = output.stdout.clone();
        (bytes[at + 2], bytes[at + 3]) = (number(major), number(minor));
        fs::write(place.path("m.mlirbc"), bytes).unwrap();
        for line in ["kforge-opt m.mlirbc", "kforge-run m.mlirbc --input random:1 --target reference"] {
            let output = place.run(line, "");
            let said = text(&output.stderr);
            assert_eq!(output.status.success(), !newer, "{line}: {said}");
            let error = format!(
                "error: written by version {major}.{minor} of the dialect 'transformer', and this is 1.1; use a newer kforge-opt"
            );
            assert_eq!(said.contains(&error), newer, "{line}: {said}");
        }
    }
}

/// Compiles a file of examples/plugins as its header says.
fn plugin(place: &Place, name: &str) -> PathBuf {
    let prefix = option_env!("LLVM_SYS_221_PREFIX").unwrap_or("/usr/lib/llvm-22");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/plugins/{name}.cpp"));
    let library = place.path(format!("{name}.so"));
    let compiler = env::var_os("CXX").unwrap_or("c++".into());
    let flags = ["-std=c++17", "-shared", "-fPIC", "-fno-rtti", "-fno-exceptions", "-DNDEBUG", "-w"];
    let status = Command::new(compiler)
        .args(flags)
        .arg(format!("-I{prefix}/include"))
        .arg(source)
        .arg("-o")
        .arg(&library)
        .status();
    assert!(status.expect("a C++ compiler; run `make setup`").success(), "{name}.cpp");
    library
}

/// The plugins of examples/plugins, built against LLVM's headers, as mlir-opt loads them.
#[test]
fn plugins_are_loaded() {
    let place = Place::new();
    let run = |line: String| place.command(&line, OsStr::new("")).output().unwrap();
    let pass = plugin(&place, "count_transformer");
    let pass = pass.display();
    let counted = run(format!(
        "kforge-opt m.mlir --load-pass-plugin={pass} --pass-pipeline=builtin.module(count-transformer,kforge-fuse)"
    ));
    assert!(counted.status.success(), "{}", text(&counted.stderr));
    assert!(text(&counted.stderr).contains("remark: 1 ops of the transformer dialect"), "{}", text(&counted.stderr));

    fs::write(place.path("h.mlir"), "\"hello.world\"() : () -> ()").unwrap();
    let dialect = plugin(&place, "hello_dialect");
    let known = run(format!("kforge-opt h.mlir --load-dialect-plugin={}", dialect.display()));
    assert!(known.status.success(), "{}", text(&known.stderr));
    assert!(!run("kforge-opt h.mlir".into()).status.success());

    // mlir-opt says so and goes on.
    let missing = run("kforge-opt m.mlir --load-pass-plugin=none.so".into());
    assert!(text(&missing.stderr).contains("none.so"), "{}", text(&missing.stderr));
}
