//! From the core's state and the shell's facts to what a prompt is made of. Nothing here is cut or cleaned; that happens when it is rendered.

use std::collections::BTreeSet;

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::effect::{Grant, Start};
use roundtable_core::state::{Attempt, AttemptEnd, FixCause, Run, Stage, Unit};
use roundtable_shared::limits::{FIX_ATTEMPTS_MAX, WINDOWS_MAX};
use roundtable_shared::spec::{RequirementIndex, Task, Unit as Outlined, assign_by_rules};
use roundtable_shared::{
    Answer, Choice, Criticality, Finding, ManifestRule, Role, Seat, Severity, SubtaskState, TurnData, TurnSubtask, TurnUnit, UnitId,
    UnitType,
};

use super::facts::{self, PromptFacts};
use super::input::*;
use crate::view;

/// Entries of a list that go into the structured half of a turn; the prompt says how many there are in all.
const TURN_ENTRIES_MAX: usize = 1000;
/// Units that go into the structured half of a run-level turn.
const TURN_UNITS_MAX: usize = 500;

impl PromptInput {
    /// Everything the turn of a grant is told; `None` if the state does not know its run or unit (any more).
    pub fn for_grant(core: &Core, now: Now, grant: &Grant, facts: &PromptFacts) -> Option<Self> {
        let state = &core.state;
        let run = state.run(&grant.lease.key.run)?;
        let unit = match &grant.lease.key.unit {
            Some(id) => Some(run.unit(id)?),
            None => None,
        };
        let attempt = state.attempt(&grant.lease.key);
        let body = match (grant.role, unit) {
            (Role::Implement, Some(unit)) => PromptBody::Implement(Box::new(work(run, unit, grant, attempt, facts)?)),
            (Role::Fix, Some(unit)) => PromptBody::Fix(Box::new(work(run, unit, grant, attempt, facts)?)),
            (Role::Review, Some(unit)) => PromptBody::Review(Box::new(review(run, unit, grant, facts)?)),
            (Role::Assign, _) => PromptBody::Assign(Box::new(assign(run, facts))),
            (Role::Orchestrate, _) => PromptBody::Orchestrate(Box::new(orchestrate(core, now, run, facts))),
            (Role::Check, _) => PromptBody::Check,
            (Role::Implement | Role::Fix | Role::Review, None) => return None,
        };
        Some(Self { turn: turn(run, unit, grant), body })
    }
}

fn turn(run: &Run, unit: Option<&Unit>, grant: &Grant) -> TurnData {
    let entries = |list: &[String]| list.iter().take(TURN_ENTRIES_MAX).cloned().collect();
    let round = match grant.role {
        Role::Implement => 1,
        Role::Fix => unit.map_or(1, |unit| unit.fix_attempts + 1),
        Role::Review | Role::Check => unit.map_or(0, |unit| unit.round),
        Role::Assign | Role::Orchestrate => grant.turn,
    };
    TurnData {
        run: run.id.clone(),
        unit: unit.map(|unit| unit.id.clone()),
        title: unit.map_or_else(|| spec_name(run), |unit| unit.title.clone()),
        role: grant.role,
        attempt: grant.lease.key.attempt,
        turn_index: grant.turn,
        round,
        reviewer: if let Seat::Review(n) = grant.seat { n } else { 0 },
        writes: unit.map(|unit| entries(unit.manifest.writes.entries())).unwrap_or_default(),
        reads: unit.map(|unit| entries(unit.manifest.reads.entries())).unwrap_or_default(),
        open_subtasks: unit.map(open_subtasks).unwrap_or_default(),
        units: if unit.is_none() { turn_units(run) } else { Vec::new() },
    }
}

fn open_subtasks(unit: &Unit) -> Vec<TurnSubtask> {
    let open = unit.open_subtasks().filter(|subtask| subtask.id.as_str() != unit.id.as_str());
    let told = open.map(|subtask| TurnSubtask { id: subtask.id.clone(), title: subtask.title.clone(), optional: !subtask.needed });
    told.take(TURN_ENTRIES_MAX).collect()
}

fn turn_units(run: &Run) -> Vec<TurnUnit> {
    let entries = |list: &[String]| list.iter().take(TURN_ENTRIES_MAX).cloned().collect();
    let told = run.units().filter(|unit| unit.runs).map(|unit| TurnUnit {
        id: unit.id.clone(),
        title: unit.title.clone(),
        unit_type: unit.unit_type,
        writes: entries(unit.manifest.writes.entries()),
        reads: entries(unit.manifest.reads.entries()),
        state: unit.state,
    });
    told.take(TURN_UNITS_MAX).collect()
}

