//! Follows a run: shows progress, writes the mirror files, keeps the run's branch up to date, and says how it ended.
//!
//! It asks for the status again and again rather than listening to transitions: what it shows, writes and fetches is the state as a whole, and a poll
//! that fails is the one sign of a coordinator that went away.

use std::time::{Duration, Instant};

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::shutdown::{Shutdown, Stage};
use roundtable_shared::view::{MirrorView, PausedView, Query, StatusView, WaitView, WaitedView};
use roundtable_shared::{RunStatus, WaitKind};

use crate::api::Api;
use crate::branch::RunBranch;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::mirror::{MirrorWriter, Report};
use crate::output::progress::Progress;
use crate::select::exactly;

/// Time between two looks while things change.
const LIVELY: Duration = Duration::from_millis(200);
/// Time between two looks when nothing has changed for a while.
const QUIET: Duration = Duration::from_secs(1);
/// How long nothing must have changed for that.
const QUIET_AFTER: Duration = Duration::from_secs(30);
/// A look may take this share of the time: large runs are looked at less often.
const SHARE: u32 = 10;
/// But not less often than that: one look that was slow, as over a link that was cut for a moment, says nothing of the next.
const SELDOM: Duration = Duration::from_secs(5);
/// Nothing more is expected of a step after so long without change.
const SETTLED_AFTER: Duration = Duration::from_millis(1500);
/// Least time between two fetches while the run goes on.
const FETCH_INTERVAL: Duration = Duration::from_secs(5);

/// Why following ended.
#[derive(Debug)]
pub enum Ended {
    /// The run is over, or only a person can move it.
    Over(Box<StatusView>),
    /// Ctrl-C.
    Interrupted,
    /// The deadline passed.
    TimedOut,
    /// The coordinator went away.
    Lost(Failure),
}

/// When following is to end by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// The run is over, or only a person can move it.
    Over,
    /// No attempt is live any more.
    Idle,
    /// No attempt is live, and nothing has changed for a moment.
    Settled,
}

/// One run being followed.
pub struct Follower<'a> {
    api: &'a Api,
    run: String,
    /// What shows it.
    pub progress: Progress,
    mirror: Option<MirrorWriter>,
    branch: Option<RunBranch>,
    last: Option<StatusView>,
    changed_at: Instant,
    mirror_stale: bool,
    fetched_at: Option<Instant>,
    told: Vec<String>,
    pulse_problem: Option<String>,
}

impl<'a> Follower<'a> {
    /// Follows a run by its full id.
    pub fn new(api: &'a Api, run: &str, progress: Progress) -> Self {
        Self {
            api,
            run: run.to_owned(),
            progress,
            mirror: None,
            branch: None,
            last: None,
            changed_at: Instant::now(),
            mirror_stale: true,
            fetched_at: None,
            told: Vec::new(),
            pulse_problem: None,
        }
    }

