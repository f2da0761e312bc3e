//! One run of the git program: its arguments, its scrubbed environment, its bounded streams and its end. What the arguments mean is the callers'.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::program::Trust;
use super::quoting::quoted_alternate;
use super::{Git, GitError, GitProgram};

/// Longest command that only looks or moves refs.
const QUICK: Duration = Duration::from_secs(120);
/// Longest command that moves packs or files.
const LONG: Duration = Duration::from_secs(3600);
/// Output a command may give unless its caller says otherwise.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// How much of the end of stderr is kept.
const STDERR_BYTES_KEPT: usize = 4 << 10;

/// Settings of every command: nothing configured elsewhere runs a program, reaches a network, or repacks behind our back.
const ALWAYS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.quotePath=false",
    "submodule.recurse=false",
    "commit.gpgSign=false",
];

/// Settings of our own repositories. Paths that would mean something to other file systems are refused there as here.
const OWN: &[&str] = &[
    "protocol.allow=never",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.fileMode=true",
    "core.symlinks=true",
    "core.ignoreCase=false",
    "core.untrackedCache=false",
    "core.fsyncMethod=batch",
];

/// A command being put together.
pub(crate) struct Invocation<'a> {
    program: &'a GitProgram,
    git: Option<&'a Git>,
    verb: &'static str,
    args: Vec<OsString>,
    config: Vec<&'static str>,
    env: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
    output_bytes_max: u64,
    limit: Duration,
    codes_ok: &'static [i32],
    trust: Trust,
    directory: Option<PathBuf>,
    memory_bytes_max: Option<u64>,
}

/// What a command gave.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Answer {
    /// Standard output as text.
    pub(crate) fn text(&self, verb: &'static str) -> Result<String, GitError> {
        String::from_utf8(self.stdout.clone()).map_err(|_| GitError::unexpected(verb, "invalid UTF-8"))
    }

    /// Standard output as one trimmed line.
    pub(crate) fn line(&self, verb: &'static str) -> Result<String, GitError> {
        Ok(self.text(verb)?.trim_end_matches('\n').to_owned())
    }
}

/// Where standard input comes from and standard output goes when they are not kept in memory.
#[derive(Default)]
pub(crate) struct Streams<'s> {
    pub(crate) input: Option<&'s mut (dyn AsyncRead + Send + Unpin)>,
    pub(crate) output: Option<&'s mut (dyn AsyncWrite + Send + Unpin)>,
}

impl Git {
    /// A command of that verb in this repository.
    pub(crate) fn invoke(&self, verb: &'static str) -> Invocation<'_> {
        Invocation::new(self, verb)
    }
}

impl<'a> Invocation<'a> {
    fn new(git: &'a Git, verb: &'static str) -> Self {
        let mut invocation = Self::bare(&git.program, verb);
        invocation.git = Some(git);
        invocation.trust = git.trust;
        invocation
    }