/// The last part of the spec's path.
fn spec_name(run: &Run) -> String {
    let path = run.source.spec_path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn unit_brief(run: &Run, unit: &Unit, facts: &PromptFacts) -> Option<UnitBrief> {
    let outlined = run.outline.unit(unit.id.as_str())?;
    let (requirements, requirements_unknown) = requirements(run, outlined);
    Some(UnitBrief {
        id: unit.id.to_string(),
        title: unit.title.clone(),
        spec: spec_name(run),
        unit_type: unit.unit_type,
        criticality: unit.criticality,
        details: outlined.own().details.clone(),
        decided: decided(run, unit),
        steps: steps(outlined, unit),
        requirements,
        requirements_unknown,
        design: run.spec.design.clone(),
        writes: unit.manifest.writes.entries().to_vec(),
        reads: unit.manifest.reads.entries().to_vec(),
        exclusive: unit.claims_all(),
        strict: run.options.manifest == ManifestRule::Strict,
        conventions: facts.conventions.clone(),
    })
}

/// What an imported state asked about the unit, and what a person has answered.
fn decided(run: &Run, unit: &Unit) -> Vec<String> {
    let about = run.answered.values().filter(|decision| decision.unit.as_ref() == Some(&unit.id));
    let answered = about.filter_map(|decision| match decision.answer.as_ref()? {
        Answer { choice: Choice::Answer { option }, note, .. } => {
            let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            Some(format!("{}\nAnswer: {option}{note}", decision.context))
        }
        _ => None,
    });
    answered.collect()
}

/// The steps in document order, as deep as the plan has them.
fn steps(outlined: &Outlined, unit: &Unit) -> Vec<StepBrief> {
    let states = view::subtask_states(outlined, unit);
    let told = outlined.subtasks().iter().map(|task| {
        let leaf = unit.subtasks.iter().find(|leaf| leaf.id == task.id);
        StepBrief {
            id: task.id.to_string(),
            title: task.title.clone(),
            depth: depth(outlined, task),
            details: task.details.clone(),
            optional: leaf.map_or(task.optional, |leaf| !leaf.needed),
            wanted: leaf.is_none_or(|leaf| leaf.runs),
            is_group: !task.subtasks.is_empty(),
            state: states.get(task.id.as_str()).copied().unwrap_or(task.status),
            error: leaf.and_then(|leaf| leaf.error.clone()),
            is_next: false,
        }
    });
    told.collect()
}

/// How far below the unit's direct children, from 0.
fn depth(outlined: &Outlined, task: &Task) -> usize {
    let mut depth = 0;
    let mut at = task.parent.as_ref();
    // A parent stands before its children, so this ends; the bound is for plans that are damaged.
    while let Some(parent) = at.filter(|id| id.as_str() != outlined.id.as_str()).and_then(|id| outlined.task(id.as_str())) {
        depth += 1;
        at = parent.parent.as_ref();
        if depth > outlined.tasks.len() {
            break;
        }
    }
    depth
}

/// Texts of linked requirements, each once, and the links that lead nowhere. A bugfix that links nothing is told whole.
fn requirements(run: &Run, outlined: &Outlined) -> (Vec<RequirementBrief>, Vec<String>) {
    let text = run.spec.requirements.as_deref().or(run.spec.bugfix.as_deref());
    let mut seen = BTreeSet::new();
    let links: Vec<&String> = outlined.tasks.iter().flat_map(|task| &task.requirements).filter(|id| seen.insert(id.as_str())).collect();
    let Some(text) = text else { return (Vec::new(), links.into_iter().cloned().collect()) };
    if links.is_empty() && run.spec.requirements.is_none() {
        return (vec![RequirementBrief { id: "bugfix.md".to_owned(), text: text.to_owned() }], Vec::new());
    }
    let index = RequirementIndex::new(text);
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for id in links {
        match index.get(id) {
            Some(requirement) => {
                found.push(RequirementBrief { id: id.clone(), text: format!("{}\n{}", requirement.heading, requirement.text) });
            }
            None => unknown.push(id.clone()),
        }
    }
    (found, unknown)
}

fn work(run: &Run, unit: &Unit, grant: &Grant, attempt: Option<&Attempt>, facts: &PromptFacts) -> Option<WorkBrief> {
    let mut brief = unit_brief(run, unit, facts)?;
    let resumed_from = attempt.and_then(|attempt| attempt.resumed_from).map(|no| no.0);
    let is_open = |step: &&mut StepBrief| step.wanted && !step.is_group && step.state != SubtaskState::Completed;
    if let (Some(_), Some(next)) = (resumed_from, brief.steps.iter_mut().find(is_open)) {
        next.is_next = true;
    }
    let reads_only = unit.manifest.writes.is_empty() && !unit.manifest.reads.is_empty();
    Some(WorkBrief {
        unit: brief,
        continues_attempt: resumed_from,
        same_session: grant.resume.is_some(),
        last_failure: last_failure(unit, grant),
        may_be_empty: unit.checkpoint || unit.unit_type == UnitType::Review || reads_only,
        check_command: run.options.check.clone(),
        evidence: evidence(run, unit, grant),
        fix: (grant.role == Role::Fix).then(|| fix(unit, grant)),
    })
}

/// How the work attempt before this one ended, if it did not end well.
fn last_failure(unit: &Unit, grant: &Grant) -> Option<String> {
    let earlier = unit.attempts.iter().rev().find(|attempt| attempt.role.writes() && attempt.no < grant.lease.key.attempt)?;
    if earlier.end.is_none_or(|end| end == AttemptEnd::Completed) {
        return None;
    }
    let what = match earlier.end {
        Some(AttemptEnd::Failed) => "failed",
        _ => "was interrupted",
    };
    let error = earlier.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    Some(format!("attempt {} {what}{error}", earlier.no))
}

fn evidence(run: &Run, unit: &Unit, grant: &Grant) -> EvidenceBrief {
    let refused = |path: &String, why: &str| RefusedPath { path: path.clone(), why: why.to_owned() };
    let mut evidence = EvidenceBrief {
        contended: unit.contended.iter().map(|path| refused(path, "still held by another unit")).collect(),
        breach: unit.breach.iter().flat_map(|breach| &breach.paths).map(|(path, why)| refused(path, why)).collect(),
        ..EvidenceBrief::default()
    };
    let merged = matches!(grant.start, Start::MergeWithTip { .. });
    match &unit.fix {
        Some(FixCause::Conflict { paths, evidence: said }) => {
            // A path that was waited for and is in conflict now was another unit's when it was changed.
            let claimed = unit.claimed.iter().filter(|path| paths.contains(path));
            evidence.contended.extend(claimed.map(|path| refused(path, "another unit changed it first")));
            evidence.conflict = Some(ConflictBrief { paths: paths.clone(), evidence: said.clone(), markers: merged });
        }
        Some(FixCause::CheckRed { evidence: said }) => {
            evidence.check = last_check(run, unit).map(|check| CheckBrief { passed: false, output: said.clone(), ..check });
        }
        _ => {}
    }
    evidence
}

/// The unit's last check that ended.
fn last_check(run: &Run, unit: &Unit) -> Option<CheckBrief> {
    let attempt = unit.attempts.iter().rev().find(|attempt| attempt.role == Role::Check && attempt.end.is_some())?;
    Some(CheckBrief {
        command: run.options.check.clone()?,
        passed: attempt.end == Some(AttemptEnd::Completed),
        exit_code: attempt.exit_code,
        output: attempt.error.clone().unwrap_or_default(),
    })
}

fn fix(unit: &Unit, grant: &Grant) -> FixBrief {
    let escalated = grant.escalated || unit.escalated();
    FixBrief {
        attempt: (unit.fix_attempts + 1).min(FIX_ATTEMPTS_MAX),
        attempts_max: FIX_ATTEMPTS_MAX,
        escalated,
        original_agent: unit.original_agent.as_ref().map(ToString::to_string),
        findings: owed_findings(unit),
        history: if escalated { unit.history.iter().map(history).collect() } else { Vec::new() },
    }
}

/// Findings this fix must close: those of the round that sent it back. A conflict comes after a round that found nothing to fix.
fn owed_findings(unit: &Unit) -> Vec<FindingBrief> {
    match &unit.fix {
        Some(FixCause::Conflict { .. }) => Vec::new(),
        Some(FixCause::Findings { round }) => must_fix(unit, *round),
        Some(FixCause::Imported) => must_fix(unit, unit.findings.iter().map(|finding| finding.round).max().unwrap_or(0)),
        _ => must_fix(unit, unit.round),
    }
}

/// Findings of a round that must be closed.
fn must_fix(unit: &Unit, round: u32) -> Vec<FindingBrief> {
    unit.findings.iter().filter(|finding| finding.round == round && finding.severity.must_fix()).map(finding).collect()
}

fn finding(finding: &Finding) -> FindingBrief {
    let issues = finding.issues.iter().filter(|issue| issue.severity != Severity::None).map(|issue| IssueBrief {
        severity: issue.severity,
        description: issue.description.clone(),
        place: issue.file.as_ref().map(|file| issue.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))),
    });
    FindingBrief {
        reviewer: finding.reviewer.clone(),
        round: finding.round,
        severity: finding.severity,
        summary: finding.summary.clone(),
        details: finding.details.clone(),
        issues: issues.collect(),
    }
}

