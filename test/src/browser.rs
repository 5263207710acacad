//! Compiles shaders in a browser: headless Chromium checks that its WebGPU accepts them.
//!
//! One Chromium runs as long as the process. Its page repeatedly requests shaders from the server here, and posts the
//! browser's messages for each; a request is left pending while there is nothing to compile. WebGPU runs on
//! SwiftShader, the software that Chromium includes, so no GPU is needed; it has subgroups but no f16.

use crate::need::Need;
use kforge_lowering::to_wgsl::{Argument, Shader};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Time limit for the shaders of a test.
const PATIENCE: Duration = Duration::from_secs(300);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS: [&str; 4] =
    ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// How far a browser compiles a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To a module: parsing, types and uniformity are checked.
    Module,
    /// To a pipeline of SwiftShader, which takes ten times as long: the adapter's limits are checked too.
    Pipeline,
}

/// The page's answer.
#[derive(Deserialize)]
struct Answer {
    failure: Option<String>,
    adapter: Option<String>,
    /// Indices of rejected shaders, and their errors.
    #[serde(default)]
    errors: Vec<(usize, String)>,
}

/// Compiles shaders to modules, each text once per process. Does nothing without a browser; only the tests of browsers
/// report that they were ignored.
///
/// # Panics
/// If the browser rejects one whose features it supports, or does not answer; and if there is none, but one is
/// required.
pub fn check(shaders: &[Shader]) {
    if Need::Chromium.find().is_ok() {
        check_to(Depth::Module, shaders);
    }
}

/// The same to a given depth, with a browser that must exist.
///
/// # Panics
/// If the browser rejects a shader whose features it supports, or there is none, or it does not answer.
pub fn check_to(depth: Depth, shaders: &[Shader]) {
    static CHECKED: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let is_new = |shader: &&Shader| {
        let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
        checked.get_or_insert_default().insert(format!("{depth:?} {}", shader.text))
    };
    let shaders: Vec<&Shader> = shaders.iter().filter(is_new).collect();
    let errors = compile(depth, &shaders);
    if let Some((number, message)) = errors.first() {
        panic!("the browser refuses {} shaders; the first: {message}\n{}", errors.len(), text(shaders[*number]));
    }
}

/// Compiles shaders and returns the indices of those that the browser rejects, with the errors.
///
/// # Panics
/// If there is no browser, or it does not answer.
pub fn compile(depth: Depth, shaders: &[&Shader]) -> Vec<(usize, String)> {
    if shaders.is_empty() {
        return vec![];
    }
    let browser = browser().unwrap_or_else(|e| panic!("{e}"));
    browser.lock().unwrap_or_else(PoisonError::into_inner).ask(depth, shaders).errors
}

/// Looks for a Chromium that has WebGPU, and starts it.
///
/// # Errors
/// If there is none.
///
/// # Panics
/// If it does not answer.
pub fn find() -> Result<(), String> {
    browser().map(drop)
}

static BROWSER: OnceLock<Result<Mutex<Browser>, String>> = OnceLock::new();

fn browser() -> Result<&'static Mutex<Browser>, String> {
    let start = || {
        let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let mut files = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let program = files.find(|file| file.is_file());
        let program = program.ok_or_else(|| format!("there is none of {}; run `make setup`", NAMES.join(", ")))?;
        let mut browser = Browser::open(&program).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        // SAFETY: `close` takes and returns nothing and does not unwind.
        unsafe { libc::atexit(close) };
        match browser.ask(Depth::Module, &[]).adapter {
            Some(_) => Ok(Mutex::new(browser)),
            None => Err(format!("{} offers no WebGPU; install a newer one", program.display())),
        }
    };
    BROWSER.get_or_init(start).as_ref().map_err(String::clone)
}

/// Ends the browser when the process exits, as a static is never dropped.
extern "C" fn close() {
    if let Some(Ok(browser)) = BROWSER.get()
        && let Ok(mut browser) = browser.try_lock()
    {
        browser.end();
    }
}

/// A running Chromium.
struct Browser {
    program: PathBuf,
    listener: TcpListener,
    child: Child,
    profile: Option<TempDir>,
}

impl Browser {
    fn open(program: &Path) -> io::Result<Browser> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let profile = tempfile::tempdir()?;
        let child = Command::new(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{}/", listener.local_addr()?))
            // Its temporary files are deleted with its profile.
            .env("TMPDIR", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Browser { program: program.to_owned(), listener, child, profile: Some(profile) })
    }

    /// Asks the page to compile shaders.
    ///
    /// # Panics
    /// If it does not answer.
    fn ask(&mut self, depth: Depth, shaders: &[&Shader]) -> Answer {
        let answer = self.serve(&work(depth, shaders)).unwrap_or_else(|e| panic!("{}: {e}", self.program.display()));
        if let Some(failure) = answer.failure {
            panic!("{}: {failure}", self.program.display());
        }
        answer
    }

    /// Answers requests until one posts the result of `work`.
    fn serve(&mut self, work: &str) -> io::Result<Answer> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.listener.accept() {
                // Browsers keep idle connections open; one without a request is ignored.
                Ok((stream, _)) => {
                    if let Ok(Some(answer)) = reply(stream, work) {
                        return Ok(serde_json::from_slice(&answer)?);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(io::Error::other(format!("it ended before it answered: {status}")));
                    }
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", PATIENCE.as_secs())))
    }

    fn end(&mut self) {
        // Errors do not matter, as the process ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.profile.take());
    }
}

/// Ends a browser that has no WebGPU.
impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}

/// The text for a browser: naga supports subgroups without the `enable` directive.
fn text(shader: &Shader) -> String {
    let enable = if shader.features.subgroups { "enable subgroups;\n" } else { "" };
    format!("{enable}{}", shader.text)
}

/// The work for the page, as JSON.
fn work(depth: Depth, shaders: &[&Shader]) -> String {
    let describe = |(number, shader): (usize, &&Shader)| -> Value {
        let features = [(shader.features.f16, "shader-f16"), (shader.features.subgroups, "subgroups")];
        let buffers = shader.arguments.iter().filter(|argument| matches!(argument, Argument::Buffer { .. }));
        json!({
            "number": number,
            "text": text(shader),
            "entry": shader.entry,
            "features": features.iter().filter(|(needed, _)| *needed).map(|(_, name)| name).collect::<Vec<_>>(),
            "threads": shader.workgroup_size.iter().product::<u32>(),
            "bytes": shader.workgroup_bytes,
            "buffers": buffers.count(),
        })
    };
    let admitted = shaders.iter().enumerate().filter(|(_, shader)| !shader.features.cooperative_matrices);
    let shaders: Vec<Value> = admitted.map(describe).collect();
    json!({"pipelines": depth == Depth::Pipeline, "shaders": shaders}).to_string()
}

/// Answers one request, with the page or with work for it; returns the body of a post.
fn reply(stream: TcpStream, work: &str) -> io::Result<Option<Vec<u8>>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(&stream);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let posted = request.starts_with("POST ");
    let mut body = vec![];
    reader.take(length).read_to_end(&mut body)?;
    let (status, kind, content) = match &request {
        _ if posted => ("204 No Content", "text/plain", ""),
        request if request.starts_with("GET / ") => ("200 OK", "text/html", include_str!("browser.html")),
        request if request.starts_with("GET /work ") => ("200 OK", "application/json", work),
        _ => ("404 Not Found", "text/plain", ""),
    };
    let head = format!("Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close", content.len());
    write!(&stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n{content}")?;
    Ok(posted.then_some(body))
}
