//! Which run and which unit the words on the command line mean. RUN may be left out, or shortened to a unique beginning of its id.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{Query, RunLine, RunSelector, ShowView};

use crate::api::Api;
use crate::candidates::Candidates;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::{WIDTH, wrap};

/// Ids named when a beginning fits several.
const SHOWN_MAX: usize = 5;

/// A run, and a unit of it where one is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Full id.
    pub run: String,
    /// The unit as typed: its id, one of its tasks', or `-` for the run's own seats.
    pub unit: Option<String>,
}

impl Target {
    /// The run as queries take it.
    pub fn selector(&self) -> RunSelector {
        exactly(&self.run)
    }
}

/// A full id as queries take it.
pub fn exactly(run: &str) -> RunSelector {
    RunSelector { run: Some(run.to_owned()), git_dir: None }
}

/// The run a word means; without one, the only unfinished run of the repository, else its latest.
pub fn pick<'r>(runs: &'r [RunLine], word: Option<&str>, git_dir: Option<&str>) -> Result<&'r RunLine> {
    let Some(word) = word else {
        return default_run(runs, git_dir);
    };
    if let Some(run) = runs.iter().find(|run| run.run == word) {
        return Ok(run);
    }
    let fitting: Vec<&RunLine> = runs.iter().filter(|run| !word.is_empty() && run.run.starts_with(word)).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::of(ErrorCode::NotFound, format!("there is no run {word}")).next("list them with `orchctl runs`")),
        several => {
            let mut ids: Vec<&str> = several.iter().take(SHOWN_MAX).map(|run| run.run.as_str()).collect();
            if several.len() > SHOWN_MAX {
                ids.push("…");
            }
            Err(Failure::usage(format!("{word} is the beginning of several runs: {}", ids.join(", "))).next("give more letters"))
        }
    }
}

fn default_run<'r>(runs: &'r [RunLine], git_dir: Option<&str>) -> Result<&'r RunLine> {
    // One that was removed is meant only by its name.
    let runs: Vec<&RunLine> = runs.iter().filter(|run| run.removed_at.is_none()).collect();
    let here: Vec<&RunLine> = runs.iter().copied().filter(|run| git_dir.is_none_or(|dir| run.repository == dir)).collect();
    let unfinished: Vec<&&RunLine> = here.iter().filter(|run| run.ended_at.is_none()).collect();
    let latest = here.iter().copied().max_by(|a, b| a.created_at.cmp(&b.created_at));
    match (unfinished.as_slice(), latest) {
        ([only], _) => Ok(only),
        (_, Some(latest)) => Ok(latest),
        (_, None) if runs.is_empty() => {
            Err(Failure::of(ErrorCode::NotFound, "there is no run yet").next("start one with `orchctl run --spec DIR`"))
        }
        (_, None) => Err(Failure::of(ErrorCode::NotFound, "this repository has no run").next("name one: `orchctl runs` lists them")),
    }
}

/// Resolves words against a coordinator or data dir.
pub struct Selector<'a> {
    api: &'a Api,
    git_dir: Option<String>,
    runs: Vec<RunLine>,
    /// The chosen run was named.
    announced: AtomicBool,
}

impl<'a> Selector<'a> {
    /// Asks for the runs once. `git_dir` is the common git directory of the repository the user is in, if any.
    pub async fn new(api: &'a Api, git_dir: Option<String>) -> Result<Self> {
        let runs = api.query(&Query::Runs).await?;
        Ok(Self { api, git_dir, runs, announced: AtomicBool::new(false) })
    }

    /// All runs.
    pub fn runs(&self) -> &[RunLine] {
        &self.runs
    }

    /// `[RUN]`. One that was left out is named first where another could be meant.
    pub fn run(&self, word: Option<&str>) -> Result<&RunLine> {
        let run = self.pick(word)?;
        if word.is_none() {
            self.announce(run);
        }
        Ok(run)
    }

