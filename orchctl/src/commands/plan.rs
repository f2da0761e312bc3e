//! `orchctl plan`.

use roundtable_shared::view::PlanView;
use roundtable_shared::{Mode, RunOptions};

use super::answer;
use crate::args::PlanArgs;
use crate::embed;
use crate::exit::Exit;
use crate::failure::Result;
use crate::intake::read_spec;
use crate::lint::spec_failure;
use crate::output;

pub(super) fn run(args: &PlanArgs) -> Result<Exit> {
    let spec = read_spec(&args.spec)?;
    let options = RunOptions { mode: Mode::Deterministic, ..RunOptions::default() };
    let view: PlanView = embed::plan(&spec, &options, args.slots, args.strict)?;
    let failed = !view.errors.is_empty();
    // As JSON it is also there when the spec has errors; for people the errors are the answer.
    if args.json.json || !failed {
        answer(args.json, &view, output::plan::render)?;
    }
    if failed { Err(spec_failure(view.errors)) } else { Ok(Exit::Complete) }
}
