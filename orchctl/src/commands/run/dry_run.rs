//! `run --dry-run`: what would happen, asking only what can be asked without starting anything.

use roundtable_shared::Mode;
use roundtable_shared::view::{PlanView, Query, RunLine, SubmitReply};
use serde::Serialize;

use super::prepare::Prepared;
use crate::args::JsonArg;
use crate::commands::answer;
use crate::context::Context;
use crate::embed;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::output::paint::{Paint, Style};
use crate::output::text::{count, short};

/// What would happen.
#[derive(Serialize)]
struct DryRunView {
    /// The unfinished run that would go on.
    run: Option<String>,
    resumed: bool,
    base: String,
    units: u32,
    /// Least number of agent calls of a new run.
    calls: u32,
    /// Workers that would be started, as far as they were named.
    workers: Vec<String>,
    mirror_dir: String,
    plan: PlanView,
}

pub(super) async fn show(context: &Context, prepared: &Prepared, json: JsonArg) -> Result<Exit> {
    prepared.warn();
    prepared.warn_of_what_is_not_included(&SubmitReply::default()).await?;
    let source = Query::FindSource { git_dir: prepared.workdir.git_dir(), spec_path: prepared.spec.path.to_string_lossy().into_owned() };
    let found: Option<RunLine> = context.reader().await?.query(&source).await?;
    let plan = embed::plan(&prepared.spec, &prepared.options, None, prepared.strict)?;
    let units = u32::try_from(plan.units.iter().filter(|unit| unit.runs).count()).unwrap_or(u32::MAX);
    let view = DryRunView {
        resumed: found.is_some(),
        run: found.map(|run| run.run),
        base: prepared.base.commit.to_string(),
        units,
        calls: least_calls(units, prepared.options.mode),
        workers: prepared.crew.workers.clone(),
        mirror_dir: prepared.location.paths.dir().to_string_lossy().into_owned(),
        plan,
    };
    answer(json, &view, text)?;
    Ok(Exit::Complete)
}

/// Each unit is implemented and reviewed once at least; assignment is one call where an agent makes it.
fn least_calls(units: u32, mode: Mode) -> u32 {
    let assign = u32::from(matches!(mode, Mode::Llm | Mode::Deterministic));
    units.saturating_mul(2).saturating_add(assign)
}

fn text(view: &DryRunView, paint: Paint) -> String {
    let mut text = output::plan::render(&view.plan, paint);
    let what = match &view.run {
        Some(run) => format!("would go on with {run}"),
        None => format!("would start a new run from {}: at least {}", short(&view.base), count(u64::from(view.calls), "agent call")),
    };
    let workers = if view.workers.is_empty() { String::new() } else { format!("\nworkers: {}", view.workers.join(", ")) };
    text.push_str(&format!("\n{}{workers}\nmirror files: {}\nnothing was started\n", paint.style(Style::Strong, &what), view.mirror_dir));
    text
}
