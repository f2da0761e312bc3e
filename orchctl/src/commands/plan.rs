//! `orchctl plan`.

use roundtable_shared::spec::Annotated;
use roundtable_shared::view::PlanView;
use roundtable_shared::{Mode, RunOptions};

use super::{answer, assignment, warn};
use crate::args::PlanArgs;
use crate::context::Context;
use crate::embed;
use crate::exit::Exit;
use crate::failure::Result;
use crate::intake::read_spec;
use crate::lint::spec_failure;
use crate::output;

pub(super) async fn run(context: &Context, args: &PlanArgs) -> Result<Exit> {
    let spec = read_spec(&args.spec)?;
    let options = RunOptions { mode: Mode::Deterministic, ..RunOptions::default() };
    let view: PlanView = embed::plan(&spec, &options, args.slots, args.read.options(), &[])?;
    let failed = !view.errors.is_empty();
    // Nobody is asked about a plan that cannot run.
    if args.assign.is_some() && !failed {
        return assigned(context, args).await;
    }
    // As JSON it is also there when the spec has errors; for people the errors are the answer.
    if args.json.json || !failed {
        answer(args.json, &view, output::plan::render)?;
    }
    if failed { Err(spec_failure(view.errors)) } else { Ok(Exit::Complete) }
}

/// The plan that comes of an assignment agent's answer.
async fn assigned(context: &Context, args: &PlanArgs) -> Result<Exit> {
    let asked = Box::pin(assignment::ask(context, args)).await?;
    asked.notices.iter().for_each(|notice| warn(notice));
    let prepared = &asked.prepared;
    let view = embed::plan(&prepared.spec, &prepared.options, args.slots, args.read.options(), &asked.assignment.proposals)?;
    let written = asked.written.as_ref().map(|written| told(written, &prepared.spec.path.join("tasks.md").to_string_lossy()));
    answer(args.json, &view, output::plan::render)?;
    if let Some(text) = written {
        warn(&text);
    }
    Ok(Exit::Complete)
}

fn told(written: &Annotated, path: &str) -> String {
    let named = |ids: &[roundtable_shared::UnitId]| ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
    let unsaid = match written.unsaid.as_slice() {
        [] => String::new(),
        ids => format!("; of units {} the answer has paths that such lines cannot say, so they are as they were", named(ids)),
    };
    match written.changed.as_slice() {
        [] => format!("{path} says all of it already; nothing was written{unsaid}"),
        ids => format!("{path} has new lines for units {}: read them over{unsaid}", named(ids)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_said() {
        let of = |changed: &[&str], unsaid: &[&str]| {
            let ids = |ids: &[&str]| ids.iter().map(|id| (*id).into()).collect();
            told(&Annotated { text: String::new(), changed: ids(changed), unsaid: ids(unsaid) }, "tasks.md")
        };
        assert_eq!(of(&["1", "3"], &[]), "tasks.md has new lines for units 1, 3: read them over");
        assert!(of(&[], &["2"]).starts_with("tasks.md says all of it already; nothing was written; of units 2"));
    }
}