    /// Writes mirror files along the way.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Option<MirrorWriter>) -> Self {
        self.mirror = mirror;
        self
    }

    /// Keeps the run's branch up to date along the way.
    #[must_use]
    pub fn with_branch(mut self, branch: Option<RunBranch>) -> Self {
        self.branch = branch;
        self
    }

    /// Gives back what was kept, for another coordinator of the same data dir to go on with.
    pub fn into_parts(self) -> (Progress, Option<MirrorWriter>, Option<RunBranch>) {
        (self.progress, self.mirror, self.branch)
    }

    /// Why the pulse was not written the last time, if it was not.
    pub fn pulse_problem(&self) -> Option<&str> {
        self.pulse_problem.as_deref()
    }

    /// Looks once and does what would be done at the end, for a run that is over already.
    pub async fn catch_up(&mut self) -> Result<StatusView> {
        let status: StatusView = self.api.query(&Query::Status { run: exactly(&self.run) }).await?;
        self.last = Some(status.clone());
        self.settle().await;
        Ok(status)
    }

    /// Follows until it ends one way or another. `stage` is the request to end that interrupts it.
    pub async fn follow(&mut self, until: Until, deadline: Option<Instant>, shutdown: &Shutdown, stage: Stage) -> Ended {
        loop {
            let began = Instant::now();
            let status = tokio::select! {
                status = self.look() => status,
                () = asked(shutdown, stage) => return Ended::Interrupted,
            };
            let status = match status {
                Ok(status) => status,
                Err(failure) => return Ended::Lost(failure),
            };
            let over = match until {
                Until::Over => is_over(&status),
                Until::Idle => !is_busy(&status),
                Until::Settled => !is_busy(&status) && self.changed_at.elapsed() >= SETTLED_AFTER,
            };
            if over {
                self.settle().await;
                return Ended::Over(Box::new(status));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.settle().await;
                return Ended::TimedOut;
            }
            let pause = self.pause(began.elapsed(), deadline);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = asked(shutdown, stage) => return Ended::Interrupted,
            }
        }
    }

    /// One look: status, progress, mirrors, branch.
    async fn look(&mut self) -> Result<StatusView> {
        let status: StatusView = self.api.query(&Query::Status { run: exactly(&self.run) }).await?;
        let now = Instant::now();
        if self.last.as_ref().is_none_or(|last| !is_same(last, &status)) {
            self.changed_at = now;
            self.mirror_stale = true;
        }
        self.progress.update(&status, SystemClock.wall(), now);
        if let Some(paused) = &status.paused {
            self.tell(&paused_text(&status.run, paused));
        }
        if self.mirror_stale && self.mirror.as_ref().is_some_and(|mirror| mirror.is_due(now)) {
            self.write_mirror().await;
        }
        if self.fetched_at.is_none_or(|at| now.duration_since(at) >= FETCH_INTERVAL) && status.head != status.base {
            self.bring_branch(&status.head).await;
        }
        self.last = Some(status.clone());
        Ok(status)
    }

    /// The last write and fetch, whatever was due.
    async fn settle(&mut self) {
        self.write_mirror().await;
        if let Some(head) = self.last.as_ref().map(|status| status.head.clone()).filter(|head| !head.is_empty()) {
            self.bring_branch(&head).await;
        }
    }

    fn pause(&self, took: Duration, deadline: Option<Instant>) -> Duration {
        let pause = pause_after(took, self.changed_at.elapsed() > QUIET_AFTER);
        deadline.map_or(pause, |deadline| pause.min(deadline.saturating_duration_since(Instant::now())))
    }

    /// Mirror files are views: that they cannot be written is said, and stops nothing.
    async fn write_mirror(&mut self) {
        let Some(mirror) = &mut self.mirror else { return };
        let query = Query::Mirror { run: exactly(&self.run), existing: mirror.existing_pulse() };
        let pulse = mirror.paths().pulse.display().to_string();
        let mut problem = None;
        let written = match self.api.query::<MirrorView>(&query).await {
            Ok(view) => {
                problem.clone_from(&view.pulse_problem);
                mirror.write(&view, Instant::now()).map_err(|error| format!("mirror files cannot be written: {error}"))
            }
            Err(failure) => Err(format!("mirror files cannot be rendered: {}", failure.what())),
        };
        match written {
            Ok(Report { held_by_another: true, .. }) => self.tell("another orchctl writes these mirror files; this one leaves them alone"),
            Ok(report) => {
                self.mirror_stale = false;
                self.pulse_problem = problem
                    .map(|why| format!("{pulse} is left as it is: {why}; add the headings, or move the file away to have it written anew"));
                if let Some(problem) = self.pulse_problem.clone() {
                    self.tell(&problem);
                }
                for kept in report.kept {
                    self.progress.note(&format!("a mirror file was edited from outside; the edit is kept as {}", kept.display()));
                }
            }
            Err(text) => self.tell(&text),
        }
    }

    async fn bring_branch(&mut self, head: &str) {
        let (Some(branch), Some(client)) = (&mut self.branch, self.api.client()) else { return };
        self.fetched_at = Some(Instant::now());
        if let Err(failure) = branch.bring_to(client, head).await
            && failure.exit() != Exit::Unreachable
        {
            self.tell(&format!("the run's branch here is not up to date: {}", failure.what()));
        }
    }

    /// Says something once.
    fn tell(&mut self, text: &str) {
        if !self.told.iter().any(|told| told == text) {
            self.progress.note(text);
            self.told.push(text.to_owned());
        }
    }
}

