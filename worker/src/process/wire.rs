//! What the worker and a supervisor process say to each other over their socket: frames of a JSON head and raw bytes. Both ends are the same
//! executable, so there are no versions; the worker's death shows as the end of the stream.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const HEAD_BYTES_MAX: usize = 64 << 10;
/// Largest arguments, environment and stdin together, bytes.
pub(super) const BODY_BYTES_MAX: usize = 128 << 20;

/// From the worker. The body of `Start` is a [`Program`].
#[derive(Serialize, Deserialize, Debug)]
pub(super) enum Order {
    /// Start the program.
    Start { kill_wait_ms: u64 },
    /// Ask the tree to end; after the grace, kill it.
    Stop { grace_ms: u64 },
    /// Kill it now.
    Kill,
    /// Say how much processor time the tree has used.
    Cpu,
}

/// From the supervisor.
#[derive(Serialize, Deserialize, Debug)]
pub(super) enum Report {
    /// It cannot do its work here; it has ended.
    Unusable { why: String },
    /// The program runs.
    Started,
    /// The program could not be started; the supervisor has ended.
    NotStarted { why: String, missing: bool },
    /// The answer to `Order::Cpu`.
    Cpu { cpu_us: u64 },
    /// The program has ended; the rest of the tree is being killed.
    Exited { code: Option<i32>, signal: Option<i32> },
    /// The tree is gone, but for the survivors named. The last report.
    Empty { cpu_us: u64, survivors: Vec<String> },
}

/// What to run, as bytes that know no encoding.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Program {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: PathBuf,
    pub(super) stdout_file: Option<PathBuf>,
    pub(super) stdin: Vec<u8>,
}

impl Program {
    pub(super) fn into_body(self) -> io::Result<Vec<u8>> {
        let mut body = Vec::with_capacity(self.stdin.len() + 4096);
        put(&mut body, &self.program);
        put(&mut body, self.cwd.as_os_str());
        put(&mut body, self.stdout_file.as_deref().unwrap_or(std::path::Path::new("")).as_os_str());
        put_count(&mut body, self.args.len());
        self.args.iter().for_each(|arg| put(&mut body, arg));
        put_count(&mut body, self.env.len());
        for (name, value) in &self.env {
            put(&mut body, name);
            put(&mut body, value);
        }
        body.extend_from_slice(&self.stdin);
        if body.len() > BODY_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "arguments, environment and stdin exceed 128 MiB"));
        }
        Ok(body)
    }

    pub(super) fn from_body(body: &[u8]) -> io::Result<Self> {
        let mut rest = body;
        let program = take(&mut rest)?;
        let cwd = PathBuf::from(take(&mut rest)?);
        let stdout_file = Some(PathBuf::from(take(&mut rest)?)).filter(|path| !path.as_os_str().is_empty());
        let args = (0..take_count(&mut rest)?).map(|_| take(&mut rest)).collect::<io::Result<_>>()?;
        let env = (0..take_count(&mut rest)?).map(|_| Ok((take(&mut rest)?, take(&mut rest)?))).collect::<io::Result<_>>()?;
        Ok(Self { program, args, env, cwd, stdout_file, stdin: rest.to_vec() })
    }
}

fn put_count(body: &mut Vec<u8>, count: usize) {
    body.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put(body: &mut Vec<u8>, text: &OsStr) {
    put_count(body, text.len());
    body.extend_from_slice(text.as_bytes());
}

fn take_count(rest: &mut &[u8]) -> io::Result<usize> {
    let (count, after) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
    *rest = after;
    Ok(u32::from_le_bytes(*count) as usize)
}

fn take(rest: &mut &[u8]) -> io::Result<OsString> {
    let len = take_count(rest)?;
    let (text, after) = rest.split_at_checked(len).ok_or_else(malformed)?;
    *rest = after;
    Ok(OsString::from_vec(text.to_vec()))
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed frame")
}

/// A frame ready to be written.
pub(super) fn encode(head: &impl Serialize, body: &[u8]) -> Vec<u8> {
    let head = serde_json::to_vec(head).expect("plain data always serialises");
    let mut frame = Vec::with_capacity(8 + head.len() + body.len());
    frame.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(body);
    frame
}

/// Collects what was read until a frame is whole.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) bytes: Vec<u8>,
}

impl Inbox {
    /// The next whole frame, if there is one.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<u8>)>> {
        let Some((lens, rest)) = self.bytes.split_first_chunk::<8>() else { return Ok(None) };
        let len = |at: usize| u32::from_le_bytes([lens[at], lens[at + 1], lens[at + 2], lens[at + 3]]) as usize;
        let (head_len, body_len) = (len(0), len(4));
        if head_len > HEAD_BYTES_MAX || body_len > BODY_BYTES_MAX {
            return Err(malformed());
        }
        if rest.len() < head_len + body_len {
            return Ok(None);
        }
        let head = serde_json::from_slice(&rest[..head_len])?;
        let body = rest[head_len..head_len + body_len].to_vec();
        self.bytes.drain(..8 + head_len + body_len);
        Ok(Some((head, body)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_survive_any_chopping() {
        let program = Program {
            program: "/bin/x".into(),
            args: vec!["".into(), OsString::from_vec(vec![0xff, b'\n'])],
            env: vec![("A".into(), "b=c".into())],
            cwd: "/tmp".into(),
            stdout_file: None,
            stdin: b"\0prompt".to_vec(),
        };
        let body = Program { args: program.args.clone(), env: program.env.clone(), ..clone_of(&program) }.into_body().unwrap();
        let mut bytes = encode(&Order::Start { kill_wait_ms: 7 }, &body);
        bytes.extend(encode(&Order::Cpu, b""));
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        for byte in bytes {
            inbox.bytes.push(byte);
            while let Some((order, body)) = inbox.next::<Order>().unwrap() {
                seen.push((order, body));
            }
        }
        assert!(matches!(seen[0].0, Order::Start { kill_wait_ms: 7 }));
        assert_eq!(Program::from_body(&seen[0].1).unwrap(), program);
        assert!(matches!(seen[1].0, Order::Cpu));
        assert!(inbox.bytes.is_empty());
    }

    fn clone_of(program: &Program) -> Program {
        Program { program: program.program.clone(), cwd: program.cwd.clone(), stdin: program.stdin.clone(), ..Program::default() }
    }

    #[test]
    fn nonsense_is_refused() {
        let mut inbox = Inbox { bytes: vec![0xff; 16] };
        assert!(inbox.next::<Order>().is_err());
        assert!(Program::from_body(&[9, 0, 0, 0, 1]).is_err());
    }
}