fn history(entry: &roundtable_shared::ReviewHistoryEntry) -> HistoryBrief {
    let finding = |finding: &roundtable_shared::HistoryFinding| HistoryFindingBrief {
        severity: finding.severity,
        summary: finding.summary.clone(),
        details: finding.details.clone(),
    };
    HistoryBrief { attempt: entry.attempt, severity: entry.severity, findings: entry.findings.iter().map(finding).collect() }
}

fn review(run: &Run, unit: &Unit, grant: &Grant, facts: &PromptFacts) -> Option<ReviewBrief> {
    let Seat::Review(number) = grant.seat else { return None };
    Some(ReviewBrief {
        unit: unit_brief(run, unit, facts)?,
        reviewer: unit.reviewer_id(number),
        number,
        reviewers: unit.reviewers.max(number),
        round: unit.round,
        security: unit.criticality == Criticality::SecuritySensitive,
        base: grant.base.to_string(),
        commit: unit.accepted.as_ref().map(|work| work.commit.to_string()).unwrap_or_default(),
        files: facts.changed.clone(),
        diff: facts.diff.clone(),
        diff_bytes: facts.diff_bytes,
        check: last_check(run, unit),
        earlier: must_fix(unit, unit.round.saturating_sub(1)),
    })
}

fn assign(run: &Run, facts: &PromptFacts) -> AssignBrief {
    // While others are at work it is asked about what has not started, and nothing else.
    let again: Vec<&UnitId> = run.reassignable().map(|unit| &unit.id).collect();
    let units = run.units().filter_map(|unit| {
        let outlined = run.outline.unit(unit.id.as_str())?;
        // Before the first plan nothing of this is decided: the agent sees what would be.
        let rules = assign_by_rules(outlined, run.options.mode);
        let decided = unit.owner.is_some();
        Some(AssignUnitBrief {
            id: unit.id.to_string(),
            title: unit.title.clone(),
            runs: unit.runs,
            is_open: unit.runs && (run.stage == Stage::Assigning || again.contains(&&unit.id)),
            details: outlined.own().details.clone(),
            steps: steps(outlined, unit),
            depends_on: outlined.depends_on.iter().map(ToString::to_string).collect(),
            unit_type: if decided { unit.unit_type } else { rules.unit_type },
            owner_agent: unit.owner.as_ref().or(rules.owner_agent.as_ref()).map(ToString::to_string),
            criticality: if decided { unit.criticality } else { rules.criticality },
            writes: unit.manifest.writes.entries().to_vec(),
            reads: unit.manifest.reads.entries().to_vec(),
        })
    });
    AssignBrief {
        spec: spec_name(run),
        units: units.collect(),
        design: run.spec.design.clone(),
        files: facts.files.clone(),
        files_total: facts.files_total,
        backends: facts.backends.clone(),
        windows_max: WINDOWS_MAX,
        refused: run.assigning.problems.clone(),
    }
}

fn orchestrate(core: &Core, now: Now, run: &Run, facts: &PromptFacts) -> OrchestrateBrief {
    let (state, pulse) = facts::situation(core, now, run);
    let mut tasks = Vec::new();
    for outlined in &run.outline.units {
        let Some(unit) = run.unit(&outlined.id) else { continue };
        let left_out = if unit.runs { "" } else { " (does not run)" };
        tasks.push(format!("{} {}: {}{left_out}", unit.id, unit.title, unit.state));
        let states = view::subtask_states(outlined, unit);
        tasks.extend(outlined.subtasks().iter().map(|task| {
            let state = states.get(task.id.as_str()).copied().unwrap_or(SubtaskState::NotStarted);
            format!("  {} {}: {state}", task.id, task.title)
        }));
    }
    OrchestrateBrief {
        spec: spec_name(run),
        state,
        pulse,
        tasks,
        events: facts.last.iter().map(facts::event).collect(),
        actions_max: run.options.max_actions,
        refused: run.orchestrator.asked_again.then(|| "it held no JSON object with the keys named below".to_owned()),
    }
}
