//! A program as a process: captured output, waits with a deadline, signals. Dropped, it is killed and reaped.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::{DEADLINE, LOOK_EVERY, wait_for};

pub use rustix::process::Signal;

/// How long output is waited for once the process has ended: a child of its may still hold the pipe.
const OUTPUT_WAIT: Duration = Duration::from_secs(10);

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Stream,
    stderr: Stream,
    ended: Option<ExitStatus>,
}

/// What a stream has said so far.
#[derive(Debug)]
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = text.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Process {
    /// Starts it. `name` is how panics call it.
    pub fn start(mut command: Command, name: &str, stdin: Stdio) -> Self {
        let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let stdout = Stream::read(child.stdout.take().expect("stdout is piped"));
        let stderr = Stream::read(child.stderr.take().expect("stderr is piped"));
        Self { name: name.to_owned(), child, stdout, stderr, ended: None }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be asked");
        }
        self.ended.is_none()
    }

    /// Waits until standard error has `text`; ending before is a failure.
    pub fn wait_for_stderr(&mut self, text: &str) {
        self.wait_for_text(text, Self::stderr);
    }

    /// Waits until standard output has `text`; ending before is a failure.
    pub fn wait_for_stdout(&mut self, text: &str) {
        self.wait_for_text(text, Self::stdout);
    }

    fn wait_for_text(&mut self, text: &str, stream: fn(&Self) -> String) {
        let start = Instant::now();
        while !stream(self).contains(text) {
            let alive = self.is_running();
            // Its last words may have come between the two looks.
            assert!(alive || stream(self).contains(text), "{} ended before it said {text:?}\n{}", self.name, self.said());
            assert!(start.elapsed() < DEADLINE, "{} has not said {text:?} within {} s\n{}", self.name, DEADLINE.as_secs(), self.said());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits for its end within [`DEADLINE`].
    pub fn wait(self) -> Output {
        self.wait_within(DEADLINE)
    }

    /// Waits for its end; a process that does not come to it is killed, and the test fails with what it said.
    pub fn wait_within(mut self, deadline: Duration) -> Output {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < deadline, "{} has not ended within {} s\n{}", self.name, deadline.as_secs(), self.said());
            std::thread::sleep(LOOK_EVERY);
        }
        let start = Instant::now();
        while !(self.stdout.reader.is_finished() && self.stderr.reader.is_finished()) && start.elapsed() < OUTPUT_WAIT {
            std::thread::sleep(LOOK_EVERY);
        }
        let status = self.ended.expect("it has ended");
        Output { name: self.name.clone(), code: status.code(), signal: status.signal(), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{} cannot be signalled: {error}", self.name));
    }

    /// Kills it, as a power cut would, and waits until it is gone.
    pub fn kill(mut self) -> Output {
        let _ = self.child.kill();
        self.ended = Some(self.child.wait().expect("a killed child ends"));
        self.wait()
    }

    /// What it said, for a failure's text.
    pub fn said(&self) -> String {
        said(&self.name, &self.stdout(), &self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How a program ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    name: String,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its answer.
    pub stdout: String,
    /// Errors, progress, logs.
    pub stderr: String,
}

impl Output {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        self
    }

    /// Fails unless the answer has every text.
    #[track_caller]
    pub fn out_has(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{}", self.said());
        }
        self
    }

    /// Fails unless standard error has every text. Line breaks count as spaces: texts are wrapped.
    #[track_caller]
    pub fn err_has(self, texts: &[&str]) -> Self {
        let flat = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in texts {
            assert!(flat.contains(text), "stderr lacks {text:?}\n{}", self.said());
        }
        self
    }

    /// Fails if standard error has one of the texts.
    #[track_caller]
    pub fn err_has_not(self, texts: &[&str]) -> Self {
        let flat = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in texts {
            assert!(!flat.contains(text), "stderr has {text:?}\n{}", self.said());
        }
        self
    }

    /// The answer as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("stdout is no JSON: {error}\n{}", self.said()))
    }

    /// The answer as JSON lines.
    #[track_caller]
    pub fn jsonl(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}\n{}", self.said()));
        self.stdout.lines().map(read).collect()
    }

    /// What it said, for a failure's text.
    pub fn said(&self) -> String {
        let end = format!("{} ended with {:?} {:?}", self.name, self.code, self.signal);
        said(&end, &self.stdout, &self.stderr)
    }
}

fn said(name: &str, stdout: &str, stderr: &str) -> String {
    format!("== {name}\n-- stdout\n{stdout}\n-- stderr\n{stderr}")
}

/// Waits until a process (of any parent) is gone or a zombie.
pub(super) fn wait_until_gone(pid: u32) {
    let is_gone = || std::fs::read(format!("/proc/{pid}/environ")).map_or(true, |environment| environment.is_empty());
    wait_for(&format!("process {pid} to end"), String::new, || is_gone().then_some(()));
}
