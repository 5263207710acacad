//! Times other libraries, alternating with our kernels.
//!
//! `scripts/gemm_peers.py` is embedded in this program; a separate process runs it for each library that can be imported. A
//! process is stopped between its turns, because the threads of most libraries poll for a while after each product and would
//! occupy a core during the next one.

use anyhow::{Context as _, Result, anyhow, bail};
use kforge_tools::product::Shape;
use serde::Deserialize;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const SCRIPT: &str = include_str!("../../../../../../scripts/gemm_peers.py");

/// The libraries that the script supports.
const LIBRARIES: [&str; 6] = ["openblas", "torch", "xla", "iree", "onnxruntime", "openvino"];

pub struct Peer {
    pub library: &'static str,
    pub version: String,
    process: Process,
}

/// A library's result for one product: microseconds of each sample.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub samples_us: Vec<f64>,
    pub relative_error: f64,
}

#[derive(Deserialize)]
struct Hello {
    version: String,
}

struct Process {
    child: Child,
    /// None once it has been closed, which ends the script.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Starts every library that `python` can import.
///
/// # Errors
/// If `python` does not start, or imports none.
pub fn start(python: &str, threads: usize) -> Result<Vec<Peer>> {
    let mut peers = vec![];
    let mut absent = vec![];
    for library in LIBRARIES {
        let mut process = Process::start(python, library, threads)?;
        match process.line().and_then(|line| Ok(serde_json::from_str::<Hello>(&line)?)) {
            Ok(hello) => {
                process.signal(libc::SIGSTOP);
                peers.push(Peer { library, version: hello.version, process });
            }
            Err(_) => absent.push(library),
        }
    }
    if peers.is_empty() {
        bail!("--peers: {python} can import none of {}; name another with --peers=PYTHON", LIBRARIES.join(", "));
    }
    if !absent.is_empty() {
        errln!("kforge-run: {python} has no {}: left out", absent.join(", "));
    }
    Ok(peers)
}

impl Peer {
    /// Times one product for about `seconds`.
    ///
    /// # Errors
    /// If the library fails.
    pub fn measure(&mut self, Shape { m, n, k }: Shape, seconds: f64) -> Result<Answer> {
        self.process.signal(libc::SIGCONT);
        let answer = self.process.ask(&format!("{{\"m\":{m},\"n\":{n},\"k\":{k},\"seconds\":{seconds}}}"));
        self.process.signal(libc::SIGSTOP);
        let answer: Answer = answer
            .and_then(|line| Ok(serde_json::from_str(&line)?))
            .with_context(|| format!("{} {} failed at {m}x{n}x{k}", self.library, self.version))?;
        if answer.samples_us.is_empty() || !answer.samples_us.iter().all(|t| *t > 0.0) {
            bail!("{} {} gave no time of {m}x{n}x{k}", self.library, self.version);
        }
        Ok(answer)
    }
}

impl Process {
    fn start(python: &str, library: &str, threads: usize) -> Result<Process> {
        let mut command = Command::new(python);
        command
            .args(["-c", SCRIPT, library, &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        #[cfg(target_os = "linux")]
        // SAFETY: between fork and exec this makes one system call and touches no memory.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(&mut command, || {
                // Without this, a stopped process would outlive this program if that is killed.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().with_context(|| format!("--peers: '{python}' does not start"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the process has a standard output")?;
        Ok(Process { child, input, output: BufReader::new(output) })
    }

    fn ask(&mut self, question: &str) -> Result<String> {
        let input = self.input.as_mut().context("the process has a standard input")?;
        writeln!(input, "{question}").and_then(|()| input.flush())?;
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(anyhow!("its process ended")),
            _ => Ok(line),
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: signals a child that has not been waited for, so its process id is not reused.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        self.signal(libc::SIGCONT);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
