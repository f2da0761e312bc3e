//! The first mirror files of a spec nobody runs yet (`orchctl init`): the core plans it in memory, nothing is kept.

use std::collections::BTreeMap;

use roundtable_core::command::{Command, Now, RunSource, Submit};
use roundtable_core::{Core, Entropy, Reply};
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_shared::spec::{ReadOptions, Spec};
use roundtable_shared::view::{ExistingPulse, MirrorView, ProblemView};
use roundtable_shared::{CommitId, RunOptions};

use crate::mirror;

/// Why there are no mirror files.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The spec cannot run.
    #[error("the spec has errors")]
    Spec(Vec<ProblemView>),
    /// The core refused it.
    #[error("{0}")]
    Refused(String),
}

/// The mirror files as they stand right after planning.
pub fn first_mirror(
    files: &BTreeMap<String, Vec<u8>>,
    read: ReadOptions,
    spec_path: &str,
    options: RunOptions,
    existing: &ExistingPulse,
) -> Result<MirrorView, PreviewError> {
    let (spec, outline, _) = Spec::read_with(files, read).into_result().map_err(|problems| {
        let view =
            |problem: roundtable_shared::spec::Problem| ProblemView { file: problem.file, line: problem.line, message: problem.message };
        PreviewError::Spec(problems.into_iter().map(view).collect())
    })?;
    let clock = SystemClock;
    let now = Now { mono_ms: clock.boot_ms(), wall: clock.wall() };
    let spec_path = spec_path.to_owned();
    let source = RunSource { repository: String::new(), git_dir: String::new(), spec_path, workdir: String::new() };
    let submit = Submit {
        run: "preview-aaaaaa".into(),
        source,
        spec,
        outline,
        inputs_digest: String::new(),
        options,
        base: CommitId::new("0".repeat(40)),
        started_branch: None,
        fresh: true,
        tick_path: None,
        spec_paths: Vec::new(),
        mirror_paths: Vec::new(),
        imported: None,
        by: "preview".to_owned(),
    };
    let mut core = Core::default();
    let reply = core.handle(Command::Submit(Box::new(submit)), now, &mut Entropy::new(0));
    match reply.map_err(|rejection| PreviewError::Refused(rejection.to_string()))?.reply {
        Reply::Submitted { run, .. } => match core.state.run(&run) {
            Some(run) => Ok(mirror::render_before(&core.state, run, now.wall, existing)),
            None => Err(PreviewError::Refused("the run was not made".to_owned())),
        },
        _ => Err(PreviewError::Refused("the submission got an answer of another kind".to_owned())),
    }
}
