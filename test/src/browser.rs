//! Shaders in a browser: headless Chromium compiles what its WebGPU admits.
//!
//! One Chromium runs as long as the process. Its page asks the server here for shaders, again and again, and posts what the
//! browser says of each; a request is left waiting while there is nothing to compile. WebGPU runs on SwiftShader, the
//! software that Chromium brings along, so that no GPU is needed; that has subgroups and no f16.

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

/// How long the browser may take for the shaders of a test.
const PATIENCE: Duration = Duration::from_secs(300);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS: [&str; 4] =
    ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// How far a browser compiles a shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// To a module: it parses, its types and its uniformity are right.
    Module,
    /// To a pipeline of SwiftShader, which takes ten times as long: it is within the adapter's limits, too.
    Pipeline,
}

/// What the page says.
#[derive(Deserialize)]
struct Answer {
    failure: Option<String>,
    adapter: Option<String>,
    /// Numbers of shaders, and what is wrong with them.
    #[serde(default)]
    errors: Vec<(usize, String)>,
}

/// Compiles shaders to modules, each text once in a process; nothing where there is no browser, of which the tests of
/// browsers alone say that they were ignored.
///
/// # Panics
/// If the browser refuses one that it admits, or does not answer; and where there is none, if one is required.
pub fn check(shaders: &[Shader]) {
    if Need::Chromium.find().is_ok() {
        check_to(Depth::Module, shaders);
    }
}

/// The same to a depth of the caller's, with a browser that is there.
///
/// # Panics
/// If the browser refuses a shader that it admits, or there is none, or it does not answer.
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

/// Compiles shaders and gives the numbers of those that the browser refuses, and why.
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
        // SAFETY: `close` takes nothing, gives nothing and does not unwind.
        unsafe { libc::atexit(close) };
        match browser.ask(Depth::Module, &[]).adapter {
            Some(_) => Ok(Mutex::new(browser)),
            None => Err(format!("{} offers no WebGPU; install a newer one", program.display())),
        }
    };
    BROWSER.get_or_init(start).as_ref().map_err(String::clone)
}

/// Ends the browser with the process: a static is never dropped.
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
            // What it leaves in the temporary folder goes with its profile.
            .env("TMPDIR", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Browser { program: program.to_owned(), listener, child, profile: Some(profile) })
    }

    /// What the page says of shaders.
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

    /// Answers requests until one posts what is made of `work`.
    fn serve(&mut self, work: &str) -> io::Result<Answer> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.listener.accept() {
                // A connection that asks for nothing is one that a browser keeps ready.
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
        // Whatever fails here, the process is over.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.profile.take());
    }
}

/// One that has no WebGPU is not kept.
impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
    }
}

/// As a browser takes it: naga knows subgroups without their name.
fn text(shader: &Shader) -> String {
    let enable = if shader.features.subgroups { "enable subgroups;\n" } else { "" };
    format!("{enable}{}", shader.text)
}

/// What the page is to compile, as JSON.
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

/// Answers one request, with the page or with work for it; gives the body of a post.
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
