//! `orchctl init`: the three mirror files of a spec that has not run yet.

use super::export::{finish, written};
use super::warn;
use crate::args::InitArgs;
use crate::context::Context;
use crate::embed;
use crate::exit::Exit;
use crate::failure::{Failure, Result, problem_line};
use crate::intake::read_spec;
use crate::lint::{lint, warnings};
use crate::mirror::{MirrorWriter, locate};

/// Session name where none was given.
const SESSION: &str = "roundtable";

pub(super) async fn run(context: &Context, args: &InitArgs) -> Result<Exit> {
    let spec = read_spec(&args.spec)?;
    for warning in warnings(&lint(&spec, args.read.options())?) {
        warn(&problem_line(&warning));
    }
    let location = locate(&spec.path, args.output.as_deref());
    if let Some(notice) = &location.notice {
        warn(notice);
    }
    let mut writer = MirrorWriter::open(location.paths, &context.data_dir).map_err(|error| Failure::failed(error.to_string()))?;
    let session = args.session.as_deref().unwrap_or(SESSION);
    let view = embed::first_mirror(&spec, args.read.options(), session, args.mode.unwrap_or_default(), &writer.existing_pulse())?;
    finish(args.json, &written(&mut writer, &view)?)
}
