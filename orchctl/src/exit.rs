//! The exit codes of `orchctl`: each meaning once, so that `main` maps them in one place.

use std::process::ExitCode;

use roundtable_shared::error::ErrorCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Complete, or done as asked.
    Complete,
    /// Halted, incomplete, or the thing asked about failed.
    Failed,
    /// Decisions wait; nothing else means this.
    DecisionsWait,
    /// Wrong usage or invalid input.
    Usage,
    /// The coordinator cannot be reached.
    Unreachable,
    /// The coordinator does not admit us.
    NotAuthorised,
    /// The time of `wait --timeout` passed.
    TimedOut,
    /// Ctrl-C, or a request to end.
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Failed => 1,
            Self::DecisionsWait => 2,
            Self::Usage => 3,
            Self::Unreachable => 4,
            Self::NotAuthorised => 5,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }

    /// The exit of a run that ended with this code; a code no run ends with counts as a failure.
    pub fn of_run(code: u8) -> Self {
        match code {
            0 => Self::Complete,
            2 => Self::DecisionsWait,
            _ => Self::Failed,
        }
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code.exit_code() {
            3 => Self::Usage,
            4 => Self::Unreachable,
            5 => Self::NotAuthorised,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_contract() {
        let all = [
            (Exit::Complete, 0),
            (Exit::Failed, 1),
            (Exit::DecisionsWait, 2),
            (Exit::Usage, 3),
            (Exit::Unreachable, 4),
            (Exit::NotAuthorised, 5),
            (Exit::TimedOut, 124),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in all {
            assert_eq!(exit.code(), code);
        }
    }

    #[test]
    fn refusals_of_the_coordinator_map_to_their_codes() {
        assert_eq!(Exit::from(ErrorCode::InvalidInput), Exit::Usage);
        assert_eq!(Exit::from(ErrorCode::Unreachable), Exit::Unreachable);
        assert_eq!(Exit::from(ErrorCode::NotAuthorised), Exit::NotAuthorised);
        for code in [ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::Stale, ErrorCode::Exhausted, ErrorCode::Internal] {
            assert_eq!(Exit::from(code), Exit::Failed);
        }
    }

    #[test]
    fn only_a_run_that_says_so_waits_for_decisions() {
        assert_eq!(Exit::of_run(0), Exit::Complete);
        assert_eq!(Exit::of_run(2), Exit::DecisionsWait);
        assert_eq!(Exit::of_run(1), Exit::Failed);
        assert_eq!(Exit::of_run(3), Exit::Failed);
    }
}
