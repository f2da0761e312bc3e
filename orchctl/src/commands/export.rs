//! `orchctl export`.

use std::path::PathBuf;
use std::time::Instant;

use roundtable_shared::view::{MirrorView, Query};
use serde::Serialize;

use super::answer;
use crate::args::ExportArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::mirror::{MirrorPaths, MirrorWriter};
use crate::select::{Selector, exactly};

/// What was written.
#[derive(Serialize)]
pub(super) struct WrittenView {
    /// Null before there is a run.
    run: Option<String>,
    files: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

pub(super) async fn run(context: &Context, args: &ExportArgs) -> Result<Exit> {
    let api = context.reader().await?;
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let run = selector.run(args.run.as_deref())?.run.clone();
    let mut writer =
        MirrorWriter::open(MirrorPaths::in_dir(&args.output), &context.data_dir).map_err(|error| Failure::failed(error.to_string()))?;
    let query = Query::Mirror { run: exactly(&run), existing_pulse: writer.existing_pulse() };
    let view: MirrorView = api.query(&query).await?;
    let done = written(&mut writer, &view)?;
    answer(args.json, &done, |done, _| text(done))?;
    Ok(Exit::Complete)
}

/// Writes mirror files once.
pub(super) fn written(writer: &mut MirrorWriter, view: &MirrorView) -> Result<WrittenView> {
    let report = writer.write(view, Instant::now()).map_err(|error| Failure::failed(error.to_string()))?;
    if report.held_by_another {
        return Err(Failure::failed(format!("another orchctl writes the mirror files in {}", writer.paths().dir().display()))
            .next("name another folder with --output DIR, or wait until it has ended"));
    }
    let files = writer.paths().all().map(ToOwned::to_owned).to_vec();
    let run = (!view.run.is_empty()).then(|| view.run.clone());
    Ok(WrittenView { run, files, kept: report.kept })
}

pub(super) fn text(done: &WrittenView) -> String {
    let mut text: String = done.files.iter().map(|file| format!("{}\n", file.display())).collect();
    for kept in &done.kept {
        text.push_str(&format!("an earlier file was edited from outside; it is kept as {}\n", kept.display()));
    }
    text
}
