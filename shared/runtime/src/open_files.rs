//! How many files and connections this process may have open at once.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many as the system lets this user have: what a process begins with (often 1,024) is made for programs that use `select`, and fewer than the
/// connections a coordinator admits.
pub fn allow_most() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// Half of what this process may have open: as many connections leave the other half to everything else.
pub fn half() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_more_is_to_be_had_after_it() {
        allow_most().expect("what is allowed can be taken");
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        allow_most().expect("again is fine");
    }
}
