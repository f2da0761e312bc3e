//! Agents: what a turn changes and answers, good or bad, from the seed.

use roundtable_core::command::RoleAnswer;
use roundtable_core::effect::Grant;
use roundtable_core::state::{Run, Unit};
use roundtable_shared::answer::{
    Action, CheckedAssignment, OrchestrateAnswer, OrchestrateDecision, Proposal, Refusal, RefusalKind, ReviewAnswer, WorkAnswer, WorkStatus,
};
use roundtable_shared::{
    BackendName, CommitId, Criticality, EarlierVerdict, EntryKind, FailureKind, Finding, FindingAnswer, Issue, Role, Severity,
    VerdictOnEarlier,
};

use crate::plans::a_path_of;
use crate::repository::TASKS_PATH;
use crate::rng::Rng;
use crate::shape::{Agents, Outage};

/// A lease with the turn that will be played.
#[derive(Clone)]
pub struct Turn {
    pub grant: Grant,
    pub start: CommitId,
    pub prepare_ms: u64,
    pub setup_ms: u64,
    pub run_ms: u64,
    pub failure: Option<FailureKind>,
    pub edits: Vec<Edit>,
    pub answer: Result<RoleAnswer, String>,
    pub learned: bool,
    /// Its worker never ends it.
    pub wedged: bool,
}

/// One path changed.
#[derive(Clone)]
pub enum Edit {
    Write(String, EntryKind),
    Delete(String),
}

/// Decides a turn in advance; `red`: what is to be checked is.
pub fn turn(rng: &mut Rng, agents: &Agents, run: &Run, grant: &Grant, start: CommitId, now_ms: u64, red: bool) -> Turn {
    let unit = grant.lease.key.unit.as_ref().and_then(|unit| run.unit(unit));
    let mut turn = Turn {
        grant: grant.clone(),
        start,
        prepare_ms: rng.tailed(20, 4_000),
        setup_ms: rng.tailed(20, 10_000),
        run_ms: rng.tailed(1_000, agents.turn_ms_max),
        failure: None,
        edits: Vec::new(),
        answer: Ok(RoleAnswer::None),
        learned: false,
        wedged: rng.chance(agents.wedges),
    };
    if rng.chance(agents.slow_start) {
        turn.prepare_ms = rng.range(10_000, 30_000);
    }
    if rng.chance(agents.fails) {
        turn.failure = Some(failure(rng, agents));
    }
    let is_out = |outage: &Outage| outage.backend == grant.granted.backend.as_str() && (outage.from_ms..outage.to_ms).contains(&now_ms);
    if grant.granted.role != Role::Check && agents.outages.iter().any(is_out) {
        turn.run_ms = rng.range(10, 3_000);
        turn.failure = Some(refusal(rng));
    }
    match grant.granted.role {
        Role::Implement | Role::Fix => work(rng, agents, run, unit, &mut turn),
        Role::Review => turn.answer = review(rng, agents, unit),
        Role::Assign => turn.answer = assign(rng, agents, run),
        Role::Orchestrate => turn.answer = orchestrate(rng, agents),
        Role::Check => {
            if rng.chance(agents.red) || red {
                turn.failure = Some(FailureKind::ExitStatus { code: Some(1), signal: None });
            }
        }
    }
    turn
}

fn failure(rng: &mut Rng, agents: &Agents) -> FailureKind {
    match rng.below(17) {
        0 | 1 => FailureKind::ExitStatus { code: Some(1), signal: None },
        2 => FailureKind::TurnFailed,
        3 => FailureKind::WallLimit,
        4 => FailureKind::Truncated,
        5 => FailureKind::Setup,
        6 => FailureKind::Disk,
        7 => FailureKind::Interrupted,
        8 => FailureKind::Bug,
        9 => FailureKind::Config,
        10 => FailureKind::RateLimit { retry_after_ms: None },
        11 => FailureKind::RateLimit { retry_after_ms: Some(rng.range(0, agents.reset_ms_max)) },
        12 => FailureKind::Quota { retry_after_ms: Some(rng.range(0, agents.reset_ms_max)) },
        13 => FailureKind::ProviderUnavailable,
        14 => FailureKind::Auth,
        15 => FailureKind::Misconfigured,
        _ => FailureKind::ContextOverflow,
    }
}

