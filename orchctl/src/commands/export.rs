//! `orchctl export`.

use std::path::PathBuf;
use std::time::Instant;

use roundtable_shared::view::{MirrorView, Query};
use serde::Serialize;

use super::answer;
use crate::args::{ExportArgs, JsonArg};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::mirror::{MirrorPaths, MirrorWriter};
use crate::select::{Selector, exactly};
use crate::session::reader;

/// What was written.
#[derive(Serialize)]
pub(super) struct WrittenView {
    /// Null before there is a run.
    run: Option<String>,
    files: Vec<PathBuf>,
    kept: Vec<PathBuf>,
    /// The pulse that was left as it is, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pulse_problem: Option<PulseLeft>,
}

/// A pulse that is nobody's but a person's.
#[derive(Clone, Serialize)]
pub(super) struct PulseLeft {
    file: PathBuf,
    problem: String,
}

impl PulseLeft {
    /// As an error, with the way out.
    pub(super) fn failure(&self) -> Failure {
        Failure::failed(format!("{} was left as it is", self.file.display()))
            .why(&self.problem)
            .next("add the headings that are missing, or move the file away to have it written anew")
    }
}

pub(super) async fn run(context: &Context, args: &ExportArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let run = selector.run(args.run.as_deref())?.run.clone();
    let mut writer =
        MirrorWriter::open(MirrorPaths::in_dir(&args.output), &context.data_dir).map_err(|error| Failure::failed(error.to_string()))?;
    let query = Query::Mirror { run: exactly(&run), existing: writer.existing_pulse() };
    let view: MirrorView = api.query(&query).await?;
    finish(args.json, &written(&mut writer, &view)?)
}

/// Tells what was written; a pulse that was not is a failure.
pub(super) fn finish(json: JsonArg, done: &WrittenView) -> Result<Exit> {
    answer(json, done, |done, _| text(done))?;
    done.complete().map(|()| Exit::Complete)
}

impl WrittenView {
    /// Whether all three files were written.
    pub(super) fn complete(&self) -> Result<()> {
        self.pulse_problem.as_ref().map_or(Ok(()), |left| Err(left.failure()))
    }
}

/// Writes mirror files once.
pub(super) fn written(writer: &mut MirrorWriter, view: &MirrorView) -> Result<WrittenView> {
    let report = writer.write(view, Instant::now()).map_err(|error| Failure::failed(error.to_string()))?;
    if report.held_by_another {
        return Err(Failure::failed(format!("another orchctl writes the mirror files in {}", writer.paths().dir().display()))
            .next("name another folder with --output DIR, or wait until it has ended"));
    }
    let pulse = writer.paths().pulse.clone();
    let mut files = writer.paths().all().map(ToOwned::to_owned).to_vec();
    let pulse_problem = view.pulse_problem.clone().map(|problem| PulseLeft { file: pulse.clone(), problem });
    if pulse_problem.is_some() {
        files.retain(|file| *file != pulse);
    }
    let run = (!view.run.is_empty()).then(|| view.run.clone());
    Ok(WrittenView { run, files, kept: report.kept, pulse_problem })
}

fn text(done: &WrittenView) -> String {
    let mut text: String = done.files.iter().map(|file| format!("{}\n", file.display())).collect();
    for kept in &done.kept {
        text.push_str(&format!("an earlier file was edited from outside; it is kept as {}\n", kept.display()));
    }
    text
}