/// The pause after a look that took so long.
fn pause_after(took: Duration, is_quiet: bool) -> Duration {
    let base = if is_quiet { QUIET } else { LIVELY };
    base.max(took.saturating_mul(SHARE).min(SELDOM))
}

/// Nothing is granted, and nothing will be by itself.
fn paused_text(run: &str, paused: &PausedView) -> String {
    let note = if paused.note.is_empty() { String::new() } else { format!(" ({})", paused.note) };
    let (what, which) = if paused.all { ("every run is", "--all") } else { ("the run is", run) };
    format!("{what} paused by {} since {}{note}: nothing is granted until `orchctl resume {which}`", paused.by, paused.at)
}

/// Whether nothing but a person, or another command, can move it.
pub fn is_over(status: &StatusView) -> bool {
    match status.status.known() {
        Some(RunStatus::Waiting) => true,
        Some(RunStatus::Halted) => status.exit.is_some() && running(status) == 0,
        _ => status.exit.is_some(),
    }
}

/// The exit code of a status that is over.
pub fn exit_of(status: &StatusView) -> Exit {
    match status.exit {
        Some(code) => Exit::of_run(code),
        None if status.status == RunStatus::Waiting => Exit::DecisionsWait,
        None => Exit::Failed,
    }
}

async fn asked(shutdown: &Shutdown, stage: Stage) {
    match stage {
        Stage::Stopping => shutdown.stopping().await,
        Stage::Running | Stage::Draining => shutdown.draining().await,
    }
}

fn running(status: &StatusView) -> u32 {
    status.counts.running()
}

/// Whether something of the run is under way, its own seats included.
fn is_busy(status: &StatusView) -> bool {
    status.busy || running(status) > 0
}

/// Whether two statuses differ in nothing but the time.
fn is_same(one: &StatusView, other: &StatusView) -> bool {
    let still = |status: &StatusView| {
        let mut status = StatusView { elapsed_ms: 0, waited: WaitedView::default(), runs: Vec::new(), ..status.clone() };
        for unit in &mut status.units {
            unit.running_ms = None;
            // What waits for a time says how long.
            let timed = |wait: &&mut WaitView| matches!(wait.kind.known(), Some(WaitKind::Parked | WaitKind::Backoff));
            unit.waiting.iter_mut().filter(timed).for_each(|wait| wait.text.clear());
        }
        status.parks.iter_mut().for_each(|park| park.goes_on.clear());
        status
    };
    still(one) == still(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use roundtable_shared::UnitState;
    use roundtable_shared::view::Counts;

    use crate::output::status::samples::status;

    #[test]
    fn time_alone_is_no_change() {
        let one = status();
        let waited = WaitedView { people_ms: 999_000, ..WaitedView::default() };
        let mut other = StatusView { elapsed_ms: 999_000, waited, ..status() };
        other.units[2].running_ms = Some(999_000);
        assert!(is_same(&one, &other));
        other.units[2].status = UnitState::PendingReview.into();
        assert!(!is_same(&one, &other));
    }

    #[test]
    fn slow_looks_are_seldom_and_a_very_slow_one_is_no_reason_to_look_away() {
        let pause = |ms, is_quiet| pause_after(Duration::from_millis(ms), is_quiet).as_millis();
        assert_eq!((pause(5, false), pause(5, true)), (200, 1000));
        assert_eq!((pause(300, false), pause(300, true)), (3000, 3000));
        assert_eq!((pause(3_500, false), pause(60_000, true)), (5000, 5000));
    }

    #[test]
    fn a_halted_run_is_over_when_its_agents_have_ended() {
        let halted = StatusView { status: RunStatus::Halted.into(), exit: Some(1), ..status() };
        assert!(!is_over(&halted));
        let idle = StatusView { counts: Counts::new(5, 6, 0), ..halted };
        assert!(is_over(&idle));
        assert_eq!(exit_of(&idle), Exit::Failed);
        let waiting = StatusView { status: RunStatus::Waiting.into(), ..status() };
        assert!(is_over(&waiting));
        assert_eq!(exit_of(&waiting), Exit::DecisionsWait);
        assert!(!is_over(&status()));
    }
}