    /// A command that is bound to no repository.
    pub(crate) fn bare(program: &'a GitProgram, verb: &'static str) -> Self {
        Self {
            program,
            git: None,
            verb,
            args: Vec::new(),
            config: Vec::new(),
            env: Vec::new(),
            input: Vec::new(),
            output_bytes_max: OUTPUT_BYTES_MAX,
            limit: QUICK,
            codes_ok: &[0],
            trust: Trust::Own,
            directory: None,
            memory_bytes_max: None,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn config(mut self, setting: &'static str) -> Self {
        self.config.push(setting);
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    pub(crate) fn output_bytes_max(mut self, bytes_max: u64) -> Self {
        self.output_bytes_max = bytes_max;
        self
    }

    /// A command that moves packs or files.
    pub(crate) fn long(mut self) -> Self {
        self.limit = LONG;
        self
    }

    /// What the command may allocate.
    pub(crate) fn memory_bytes_max(mut self, bytes_max: u64) -> Self {
        self.memory_bytes_max = Some(bytes_max);
        self
    }

    /// Exit codes that are answers, not failures.
    pub(crate) fn codes_ok(mut self, codes: &'static [i32]) -> Self {
        self.codes_ok = codes;
        self
    }

    /// Lets git search for the repository of `directory` as a person's shell would.
    pub(crate) fn discovering(mut self, directory: &Path) -> Self {
        self.trust = Trust::User;
        self.directory = Some(directory.to_owned());
        self
    }

    /// Runs it with all streams in memory.
    pub(crate) async fn run(self) -> Result<Answer, GitError> {
        self.run_with(Streams::default()).await
    }

    /// Runs it with standard input or output connected to the caller's.
    pub(crate) async fn run_with(mut self, streams: Streams<'_>) -> Result<Answer, GitError> {
        let verb = self.verb;
        let limit = self.limit;
        let _permit = self.program.permit(streams.input.is_some() || streams.output.is_some()).await;
        let mut running = Running::spawn(verb, &mut self.command())?;
        if let Some(bytes_max) = self.memory_bytes_max {
            running.limit_memory(bytes_max);
        }
        let answer = tokio::time::timeout(limit, running.drive(&mut self, streams)).await;
        let answer = answer.map_err(|_| GitError::TimedOut { verb, limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) })??;
        if self.codes_ok.contains(&answer.code) {
            Ok(answer)
        } else {
            Err(GitError::Failed { verb, code: answer.code, stderr: answer.stderr })
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program.path());
        self.set_environment(&mut command);
        if let Some(git) = self.git {
            command.arg("--git-dir").arg(&git.git_dir);
            if let Some(work_tree) = &git.work_tree {
                command.arg("--work-tree").arg(work_tree);
            }
        }
        command.args(["--no-pager", "--literal-pathspecs"]);
        let own: &[&str] = if self.trust == Trust::Own { OWN } else { &[] };
        for setting in ALWAYS.iter().chain(own).chain(&self.config) {
            command.arg("-c").arg(setting);
        }
        if self.trust == Trust::Own {
            let durable = self.git.is_none_or(|git| git.durable);
            command.arg("-c").arg(if durable { "core.fsync=committed,reference" } else { "core.fsync=none" });
        }
        command.arg(self.verb).args(&self.args);
        command
    }

    /// Variables named `GIT_*` never get through; of ours, none else does for our own repositories than what the program needs to be found.
    fn set_environment(&self, command: &mut Command) {
        command.env_clear();
        let kept = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            match self.trust {
                Trust::Own => matches!(name.as_ref(), "PATH" | "TMPDIR" | "LD_LIBRARY_PATH"),
                Trust::User => !name.starts_with("GIT_"),
            }
        });
        command.envs(kept);
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_REPLACE_OBJECTS", "1");
        if self.trust == Trust::Own {
            command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_ATTR_NOSYSTEM", "1");
        }
        let directory = self.directory.as_deref().or(self.git.map(|git| git.work_tree.as_deref().unwrap_or(&git.git_dir)));
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        let Some(git) = self.git else { return };
        if let Some(index_file) = &git.index_file {
            command.env("GIT_INDEX_FILE", index_file);
        }
        if let Some(shallow_file) = &git.shallow_file {
            command.env("GIT_SHALLOW_FILE", shallow_file);
        }
        if let Some(object_dir) = &git.object_dir {
            command.env("GIT_OBJECT_DIRECTORY", object_dir);
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted_alternate(&git.objects()));
        }
        for (name, value) in &self.env {
            command.env(name, value);
        }
    }
}

/// A child that is killed with its whole process group unless it was seen to end. It has its own group so that Ctrl-C at a terminal does not end a
/// commit half-way.
struct Running {
    verb: &'static str,
    child: Child,
    ended: bool,
}

impl Running {
    fn spawn(verb: &'static str, command: &mut Command) -> Result<Self, GitError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let child = command.spawn().map_err(|source| GitError::Spawn { verb, source })?;
        Ok(Self { verb, child, ended: false })
    }

