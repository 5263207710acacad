// Launcher of the program `kforge` under another name: starts it from the launcher's folder, passing the launcher's
// name.

use std::{
    env,
    ffi::{c_char, c_int},
    io::Write,
    os::unix::process::CommandExt,
    process::Command,
};

/// Rust's runtime would reopen closed standard streams, and `kforge` could not detect that they were closed.
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    let name = env!("CARGO_BIN_NAME");
    let here = env::current_exe().and_then(|file| file.canonicalize());
    let error = match here {
        Ok(file) => {
            let image = file.with_file_name("kforge");
            let error = Command::new(&image).arg0(name).args(env::args_os().skip(1)).exec();
            format!("{} cannot be started: {error}; it belongs beside {}", image.display(), file.display())
        }
        Err(error) => format!("the folder of this program cannot be found: {error}"),
    };
    // A failed write cannot be reported.
    let _ = std::io::stderr().write_all(format!("{name}: {error}\n").as_bytes());
    1
}
