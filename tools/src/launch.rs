// A name of the program `kforge`: starts it, from the folder that this one is in, under the name that this one has.

use std::{
    env,
    ffi::{c_char, c_int},
    io::Write,
    os::unix::process::CommandExt,
    process::Command,
};

/// Rust's own start would open what is closed of the standard streams, and `kforge` could not tell.
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
    // Nothing is left to say it with where this fails.
    let _ = std::io::stderr().write_all(format!("{name}: {error}\n").as_bytes());
    1
}
