//! The spec parser: any bytes are read, the same way twice; what was read hangs together, and survives being printed.

use std::collections::{BTreeMap, HashSet};

use roundtable_shared::answer::Proposal;
use roundtable_shared::manifest::{PathSet, normalise_entry};
use roundtable_shared::spec::{
    PathIndex, Plan, Spec, annotate, assign_all, design_overview, first_mermaid, parse_tasks, select, shape_text, tick,
};
use roundtable_shared::{Mode, TaskId};

/// Between the files of a spec.
const BETWEEN: u8 = 0x1e;
/// Units of one input that are assigned.
const ANNOTATED_MAX: usize = 4;

/// Reads the bytes as the files of a spec.
pub fn check(data: &[u8]) {
    let parts = data.split(|byte| *byte == BETWEEN);
    let files: BTreeMap<String, Vec<u8>> = Spec::FILES.iter().zip(parts).map(|(name, text)| ((*name).to_owned(), text.to_vec())).collect();
    let report = Spec::read(&files, false);
    assert_eq!(report, Spec::read(&files, false), "another answer the second time");
    let tasks = &files["tasks.md"];
    let plan = parse_tasks(tasks, "tasks.md");
    hangs_together(&plan);
    is_printed(&plan);
    if let Some(design) = &report.spec.design {
        let _ = (design_overview(design), first_mermaid(design));
    }
    if let Ok(text) = std::str::from_utf8(tasks) {
        is_the_same_with_other_line_ends(text, &plan);
        can_be_ticked(text, &plan);
        can_be_annotated(text, &plan);
    }
}

fn hangs_together(plan: &Plan) {
    let mut seen = HashSet::new();
    for unit in &plan.units {
        assert_eq!(unit.own().id.as_str(), unit.id.as_str());
        assert_eq!(unit.own().parent, None);
        for task in &unit.tasks {
            assert!(seen.insert(task.id.clone()), "{} twice", task.id);
            for child in &task.subtasks {
                assert_eq!(unit.task(child.as_str()).and_then(|child| child.parent.as_ref()), Some(&task.id));
            }
        }
        for target in &unit.depends_on {
            assert!(plan.unit(target.as_str()).is_some() && *target != unit.id, "{} waits for {target}", unit.id);
        }
        for entry in unit.writes.iter().chain(&unit.reads) {
            assert_eq!(normalise_entry(entry).as_ref(), Ok(entry), "an entry of unit {}", unit.id);
        }
    }
    let selection = select(&plan.units, true, &[], "tasks.md");
    assert_eq!(selection.runs.len() + selection.left_out.len(), plan.units.len());
    if !plan.has_errors() {
        let mut before = HashSet::new();
        for unit in &selection.runs {
            assert!(unit.depends_on.iter().all(|id| before.contains(id)), "{} runs before what it waits for", unit.id);
            before.insert(unit.id.clone());
        }
    }
    assert_eq!(assign_all(&plan.units, Mode::Deterministic, &[], &[]).len(), plan.units.len());
    let files = PathIndex::new(&["src/a.rs".to_owned()], &[]);
    let details = plan.tasks().into_iter().flat_map(|task| task.details.iter().map(String::as_str));
    for mention in files.mentions(details) {
        assert_eq!(normalise_entry(&mention.path).as_ref(), Ok(&mention.path), "a path that is mentioned");
    }
}

/// What the log keeps of a plan says the same when it is read again.
fn is_printed(plan: &Plan) {
    let text = serde_json::to_string(plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), *plan);
    for unit in &plan.units {
        let set = PathSet::new(&unit.writes, false).unwrap();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<PathSet>(&text).unwrap(), set);
    }
}

fn is_the_same_with_other_line_ends(text: &str, plan: &Plan) {
    if !text.contains('\r') {
        assert_eq!(parse_tasks(text.replace('\n', "\r\n").as_bytes(), "tasks.md"), *plan);
    }
}

fn can_be_ticked(text: &str, plan: &Plan) {
    let ids: Vec<TaskId> = plan.tasks().iter().map(|task| task.id.clone()).collect();
    let ticked = tick(text, &ids);
    assert_eq!(tick(&ticked, &ids), ticked, "ticked twice");
    assert_eq!(shape_text(&ticked), shape_text(text), "the shape hangs on boxes");
    let after = parse_tasks(ticked.as_bytes(), "tasks.md");
    assert_eq!(after.units.len(), plan.units.len());
    assert!(after.units.iter().all(|unit| unit.completed), "{ticked}");
}

/// What is written into a plan is read out of it, and written once.
fn can_be_annotated(text: &str, plan: &Plan) {
    let proposal = |unit: &roundtable_shared::spec::Unit| Proposal {
        writes: Some(vec!["src/a.rs".to_owned(), "docs/".to_owned()]),
        ..Proposal::keep(unit.id.clone())
    };
    let proposals: Vec<Proposal> = plan.units.iter().take(ANNOTATED_MAX).map(proposal).collect();
    let once = annotate(text, &proposals);
    let read = parse_tasks(once.text.as_bytes(), "tasks.md");
    for id in &once.changed {
        let writes: HashSet<&str> = read.unit(id.as_str()).into_iter().flat_map(|unit| &unit.writes).map(String::as_str).collect();
        assert_eq!(writes, HashSet::from(["src/a.rs", "docs/"]), "{}", once.text);
    }
    let twice = annotate(&once.text, &proposals);
    assert_eq!((twice.text, twice.changed), (once.text, Vec::new()), "annotated twice");
}
