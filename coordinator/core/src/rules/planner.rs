//! Merges what rules, spec, agents and people say of units, one by one, into assignments and an order without cycles.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::answer::Proposal;
use roundtable_shared::limits::WINDOWS_MAX;
use roundtable_shared::manifest::Manifest;
use roundtable_shared::spec::{assign_by_rules, plan_order};
use roundtable_shared::{Assignment, DecisionKind, Mode, UnitId};

use crate::state::{PlanSource, Run, Unit};

/// Merges what rules, spec, agents and people say, unit by unit.
pub(crate) struct Planner<'a> {
    run: &'a Run,
    windows: BTreeSet<String>,
    /// Dependencies by place, as they grow.
    edges: Vec<Vec<usize>>,
    pub(crate) problems: Vec<String>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(run: &'a Run) -> Self {
        let windows = run.units().filter_map(|unit| unit.assignment.window.clone()).collect();
        Self { run, windows, edges: run.plan.needs.to_vec(), problems: Vec::new() }
    }

    pub(crate) fn assignment(&mut self, id: &UnitId, source: PlanSource, proposals: &BTreeMap<&UnitId, &Proposal>) -> Option<Assignment> {
        let unit = self.run.unit(id)?;
        // Manual mode's open owner is decided below.
        let mode = if self.run.options.mode == Mode::Legacy { Mode::Legacy } else { Mode::Deterministic };
        let rules = assign_by_rules(self.run.outlined(id)?, mode);
        let keep = Proposal::keep(id.clone());
        let said = proposals.get(id).copied().unwrap_or(&keep);
        let is_manual = source == PlanSource::Manual;
        // What an imported state says is an earlier answer to the same question: it stands.
        let carried = unit.assignment.carried.as_deref().unwrap_or(&keep);
        let (writes, reads) = self.manifest(unit, said);
        // What import or the operator said stands.
        let is_assigned = unit.assignment.owner.is_some() || unit.assignment.window.is_some() || carried.criticality.is_some();
        let asks_for_owner = self.run.people.decisions.contains_key(&DecisionKind::MissingOwnerAgent.id(Some(id.as_str())));
        // A person is asked who is to have it: nobody else says so meanwhile.
        let proposed = said.owner_agent.clone().or(rules.owner_agent).filter(|_| !asks_for_owner);
        let owner = unit.assignment.owner.clone().or(proposed);
        let window = unit.assignment.window.clone().or_else(|| said.target_window.clone()).unwrap_or_else(|| format!("task-{id}"));
        let depends_on =
            carried.depends_on.iter().chain(&said.depends_on).filter(|on| self.add_dependency(unit.spec.position, on)).cloned().collect();
        Some(Assignment {
            unit: id.clone(),
            unit_type: carried.unit_type.or(said.unit_type).unwrap_or(rules.unit_type),
            owner_agent: if is_manual { unit.assignment.owner.clone() } else { owner },
            target_window: if is_manual { unit.assignment.window.clone() } else { Some(self.window(window)) },
            criticality: if is_assigned { unit.assignment.criticality } else { said.criticality.unwrap_or(rules.criticality) },
            writes,
            reads,
            depends_on,
        })
    }

    /// What an agent proposes for a unit that had been assigned before; what it leaves out stays.
    pub(crate) fn again(&mut self, unit: &Unit, said: &Proposal) -> Assignment {
        let (writes, reads) = self.manifest(unit, said);
        let depends_on = said.depends_on.iter().filter(|on| self.add_dependency(unit.spec.position, on)).cloned().collect();
        Assignment {
            unit: unit.id.clone(),
            unit_type: said.unit_type.unwrap_or(unit.assignment.unit_type),
            owner_agent: said.owner_agent.clone().or_else(|| unit.assignment.owner.clone()),
            target_window: said.target_window.clone().map(|window| self.window(window)).or_else(|| unit.assignment.window.clone()),
            criticality: said.criticality.unwrap_or(unit.assignment.criticality),
            writes,
            reads,
            depends_on,
        }
    }

    /// Writes and reads as proposed, if they are any; whoever has begun holds what it was given, and what an import said stands.
    fn manifest(&mut self, unit: &Unit, said: &Proposal) -> (Vec<String>, Vec<String>) {
        let carries =
            |field: fn(&Proposal) -> &Option<Vec<String>>| unit.assignment.carried.as_ref().is_some_and(|carried| field(carried).is_some());
        let of = |field: fn(&Proposal) -> &Option<Vec<String>>, own: &[String]| {
            field(said).clone().filter(|_| !unit.work.started && !carries(field)).unwrap_or_else(|| own.to_vec())
        };
        let (own_writes, own_reads) = (unit.assignment.manifest.writes.entries(), unit.assignment.manifest.reads.entries());
        let (writes, reads) = (of(|said| &said.writes, own_writes), of(|said| &said.reads, own_reads));
        match Manifest::new(&writes, &reads, self.run.options.ignore_case) {
            Ok(_) => (writes, reads),
            Err(error) => {
                self.problems.push(format!("unit {}: the manifest proposed for it is not used: {error}", unit.id));
                (own_writes.to_vec(), own_reads.to_vec())
            }
        }
    }

    /// At most nine windows; later ones share.
    fn window(&mut self, wanted: String) -> String {
        if self.windows.contains(&wanted) || self.windows.len() < WINDOWS_MAX {
            self.windows.insert(wanted.clone());
            return wanted;
        }
        let spread = wanted.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.windows.iter().nth(spread % self.windows.len()).cloned().unwrap_or(wanted)
    }

    /// Adds a dependency unless it is unknown, does not run, or would close a cycle.
    pub(crate) fn add_dependency(&mut self, from: usize, on: &UnitId) -> bool {
        let Some(to) = self.run.positions.get(on).copied().filter(|to| self.run.units[*to].spec.runs) else { return false };
        if self.edges[from].contains(&to) {
            return false;
        }
        if to == from || self.reaches(to, from) {
            self.problems.push(format!("unit {} cannot also depend on {on}: that closes a cycle; not used", self.run.units[from].id));
            return false;
        }
        self.edges[from].push(to);
        true
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            open.extend(self.edges[at].iter().copied().filter(|next| seen.insert(*next)));
        }
        false
    }

    pub(crate) fn order(&self) -> Vec<UnitId> {
        plan_order(&self.edges, |_| true).into_iter().map(|at| self.run.units[at].id.clone()).collect()
    }
}
