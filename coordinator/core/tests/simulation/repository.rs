//! Git, as far as the core sees it: commits with trees, three-way merges, branches that move by compare-and-swap. What is done is durable at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable_core::command::Prepared;
use roundtable_core::effect::PrepareIntegration;
use roundtable_shared::{AttemptKey, ChangeKind, ChangedPath, CommitId, EntryKind, RunId, TaskId, UnitId};

use crate::shape::Agents;

/// Content and kind of each path.
pub type Tree = BTreeMap<String, (u64, EntryKind)>;

/// A commit.
pub struct Commit {
    pub tree: Arc<Tree>,
    pub parents: Vec<CommitId>,
    /// The unit whose integration it is.
    pub unit: Option<UnitId>,
    /// The work it brings onto the branch.
    pub work: Option<CommitId>,
}

#[derive(Default)]
pub struct Repository {
    commits: BTreeMap<CommitId, Commit>,
    /// The same commit made again has the same name.
    made: BTreeMap<String, CommitId>,
    pub branches: BTreeMap<RunId, CommitId>,
    pub attempts: BTreeMap<AttemptKey, CommitId>,
    blobs: u64,
}

/// Where boxes are ticked.
pub const TASKS_PATH: &str = "specs/plan/tasks.md";

impl Repository {
    pub fn root(&mut self, name: &str) -> CommitId {
        let mut tree = Tree::new();
        for path in [TASKS_PATH, "README.md", "AGENTS.md", "area0/f0.rs", "area0/f1.rs", "area1/f0.rs", "area2/f3.rs"] {
            tree.insert(path.to_owned(), (self.blob(), EntryKind::File));
        }
        self.commit(format!("root {name}"), tree, Vec::new(), None)
    }

    pub fn blob(&mut self) -> u64 {
        self.blobs += 1;
        self.blobs
    }

    pub fn get(&self, id: &CommitId) -> &Commit {
        self.commits.get(id).unwrap_or_else(|| panic!("commit {id} was never made"))
    }

    pub fn commit(&mut self, key: String, tree: Tree, parents: Vec<CommitId>, unit: Option<UnitId>) -> CommitId {
        if let Some(known) = self.made.get(&key) {
            return known.clone();
        }
        let id = CommitId::new(format!("{:040x}", self.made.len() + 1));
        self.commits.insert(id.clone(), Commit { tree: Arc::new(tree), parents, unit, work: None });
        self.made.insert(key, id.clone());
        id
    }

    pub fn diff(&self, base: &CommitId, commit: &CommitId) -> Vec<ChangedPath> {
        changes(&self.get(base).tree, &self.get(commit).tree)
    }

    fn merge(&self, base: &CommitId, ours: &CommitId, theirs: &Tree) -> (Tree, Vec<String>) {
        let (base, ours) = (&self.get(base).tree, &self.get(ours).tree);
        let paths: BTreeSet<&String> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        let (mut tree, mut conflicts) = (Tree::new(), Vec::new());
        for path in paths {
            let (b, o, t) = (base.get(path), ours.get(path), theirs.get(path));
            let merged = if o == t || b == t {
                o
            } else if b == o {
                t
            } else {
                conflicts.push(path.clone());
                o.or(t)
            };
            if let Some(merged) = merged {
                tree.insert(path.clone(), *merged);
            }
        }
        (tree, conflicts)
    }

    /// The start of a retry or fix, conflict markers left in.
    pub fn merged_start(&mut self, base: &CommitId, commit: &CommitId, tip: &CommitId) -> CommitId {
        let theirs = Arc::clone(&self.get(commit).tree);
        let (mut tree, conflicts) = self.merge(base, tip, &theirs);
        for path in conflicts {
            let blob = self.blob();
            tree.insert(path, (blob, EntryKind::File));
        }
        self.commit(format!("start {base} {commit} {tip}"), tree, vec![tip.clone(), commit.clone()], None)
    }

    /// A unit's commit on the tip.
    pub fn prepare(&mut self, asked: &PrepareIntegration, conflicts_anyway: bool) -> Prepared {
        let base = Arc::clone(&self.get(&asked.base).tree);
        let mut theirs = (*self.get(&asked.commit).tree).clone();
        let dropped = |path: &str| path == TASKS_PATH || (path.ends_with("AGENTS.md") && !asked.keeps_agents_md);
        let paths: BTreeSet<String> = base.keys().chain(theirs.keys()).filter(|path| dropped(path)).cloned().collect();
        for path in paths {
            match base.get(&path) {
                Some(kept) => theirs.insert(path, *kept),
                None => theirs.remove(&path),
            };
        }
        let (mut tree, conflicts) = self.merge(&asked.base, &asked.tip, &theirs);
        let changed = changes(&self.get(&asked.tip).tree, &tree);
        if !conflicts.is_empty() || (conflicts_anyway && !changed.is_empty()) {
            return Prepared::Conflict { paths: conflicts, evidence: "CONFLICT".to_owned() };
        }
        if changed.is_empty() {
            return Prepared::Empty;
        }
        self.tick(&mut tree, &asked.ticks);
        let key = format!("integrate {} {} {} {} {}", asked.run, asked.unit, asked.tip, asked.commit, asked.date_ms);
        let commit = self.commit(key, tree, vec![asked.tip.clone()], Some(asked.unit.clone()));
        if let Some(made) = self.commits.get_mut(&commit) {
            made.work = Some(asked.commit.clone());
        }
        Prepared::Clean { commit, changed }
    }

