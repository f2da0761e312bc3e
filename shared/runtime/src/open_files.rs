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

/// Takes so many, or as many as there are, for a process that also starts programs of others: those inherit it, and some look at each file they might have
/// open before they begin.
pub fn allow(files: u64) -> io::Result<()> {
    raised(getrlimit(Resource::Nofile), files).map_or(Ok(()), |limit| Ok(setrlimit(Resource::Nofile, limit)?))
}

/// A limit for so many, if that is more.
fn raised(limit: Rlimit, files: u64) -> Option<Rlimit> {
    let wanted = limit.maximum.map_or(files, |most| files.min(most));
    let is_more = limit.current.is_some_and(|current| current < wanted);
    is_more.then_some(Rlimit { current: Some(wanted), maximum: limit.maximum })
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
        allow(1).expect("it takes nothing away");
        assert_eq!(getrlimit(Resource::Nofile), limit);
    }

    #[test]
    fn no_more_is_taken_than_is_asked_for_and_allowed() {
        let raised = |current, maximum| raised(Rlimit { current, maximum }, 4_096).map(|limit| (limit.current, limit.maximum));
        assert_eq!(raised(Some(1_024), Some(500_000)), Some((Some(4_096), Some(500_000))));
        assert_eq!(raised(Some(1_024), None), Some((Some(4_096), None)));
        assert_eq!(raised(Some(256), Some(1_024)), Some((Some(1_024), Some(1_024))));
        for enough in [(Some(1_024), Some(1_024)), (Some(8_192), None), (None, None)] {
            assert_eq!(raised(enough.0, enough.1), None);
        }
    }
}
