//! Submitting: the commit first, then the spec; and what the coordinator makes of it.

use std::path::Path;

use roundtable_shared::view::SubmitReply;

use super::prepare::Prepared;
use crate::api::{Api, upload};
use crate::commands::warn;
use crate::failure::{Failure, Result};
use crate::lint::spec_failure;
use crate::output::text::shell_word;

/// A submission that was taken.
pub(in crate::commands) enum Submitted {
    /// A run that is new or goes on.
    Going(SubmitReply),
    /// There is nothing new to do: the last run has ended.
    Finished(SubmitReply),
}

/// Uploads and submits.
pub(in crate::commands) async fn submit(api: &Api, prepared: &Prepared, embedded: bool, fresh: bool) -> Result<Submitted> {
    let facts = &prepared.workdir.facts;
    upload(api.live_client()?, prepared.workdir.repository.git(), &facts.root, &prepared.base.commit).await?;
    let reply = api.submit(&prepared.request(embedded, fresh, false), &prepared.spec, &prepared.copies).await?;
    let submitted = judged(reply, &prepared.spec.path, prepared.state_file())?;
    if let Submitted::Going(reply) = &submitted {
        if !reply.resumed {
            prepared.note_taken_up();
        }
        prepared.warn_of_what_is_not_included(reply).await?;
        reply.notices.iter().for_each(|notice| warn(notice));
    }
    Ok(submitted)
}

/// Asks what a submission would come to.
pub(in crate::commands) async fn ask(api: &Api, prepared: &Prepared, embedded: bool, fresh: bool) -> Result<Submitted> {
    let reply = api.foresee(&prepared.request(embedded, fresh, true), &prepared.spec).await?;
    let submitted = judged(reply, &prepared.spec.path, prepared.state_file())?;
    if let Submitted::Going(reply) = &submitted {
        prepared.warn_of_what_is_not_included(reply).await?;
    }
    Ok(submitted)
}

fn judged(reply: SubmitReply, spec: &Path, state: Option<&Path>) -> Result<Submitted> {
    if !reply.errors.is_empty() {
        return Err(spec_failure(reply.errors));
    }
    if reply.other_state {
        return Err(other_state(&reply.run, spec, state));
    }
    if let Some(changed) = &reply.changed {
        return Err(Failure::usage(format!("run {} of this spec is unfinished, and this command differs from it in {changed}", reply.run))
            .next("go on with it: the same tasks.md and flags as before")
            .next("or start another and keep that one: --fresh"));
    }
    Ok(if reply.finished { Submitted::Finished(reply) } else { Submitted::Going(reply) })
}

/// The spec has an unfinished run that does not come from the state given.
pub(in crate::commands) fn other_state(run: &str, spec: &Path, state: Option<&Path>) -> Failure {
    let word = |path: &Path| shell_word(&path.to_string_lossy());
    let state = state.map_or_else(|| "AGENT_STATE.json".to_owned(), word);
    Failure::usage(format!("run {run} of this spec is unfinished, and did not begin with this state; nothing was imported"))
        .next(format!("go on with it: orchctl run --spec {}", word(spec)))
        .next(format!("or end it, and import again: orchctl cancel {}", shell_word(run)))
        .next(format!("or keep it, and start another: orchctl run --state {state} --fresh"))
}

#[cfg(test)]
mod tests {
    use roundtable_shared::view::ProblemView;

    use super::*;
    use crate::exit::Exit;
    use crate::output::paint::Paint;

    #[test]
    fn a_changed_plan_is_a_usage_error_that_names_fresh() {
        let reply = SubmitReply { run: "login-abc".into(), changed: Some("tasks.md".into()), ..SubmitReply::default() };
        let Err(failure) = judged(reply, Path::new("/s"), None) else { panic!("refused") };
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.render(Paint::plain()).contains("--fresh"));
        let reply = SubmitReply { run: "login-abc".into(), other_state: true, ..SubmitReply::default() };
        let Err(failure) = judged(reply, Path::new("/s"), Some(Path::new("out/AGENT_STATE.json"))) else { panic!("refused") };
        let text = failure.render(Paint::plain()).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(failure.exit(), Exit::Usage);
        for way in ["orchctl run --spec /s", "orchctl cancel login-abc", "orchctl run --state out/AGENT_STATE.json --fresh"] {
            assert!(text.contains(way), "{text}");
        }
        let errors = vec![ProblemView { file: "tasks.md".into(), line: 3, message: "twice".into() }];
        let Err(failure) = judged(SubmitReply { errors, ..SubmitReply::default() }, Path::new("/s"), None) else { panic!("refused") };
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.render(Paint::plain()).starts_with("tasks.md:3: twice"));
    }
}