    fn tick(&mut self, tree: &mut Tree, ticks: &[TaskId]) {
        if !ticks.is_empty() {
            let text = ticks.iter().flat_map(|task| task.as_str().bytes()).fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
            tree.insert(TASKS_PATH.to_owned(), (u64::MAX ^ text, EntryKind::File));
        }
    }

    pub fn merge_with_tip(&mut self, base: &CommitId, commit: &CommitId, tip: &CommitId) -> Prepared {
        let theirs = Arc::clone(&self.get(commit).tree);
        let (tree, conflicts) = self.merge(base, tip, &theirs);
        if !conflicts.is_empty() {
            return Prepared::Conflict { paths: conflicts, evidence: "CONFLICT".to_owned() };
        }
        let changed = changes(&self.get(tip).tree, &tree);
        if changed.is_empty() {
            return Prepared::Empty;
        }
        let commit = self.commit(format!("merge {base} {commit} {tip}"), tree, vec![tip.clone(), commit.clone()], None);
        Prepared::Clean { commit, changed }
    }

    /// Compare-and-swap, and done before is done.
    pub fn move_branch(&mut self, run: &RunId, old: &CommitId, new: &CommitId) -> bool {
        let Some(at) = self.branches.get_mut(run) else { return false };
        if at == old {
            *at = new.clone();
        }
        at == new
    }

    pub fn close(&mut self, run: &RunId, tip: &CommitId, ticks: &[TaskId], learnings: usize) -> Option<CommitId> {
        if ticks.is_empty() && learnings == 0 {
            return None;
        }
        let mut tree = (*self.get(tip).tree).clone();
        self.tick(&mut tree, ticks);
        tree.insert("AGENTS.md".to_owned(), (u64::MAX / 2 + learnings as u64, EntryKind::File));
        Some(self.commit(format!("close {run} {tip}"), tree, vec![tip.clone()], None))
    }

    /// Whether a check of that commit is red: some works are by themselves, some pairs together, each fix anew.
    pub fn is_red(&self, commit: &CommitId, agents: &Agents) -> bool {
        let mut works: Vec<&CommitId> = Vec::new();
        let mut at = Some(commit);
        while let Some(id) = at {
            let commit = self.get(id);
            works.extend(&commit.work);
            at = commit.parents.first();
        }
        let drawn = |one: &CommitId, other: &CommitId| {
            let bytes = one.as_str().bytes().chain(other.as_str().bytes());
            let mixed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            (mixed ^ (mixed >> 29)) % 1000
        };
        let by_itself = |work: &&CommitId| drawn(work, work) < agents.red_works;
        let with_another = |(at, work): (usize, &&CommitId)| works[at + 1..].iter().any(|earlier| drawn(earlier, work) < agents.red_pairs);
        works.iter().any(by_itself) || works.iter().enumerate().any(with_another)
    }

    /// Whether one commit lies behind another.
    pub fn contains(&self, commit: &CommitId, earlier: &CommitId) -> bool {
        let mut open = vec![commit.clone()];
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if next == *earlier {
                return true;
            }
            if seen.insert(next.clone()) {
                open.extend(self.get(&next).parents.iter().cloned());
            }
        }
        false
    }

    /// Units whose commits the branch consists of, newest first.
    pub fn units_of(&self, tip: &CommitId) -> Vec<UnitId> {
        let mut units = Vec::new();
        let mut at = Some(tip);
        while let Some(id) = at {
            let commit = self.get(id);
            units.extend(commit.unit.clone());
            at = commit.parents.first();
        }
        units
    }
}

fn changes(before: &Tree, after: &Tree) -> Vec<ChangedPath> {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed
        .map(|path| {
            let (change, entry) = match (before.get(path), after.get(path)) {
                (None, Some((_, entry))) => (ChangeKind::Added, *entry),
                (Some(_), Some((_, entry))) => (ChangeKind::Modified, *entry),
                (Some((_, entry)), None) => (ChangeKind::Deleted, *entry),
                (None, None) => (ChangeKind::Modified, EntryKind::File),
            };
            ChangedPath { path: path.clone(), change, entry, unreadable: false, reencoded: false }
        })
        .collect()
}