    /// Runs that may be meant where none is named.
    pub fn candidates(&self) -> Candidates<'_> {
        Candidates::of(&self.runs, self.git_dir.as_deref())
    }

    /// Names the run that was chosen because none was named, where another could be meant.
    pub fn announce(&self, run: &RunLine) {
        if let Some(notice) = self.candidates().notice(run)
            && !self.announced.swap(true, Ordering::Relaxed)
        {
            note(&notice);
        }
    }

    /// The repository the user is in.
    pub fn git_dir(&self) -> Option<&str> {
        self.git_dir.as_deref()
    }

    /// `[RUN]`, naming nothing.
    pub fn pick(&self, word: Option<&str>) -> Result<&RunLine> {
        pick(&self.runs, word, self.git_dir.as_deref())
    }

    /// `[RUN] UNIT`.
    pub async fn unit(&self, words: &[String]) -> Result<Target> {
        match words {
            [unit] => self.lone(unit, true).await,
            words => self.pair(words),
        }
    }

    /// `[RUN] [UNIT]`.
    pub async fn maybe_unit(&self, words: &[String]) -> Result<Target> {
        match words {
            [] => Ok(Target { run: self.run(None)?.run.clone(), unit: None }),
            [word] => self.lone(word, false).await,
            words => self.pair(words),
        }
    }

    fn pair(&self, words: &[String]) -> Result<Target> {
        let [run, unit] = words else {
            return Err(Failure::usage("too many words; a run and a unit are enough"));
        };
        Ok(Target { run: self.run(Some(run))?.run.clone(), unit: Some(unit.clone()) })
    }

    async fn lone(&self, word: &str, unit_needed: bool) -> Result<Target> {
        let as_run = self.pick(Some(word));
        let default = self.pick(None);
        let is_unit = match &default {
            Ok(run) => word == "-" || self.has_unit(&run.run, word).await?,
            Err(_) => false,
        };
        if let (true, Err(_), Ok(run)) = (is_unit, &as_run, &default) {
            self.announce(run);
        }
        decide(word, as_run, default, is_unit, unit_needed)
    }

    async fn has_unit(&self, run: &str, unit: &str) -> Result<bool> {
        let answer = self.api.query::<ShowView>(&Query::Show { run: exactly(run), unit: unit.to_owned() }).await;
        match answer {
            Ok(_) => Ok(true),
            Err(failure) if matches!(failure.exit(), Exit::Failed | Exit::Usage) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// Says something on standard error that comes before the answer.
fn note(text: &str) {
    for line in wrap(text, WIDTH) {
        // Whoever closed standard error does not want to read it.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// What a word alone means, given what it fits.
fn decide(word: &str, as_run: Result<&RunLine>, default: Result<&RunLine>, is_unit: bool, unit_needed: bool) -> Result<Target> {
    let fits_run = match &as_run {
        Ok(_) => true,
        Err(several) => several.exit() == Exit::Usage,
    };
    match (fits_run, is_unit) {
        (true, true) => {
            let run = default.map(|run| run.run.clone()).unwrap_or_default();
            Err(Failure::usage(format!("{word} fits a run and a unit"))
                .next(format!("for the unit: {run} {word}"))
                .next("for the run: give more letters of its id"))
        }
        (false, true) => Ok(Target { run: default?.run.clone(), unit: Some(word.to_owned()) }),
        (true, false) if unit_needed => {
            let run = as_run?.run.clone();
            Err(Failure::usage(format!("{word} is a run; the unit is missing")).next(format!("`orchctl status {run}` lists its units")))
        }
        (true, false) => Ok(Target { run: as_run?.run.clone(), unit: None }),
        (false, false) => {
            let run = default?.run.clone();
            let failure = Failure::of(ErrorCode::NotFound, format!("{word} is neither a run nor a unit of {run}"));
            Err(failure.next(format!("`orchctl status {run}` lists its units, `orchctl runs` the runs")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(id: &str, repository: &str, created: u32, ended: bool) -> RunLine {
        RunLine {
            run: id.into(),
            repository: repository.into(),
            created_at: format!("2026-01-01T00:{created:02}:00Z"),
            ended_at: ended.then(|| "2026-01-02T00:00:00Z".to_owned()),
            ..RunLine::default()
        }
    }

    fn picked(runs: &[RunLine], word: Option<&str>, git_dir: Option<&str>) -> std::result::Result<String, Exit> {
        pick(runs, word, git_dir).map(|run| run.run.clone()).map_err(|failure| failure.exit())
    }

    #[test]
    fn left_out_it_is_the_only_unfinished_run_here_else_the_latest() {
        let runs = [run("a-1", "/r", 1, false), run("a-2", "/r", 2, true), run("b-1", "/other", 3, false)];
        assert_eq!(picked(&runs, None, Some("/r")), Ok("a-1".into()));
        assert_eq!(picked(&runs, None, Some("/other")), Ok("b-1".into()));
        assert_eq!(picked(&runs, None, None), Ok("b-1".into()));
        assert_eq!(picked(&runs[1..2], None, Some("/r")), Ok("a-2".into()));
        let two = [run("a-1", "/r", 1, false), run("a-2", "/r", 2, false)];
        assert_eq!(picked(&two, None, Some("/r")), Ok("a-2".into()));
        assert_eq!(picked(&runs, None, Some("/nowhere")), Err(Exit::Failed));
        assert_eq!(picked(&[], None, None), Err(Exit::Failed));
    }

    #[test]
    fn a_beginning_must_be_unique_but_a_whole_id_wins() {
        let runs = [run("login-abc", "/r", 1, true), run("login-abd", "/r", 2, true), run("login", "/r", 3, true)];
        assert_eq!(picked(&runs, Some("login-abd"), None), Ok("login-abd".into()));
        assert_eq!(picked(&runs, Some("login-abc"), Some("/elsewhere")), Ok("login-abc".into()));
        assert_eq!(picked(&runs, Some("login-ab"), None), Err(Exit::Usage));
        assert_eq!(picked(&runs, Some("login"), None), Ok("login".into()));
        assert_eq!(picked(&runs, Some("x"), None), Err(Exit::Failed));
        assert_eq!(picked(&runs, Some(""), None), Err(Exit::Failed));
    }

    #[test]
    fn a_word_alone_is_what_it_fits_and_both_is_an_error() {
        let runs = [run("1-login-abc", "/r", 1, false)];
        let lone = |word: &str, is_unit: bool, needed: bool| {
            decide(word, pick(&runs, Some(word), None), pick(&runs, None, None), is_unit, needed).map_err(|failure| failure.exit())
        };
        let target = |unit: Option<&str>| Ok(Target { run: "1-login-abc".into(), unit: unit.map(str::to_owned) });
        assert_eq!(lone("2", true, true), target(Some("2")));
        assert_eq!(lone("1-l", false, false), target(None));
        assert_eq!(lone("1-l", false, true), Err(Exit::Usage));
        assert_eq!(lone("1", true, false), Err(Exit::Usage));
        assert_eq!(lone("1", true, true), Err(Exit::Usage));
        assert_eq!(lone("9", false, false), Err(Exit::Failed));
    }
}