/// What a provider says that is down, without telling for how long.
fn refusal(rng: &mut Rng) -> FailureKind {
    match rng.below(8) {
        0 => FailureKind::Quota { retry_after_ms: None },
        1..=3 => FailureKind::RateLimit { retry_after_ms: None },
        _ => FailureKind::ProviderUnavailable,
    }
}

fn work(rng: &mut Rng, agents: &Agents, run: &Run, unit: Option<&Unit>, turn: &mut Turn) {
    let Some(unit) = unit else { return };
    let entries = unit.assignment.manifest.writes.entries();
    let quiet = unit.spec.checkpoint || (entries.is_empty() && !unit.assignment.manifest.reads.is_empty());
    if !quiet || rng.chance(100) {
        for entry in entries {
            let path = a_path_of(entry, rng);
            turn.edits.push(if rng.chance(60) { Edit::Delete(path) } else { Edit::Write(path, EntryKind::File) });
        }
        if entries.is_empty() {
            turn.edits.push(Edit::Write(format!("area{}/f{}.rs", rng.below(4), rng.below(4)), EntryKind::File));
        }
    }
    if rng.chance(agents.strays) {
        stray(rng, run, unit, turn);
    }
    if rng.chance(agents.idle) {
        turn.edits.clear();
    }
    let mut answer = WorkAnswer {
        status: WorkStatus::Completed,
        completed_subtasks: Vec::new(),
        failed_subtask: None,
        error: None,
        summary: "did it".to_owned(),
        files_changed: Vec::new(),
        tests_passed: None,
        tests_failed: None,
        coverage: None,
        learnings: Vec::new(),
        evidence: Vec::new(),
        refusal: None,
        answers: answers(rng, unit),
    };
    let open: Vec<_> = unit.open_subtasks().map(|subtask| subtask.id.clone()).collect();
    if rng.chance(agents.partial) && !open.is_empty() {
        let done = rng.below(open.len() as u64) as usize;
        answer.completed_subtasks = open[..done].to_vec();
        if rng.chance(600) {
            answer.status = WorkStatus::Failed;
            answer.failed_subtask = Some(open[done].clone());
            answer.error = Some("a step failed".to_owned());
        }
    } else if rng.chance(agents.garbage) {
        answer.status = WorkStatus::Failed;
    }
    if answer.status == WorkStatus::Failed && rng.chance(300) {
        answer.refusal =
            Some(*rng.pick(&[RefusalKind::Underspecified, RefusalKind::BlockedOn, RefusalKind::BlockedOn, RefusalKind::OutOfScope]));
        answer.error = Some(format!("unit {} must be there first", run.units[rng.below(run.units.len() as u64) as usize].id));
    }
    if rng.chance(100) {
        answer.learnings.push(roundtable_shared::answer::Learning { text: format!("note {}", rng.below(30)), path: None });
    }
    turn.answer = if rng.chance(agents.garbage) { Err("prose".to_owned()) } else { Ok(RoleAnswer::Work(answer)) };
}

/// Outside the manifest: free, held by another, protected, forbidden, or ours.
fn stray(rng: &mut Rng, run: &Run, unit: &Unit, turn: &mut Turn) {
    let edit = match rng.below(18) {
        0 => Edit::Write(".gitattributes".to_owned(), EntryKind::File),
        1 => Edit::Write("area0/link".to_owned(), EntryKind::EscapingSymlink),
        2 => Edit::Write("vendor/sub".to_owned(), EntryKind::Gitlink),
        3 => Edit::Write(TASKS_PATH.to_owned(), EntryKind::File),
        4 => {
            turn.learned = true;
            Edit::Write("AGENTS.md".to_owned(), EntryKind::File)
        }
        5 | 6 => Edit::Write(format!("free/g{}.rs", rng.below(5)), EntryKind::File),
        _ => {
            let holding = rng.chance(800);
            let is_other =
                |other: &&Unit| other.id != unit.id && !other.assignment.manifest.writes.is_empty() && (!holding || other.holds());
            let others: Vec<&Unit> = run.units().filter(is_other).collect();
            if others.is_empty() {
                Edit::Write("free/g9.rs".to_owned(), EntryKind::File)
            } else {
                let other = rng.pick(&others);
                let entries = other.assignment.manifest.writes.entries();
                let entry = &entries[rng.below(entries.len() as u64) as usize];
                Edit::Write(a_path_of(entry, rng), EntryKind::File)
            }
        }
    };
    turn.edits.push(edit);
}

