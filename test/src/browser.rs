//! Shaders in a browser: headless Chromium compiles what its WebGPU admits.
//!
//! A page with the shaders is served to it here, and it posts back what it says of each. Its WebGPU runs on SwiftShader, the
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

/// How long the browser may take for the shaders of a test.
const PATIENCE: Duration = Duration::from_secs(300);
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const FLAGS: [&str; 4] =
    ["--headless=new", "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/// What the page says.
#[derive(Deserialize)]
struct Answer {
    failure: Option<String>,
    adapter: Option<String>,
    /// Numbers of shaders, and what is wrong with them.
    #[serde(default)]
    errors: Vec<(usize, String)>,
}

/// Compiles shaders, each text once in a process; nothing where there is no browser, of which the tests of browsers alone
/// say that they were ignored.
///
/// # Panics
/// If the browser refuses one that it admits, or does not answer; and where there is none, if one is required.
pub fn check(shaders: &[Shader]) {
    static CHECKED: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    if Need::Chromium.find().is_err() {
        return;
    }
    let is_new = |shader: &&Shader| {
        let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
        checked.get_or_insert_default().insert(shader.text.clone())
    };
    let shaders: Vec<&Shader> = shaders.iter().filter(is_new).collect();
    let errors = compile(&shaders);
    if let Some((number, message)) = errors.first() {
        panic!("the browser refuses {} shaders; the first: {message}\n{}", errors.len(), text(shaders[*number]));
    }
}

/// Compiles shaders, as modules and as pipelines, and gives the numbers of those that the browser refuses, and why.
///
/// # Panics
/// If there is no browser, or it does not answer.
pub fn compile(shaders: &[&Shader]) -> Vec<(usize, String)> {
    answer(find().unwrap_or_else(|e| panic!("{e}")), shaders).errors
}

/// A Chromium that has WebGPU; it is started once to see that.
///
/// # Errors
/// If there is none.
///
/// # Panics
/// If it does not answer.
pub fn find() -> Result<&'static Path, String> {
    static BROWSER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let look = || {
        let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        let mut files = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let browser = files.find(|file| file.is_file());
        let browser = browser.ok_or_else(|| format!("there is none of {}; run `make setup`", NAMES.join(", ")))?;
        match answer(&browser, &[]).adapter {
            Some(_) => Ok(browser),
            None => Err(format!("{} offers no WebGPU; install a newer one", browser.display())),
        }
    };
    BROWSER.get_or_init(look).as_deref().map_err(String::clone)
}

fn answer(browser: &Path, shaders: &[&Shader]) -> Answer {
    // One browser at a time: each takes as many threads as there are.
    static ALONE: Mutex<()> = Mutex::new(());
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = ask(browser, &page(shaders)).unwrap_or_else(|e| panic!("{}: {e}", browser.display()));
    if let Some(failure) = answer.failure {
        panic!("{}: {failure}", browser.display());
    }
    answer
}

/// As a browser takes it: naga knows subgroups without their name.
fn text(shader: &Shader) -> String {
    let enable = if shader.features.subgroups { "enable subgroups;\n" } else { "" };
    format!("{enable}{}", shader.text)
}

fn page(shaders: &[&Shader]) -> String {
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
    let all: Vec<Value> = admitted.map(describe).collect();
    // No text may end the element that it is in.
    let all = Value::from(all).to_string().replace('<', "\\u003c");
    include_str!("browser.html").replacen(">SHADERS<", &format!(">{all}<"), 1)
}

/// Opens a page in a browser and waits for what it posts.
fn ask(browser: &Path, page: &str) -> io::Result<Answer> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let profile = tempfile::tempdir()?;
    let mut child = Command::new(browser)
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{}/", listener.local_addr()?))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = serve(&listener, page, &mut child);
    child.kill()?;
    child.wait()?;
    answer
}

fn serve(listener: &TcpListener, page: &str, browser: &mut Child) -> io::Result<Answer> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        match listener.accept() {
            // A connection that asks for nothing is one that a browser keeps ready.
            Ok((stream, _)) => {
                if let Ok(Some(answer)) = reply(stream, page) {
                    return Ok(serde_json::from_slice(&answer)?);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(status) = browser.try_wait()? {
                    return Err(io::Error::other(format!("it ended before it answered: {status}")));
                }
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", PATIENCE.as_secs())))
}

/// Answers one request; gives the body of a post.
fn reply(stream: TcpStream, page: &str) -> io::Result<Option<Vec<u8>>> {
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
    let (status, content) = match request.starts_with("GET / ") {
        true => ("200 OK", page),
        false if posted => ("204 No Content", ""),
        false => ("404 Not Found", ""),
    };
    let head = format!("Content-Type: text/html\r\nContent-Length: {}\r\nConnection: close", content.len());
    write!(&stream, "HTTP/1.1 {status}\r\n{head}\r\n\r\n{content}")?;
    Ok(posted.then_some(body))
}
