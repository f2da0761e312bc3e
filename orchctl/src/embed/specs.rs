//! Plans and first mirror files, computed by the coordinator's library without a coordinator.

use roundtable_coordinator::plan::{self, PlanOptions};
use roundtable_coordinator::preview::{self, PreviewError};
use roundtable_shared::answer::Proposal;
use roundtable_shared::spec::ReadOptions;
use roundtable_shared::view::{ExistingPulse, MirrorView, PlanView};
use roundtable_shared::{Mode, RunOptions};

use crate::args::InitMode;
use crate::failure::{Failure, Result};
use crate::intake::SpecFolder;

/// What the spec comes to, with what an assignment agent said of it.
pub fn plan(spec: &SpecFolder, options: &RunOptions, slots: Option<u32>, read: ReadOptions, said: &[Proposal]) -> Result<PlanView> {
    let options = PlanOptions {
        read,
        with_optional: options.with_optional,
        only: options.only.clone(),
        hazards: options.hazards,
        ignore_case: options.ignore_case,
        slots: slots.map(|slots| slots as usize),
    };
    Ok(plan::plan_assigned(&spec.files, &options, said))
}

/// The mirror files before anything ran: assigned by the rules in legacy mode, left open otherwise.
pub fn first_mirror(spec: &SpecFolder, read: ReadOptions, session: &str, mode: InitMode, existing: &ExistingPulse) -> Result<MirrorView> {
    let mode = match mode {
        InitMode::Codex => Mode::Manual,
        InitMode::Legacy => Mode::Legacy,
    };
    let options = RunOptions { mode, session_name: session.to_owned(), ..RunOptions::default() };
    preview::first_mirror(&spec.files, read, &spec.path.to_string_lossy(), options, existing).map_err(|error| match error {
        PreviewError::Spec(problems) => {
            let lines: Vec<String> = problems.iter().map(|each| format!("{}:{}: {}", each.file, each.line, each.message)).collect();
            Failure::usage("the spec cannot be run as it is").why(lines.join("\n"))
        }
        PreviewError::Refused(why) => Failure::failed("the spec cannot be planned").why(why),
    })
}
