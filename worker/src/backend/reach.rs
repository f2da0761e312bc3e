//! What an agent may reach as we start it: read off the very command line its adapter made, so that the two cannot differ.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// What the CLI's own sandbox leaves to the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Which files it may write.
    pub writes: Writes,
    /// Whether commands it runs reach the network. The CLI itself always talks to its model.
    pub network: bool,
}

/// Files an agent may write. It may read what the account may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// None.
    Nothing,
    /// Those of its worktree, and temporary ones.
    Worktree,
    /// Whatever the account may: the CLI has no sandbox, or it is off.
    Account,
}

impl Reach {
    /// All that the account may.
    pub const ACCOUNT: Self = Self { writes: Writes::Account, network: true };
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = match self.writes {
            Writes::Nothing => "writes no files",
            Writes::Worktree => "writes in its worktree and temporary folders only",
            Writes::Account => "writes wherever this account may (no sandbox)",
        };
        write!(f, "{files}, {}", if self.network { "network: yes" } else { "network: no" })
    }
}

/// Whether one of these words is among the arguments.
pub(super) fn has(args: &[OsString], words: &[&str]) -> bool {
    args.iter().any(|arg| words.iter().any(|word| arg == OsStr::new(word)))
}

/// The last value of an option, written `-s VALUE`, `--sandbox VALUE` or `--sandbox=VALUE`.
pub(super) fn value_of<'a>(args: &'a [OsString], names: &[&str]) -> Option<&'a str> {
    let mut found = None;
    for (at, arg) in args.iter().enumerate() {
        let Some(arg) = arg.to_str() else { continue };
        if names.contains(&arg) {
            found = args.get(at + 1).and_then(|next| next.to_str()).or(found);
        } else if let Some((name, value)) = arg.split_once('=')
            && names.contains(&name)
        {
            found = Some(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_however_it_is_written() {
        let args = ["exec", "-s", "read-only", "--sandbox=workspace-write", "-c", "a=b"].map(OsString::from);
        assert_eq!(value_of(&args, &["-s", "--sandbox"]), Some("workspace-write"));
        assert_eq!(value_of(&args[..3], &["-s", "--sandbox"]), Some("read-only"));
        assert_eq!(value_of(&args[..2], &["-s"]), None);
        assert!(has(&args, &["-c"]) && !has(&args, &["--yolo"]));
    }
}