/// What the owner says to some of the findings it knows.
fn answers(rng: &mut Rng, unit: &Unit) -> Vec<FindingAnswer> {
    let mut answers = Vec::new();
    for point in unit.review.findings.iter().flat_map(Finding::points) {
        if rng.chance(300) {
            let why_not = rng.chance(400).then(|| "it is meant so".to_owned());
            let fixed = why_not.is_none().then(|| "changed".to_owned());
            answers.push(FindingAnswer { finding: point.id.to_owned(), fixed, why_not });
        }
    }
    answers
}

fn review(rng: &mut Rng, agents: &Agents, unit: Option<&Unit>) -> Result<RoleAnswer, String> {
    if rng.chance(agents.garbage) {
        return Err("prose".to_owned());
    }
    let severity = if rng.chance(agents.severe) {
        *rng.pick(&[Severity::Major, Severity::Critical])
    } else {
        *rng.pick(&[Severity::None, Severity::None, Severity::Minor])
    };
    let points: Vec<String> =
        unit.iter().flat_map(|unit| &unit.review.findings).flat_map(Finding::points).map(|point| point.id.to_owned()).collect();
    let mut id = String::new();
    if !points.is_empty() && rng.chance(500) {
        id.clone_from(rng.pick(&points));
    }
    let grounded = rng.chance(700);
    let (file, line) = (grounded.then(|| "area0/f0.rs".to_owned()), grounded.then_some(1));
    let issue = Issue { id: id.clone(), description: "see here".to_owned(), severity, file, line, reproduced: None };
    let issues = if severity == Severity::None { Vec::new() } else { vec![issue] };
    let mut earlier = Vec::new();
    if !id.is_empty() && rng.chance(400) {
        let verdict = *rng.pick(&[VerdictOnEarlier::Closed, VerdictOnEarlier::Accepted, VerdictOnEarlier::Kept]);
        earlier.push(EarlierVerdict { id, verdict, note: None });
    }
    Ok(RoleAnswer::Review(ReviewAnswer { severity, summary: "looked at".to_owned(), details: None, issues, earlier }))
}

fn assign(rng: &mut Rng, agents: &Agents, run: &Run) -> Result<RoleAnswer, String> {
    if rng.chance(agents.garbage) {
        return Err("prose".to_owned());
    }
    let mut checked = CheckedAssignment::default();
    for unit in run.units().filter(|unit| unit.spec.runs) {
        if rng.chance(400) {
            continue;
        }
        let mut proposal = Proposal::keep(unit.id.clone());
        if rng.chance(400) {
            proposal.owner_agent = Some(BackendName::from(*rng.pick(&["codex", "gemini", "opencode", "codex-review"])));
        }
        if rng.chance(300) {
            proposal.criticality = Some(*rng.pick(&[Criticality::Standard, Criticality::Complex, Criticality::SecuritySensitive]));
        }
        if rng.chance(200) {
            proposal.writes = Some(vec![format!("area{}/f{}.rs", rng.below(3), rng.below(4))]);
        }
        if rng.chance(200) {
            proposal.depends_on = vec![run.units[rng.below(run.units.len() as u64) as usize].id.clone()];
        }
        checked.accepted.push(proposal);
    }
    if rng.chance(agents.garbage) {
        checked.refused.push(Refusal { unit: "99".to_owned(), field: "id".to_owned(), reason: "unknown".to_owned() });
    }
    Ok(RoleAnswer::Assign(checked))
}

fn orchestrate(rng: &mut Rng, agents: &Agents) -> Result<RoleAnswer, String> {
    if rng.chance(agents.garbage) {
        return Err("prose".to_owned());
    }
    let pick = |rng: &mut Rng, chance| Action::ALL.iter().copied().filter(|action| *action != Action::Halt && rng.chance(chance)).collect();
    let mut actions: Vec<Action> = pick(rng, 200);
    if rng.chance(agents.halts) {
        actions.push(Action::Halt);
    }
    let decision = if rng.chance(100) { OrchestrateDecision::Complete } else { OrchestrateDecision::Continue };
    let hold = pick(rng, agents.holds);
    Ok(RoleAnswer::Orchestrate(OrchestrateAnswer { decision, actions, notes: None, hold, unknown: Vec::new() }))
}
