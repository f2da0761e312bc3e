//! Which runs may be meant where RUN is left out, how the chosen one is named, and who is asked before it is ended or accepted. Which one is chosen is decided
//! in `select`.

use std::io::IsTerminal;

use roundtable_shared::view::RunLine;

use crate::ask::is_yes;
use crate::failure::{Failure, Result};

/// Runs named at most.
const SHOWN_MAX: usize = 5;

/// Runs of this repository that somebody may still want something of, and the repository itself.
pub struct Candidates<'r> {
    runs: Vec<&'r RunLine>,
    git_dir: Option<&'r str>,
}

impl<'r> Candidates<'r> {
    /// Those that are unfinished, and those that are complete and not accepted; outside of a repository, of all.
    pub fn of(runs: &'r [RunLine], git_dir: Option<&'r str>) -> Self {
        let is_here = |run: &&RunLine| git_dir.is_none_or(|dir| run.repository == dir);
        let runs = runs.iter().filter(is_here).filter(|run| run.ended_at.is_none() || run.to_accept).collect();
        Self { runs, git_dir }
    }

    /// Whether another could be meant as well.
    pub fn doubt(&self, chosen: &RunLine) -> bool {
        let is_among = self.runs.iter().any(|run| run.run == chosen.run);
        let is_elsewhere = self.git_dir.is_some_and(|dir| chosen.repository != dir);
        is_elsewhere || self.runs.len() > usize::from(is_among)
    }

    /// The line that names the chosen one, where another could be meant.
    pub fn notice(&self, chosen: &RunLine) -> Option<String> {
        if !self.doubt(chosen) {
            return None;
        }
        let others = named(self.runs.iter().filter(|run| run.run != chosen.run).copied());
        let others = if others.is_empty() { String::new() } else { format!("; there is also {others}") };
        Some(format!("RUN is left out, so this is about {}{others}", with_standing(chosen)))
    }

    /// Lets a person say whether the chosen one is meant, where another could be. Without a terminal, or with `--yes`, nobody chooses for them.
    /// `command` is what was typed, with a run in it: what is named to be typed next must do no more than that.
    pub async fn settle(&self, chosen: &RunLine, command: impl Fn(&str) -> String, yes: bool) -> Result<()> {
        if !self.doubt(chosen) {
            return Ok(());
        }
        if yes || !std::io::stdin().is_terminal() {
            return Err(self.refusal(chosen, &command(&chosen.run)));
        }
        if is_yes(&format!("Do `{}`? [y/N] ", command(&chosen.run))).await? {
            return Ok(());
        }
        Err(Failure::failed("nothing was done, as you said").next(format!("name the run: `{}`", command("RUN"))))
    }

    fn refusal(&self, chosen: &RunLine, command: &str) -> Failure {
        let all = named(std::iter::once(chosen).chain(self.runs.iter().copied().filter(|run| run.run != chosen.run)));
        Failure::usage(format!("RUN is left out, and more than one could be meant: {all}")).next(format!("name it: `{command}`"))
    }
}

fn named<'r>(runs: impl Iterator<Item = &'r RunLine>) -> String {
    let mut names: Vec<String> = runs.take(SHOWN_MAX + 1).map(with_standing).collect();
    if names.len() > SHOWN_MAX {
        names[SHOWN_MAX] = "…".to_owned();
    }
    names.join(", ")
}

fn with_standing(run: &RunLine) -> String {
    let rest = if run.to_accept { ", not accepted" } else { "" };
    format!("{} ({}{rest})", run.run, run.status)
}

#[cfg(test)]
mod tests {
    use roundtable_shared::RunStatus;

    use super::*;

    fn run(id: &str, repository: &str, status: RunStatus, to_accept: bool) -> RunLine {
        let ended = matches!(status, RunStatus::Complete | RunStatus::Incomplete);
        RunLine {
            run: id.into(),
            repository: repository.into(),
            status: status.into(),
            ended_at: ended.then(|| "2026-01-02T00:00:00Z".to_owned()),
            to_accept,
            ..RunLine::default()
        }
    }

    #[test]
    fn only_what_is_unfinished_or_not_accepted_can_be_meant() {
        let runs = [
            run("a-1", "/r", RunStatus::Complete, false),
            run("a-2", "/r", RunStatus::Running, false),
            run("a-3", "/r", RunStatus::Incomplete, false),
            run("b-1", "/o", RunStatus::Running, false),
        ];
        let candidates = Candidates::of(&runs, Some("/r"));
        assert_eq!(candidates.notice(&runs[1]), None);
        // The latest one that ended is chosen, but one that did not is here, too.
        assert_eq!(
            candidates.notice(&runs[2]).as_deref(),
            Some("RUN is left out, so this is about a-3 (incomplete); there is also a-2 (running)")
        );
        assert_eq!(
            candidates.notice(&runs[3]).as_deref(),
            Some("RUN is left out, so this is about b-1 (running); there is also a-2 (running)")
        );
        let runs = [run("a-1", "/r", RunStatus::Complete, true), run("a-2", "/r", RunStatus::Paused, false)];
        let candidates = Candidates::of(&runs, Some("/r"));
        assert_eq!(
            candidates.notice(&runs[1]).as_deref(),
            Some("RUN is left out, so this is about a-2 (paused); there is also a-1 (complete, not accepted)")
        );
        let refusal = candidates.refusal(&runs[1], "orchctl cancel a-2");
        assert_eq!(refusal.exit(), crate::exit::Exit::Usage);
        assert_eq!(refusal.what(), "RUN is left out, and more than one could be meant: a-2 (paused), a-1 (complete, not accepted)");
        assert_eq!(Candidates::of(&[], Some("/r")).notice(&runs[0]), None);
        assert!(Candidates::of(&runs, None).doubt(&runs[0]));
        // Nothing of this repository is left, and the chosen one is another's.
        assert!(Candidates::of(&runs, Some("/elsewhere")).doubt(&runs[0]));
    }
}