    /// Bounds what it may allocate. It has read nothing yet of what it is to be fed.
    fn limit_memory(&self, bytes_max: u64) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let limit = Rlimit { current: Some(bytes_max), maximum: Some(bytes_max) };
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = prlimit(Some(pid), Resource::Data, limit)
        {
            tracing::warn!(verb = self.verb, %error, "the memory of git cannot be bounded here");
        }
    }

    async fn drive(&mut self, invocation: &mut Invocation<'_>, streams: Streams<'_>) -> Result<Answer, GitError> {
        let verb = self.verb;
        let (Some(stdin), Some(stdout), Some(stderr)) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take())
        else {
            return Err(GitError::unexpected(verb, "no pipes"));
        };
        let bytes_max = invocation.output_bytes_max;
        let mut memory = Vec::new();
        let input = std::mem::take(&mut invocation.input);
        let program = invocation.program;
        // With streams of others it is they who are waited for, too.
        let mut meanwhile = program.meanwhile().filter(|_| streams.input.is_none() && streams.output.is_none());
        let is_fed = streams.input.is_some();
        let fed = async {
            feed(verb, stdin, input, streams.input).await?;
            if is_fed {
                meanwhile = program.meanwhile();
            }
            Ok::<_, GitError>(())
        };
        let kept = async {
            match streams.output {
                Some(output) => copy_bounded(program, verb, stdout, output, bytes_max).await,
                None => read_bounded(verb, stdout, &mut memory, bytes_max).await,
            }
        };
        let ((), (), stderr) = tokio::try_join!(fed, kept, read_tail(verb, stderr))?;
        let status = self.child.wait().await.map_err(GitError::io(verb))?;
        drop(meanwhile);
        self.ended = true;
        let code = status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0));
        Ok(Answer { code, stdout: memory, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // The group's leader is our unreaped child, so the number cannot have been given to anyone else.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Feeds standard input and closes it. A command that ends without reading it all says why by its exit code.
async fn feed<W: AsyncWrite + Unpin>(
    verb: &'static str,
    mut stdin: W,
    input: Vec<u8>,
    stream: Option<&mut (dyn AsyncRead + Send + Unpin)>,
) -> Result<(), GitError> {
    let written = match stream {
        None => stdin.write_all(&input).await,
        Some(stream) => {
            let mut block = vec![0_u8; 64 << 10];
            loop {
                let read = stream.read(&mut block).await.map_err(GitError::io(verb))?;
                if read == 0 {
                    break Ok(());
                }
                if let Err(error) = stdin.write_all(&block[..read]).await {
                    break Err(error);
                }
            }
        }
    };
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(GitError::Io { verb, source: error }),
        _ => Ok(()),
    }
}

async fn read_bounded<R: AsyncRead + Unpin>(verb: &'static str, source: R, memory: &mut Vec<u8>, bytes_max: u64) -> Result<(), GitError> {
    let read = source.take(bytes_max.saturating_add(1)).read_to_end(memory).await.map_err(GitError::io(verb))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max { Err(GitError::TooMuch { verb, bytes_max }) } else { Ok(()) }
}

async fn copy_bounded<R: AsyncRead + Unpin>(
    program: &GitProgram,
    verb: &'static str,
    mut source: R,
    output: &mut (dyn AsyncWrite + Send + Unpin),
    bytes_max: u64,
) -> Result<(), GitError> {
    let mut copied = 0_u64;
    let mut block = vec![0_u8; 64 << 10];
    loop {
        let meanwhile = program.meanwhile();
        let read = source.read(&mut block).await.map_err(GitError::io(verb))?;
        drop(meanwhile);
        if read == 0 {
            return output.flush().await.map_err(GitError::io(verb));
        }
        copied = copied.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if copied > bytes_max {
            return Err(GitError::TooMuch { verb, bytes_max });
        }
        output.write_all(&block[..read]).await.map_err(GitError::io(verb))?;
    }
}

/// Reads to the end and keeps the last few kilobytes as text.
async fn read_tail<R: AsyncRead + Unpin>(verb: &'static str, mut source: R) -> Result<String, GitError> {
    let mut tail = Vec::new();
    let mut block = vec![0_u8; 4 << 10];
    loop {
        let read = source.read(&mut block).await.map_err(GitError::io(verb))?;
        if read == 0 {
            break;
        }
        tail.extend_from_slice(&block[..read]);
        let excess = tail.len().saturating_sub(STDERR_BYTES_KEPT);
        tail.drain(..excess);
    }
    Ok(String::from_utf8_lossy(&tail).trim().to_owned())
}
