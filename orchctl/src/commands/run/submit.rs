//! Submitting: the commit first, then the spec; and what the coordinator makes of it.

use roundtable_shared::view::SubmitReply;

use super::prepare::Prepared;
use crate::api::{Api, upload};
use crate::failure::{Failure, Result};
use crate::lint::spec_failure;

/// A submission that was taken.
pub(in crate::commands) enum Submitted {
    /// A run that is new or goes on.
    Going(SubmitReply),
    /// There is nothing to do: the last run did it all.
    Finished(SubmitReply),
}

/// Uploads and submits.
pub(in crate::commands) async fn submit(api: &Api, prepared: &Prepared, embedded: bool, fresh: bool) -> Result<Submitted> {
    let facts = &prepared.workdir.facts;
    upload(api.live_client()?, prepared.workdir.repository.git(), &facts.root, &prepared.base.commit).await?;
    let reply = api.submit(&prepared.request(embedded, fresh, false), &prepared.spec, &prepared.copies).await?;
    judged(reply)
}

/// Asks what a submission would come to.
pub(super) async fn ask(api: &Api, prepared: &Prepared, embedded: bool, fresh: bool) -> Result<Submitted> {
    let reply = api.submit(&prepared.request(embedded, fresh, true), &prepared.spec, &[]).await?;
    judged(reply)
}

fn judged(reply: SubmitReply) -> Result<Submitted> {
    if !reply.errors.is_empty() {
        return Err(spec_failure(reply.errors));
    }
    if let Some(changed) = &reply.changed {
        return Err(Failure::usage(format!("run {} of this spec is unfinished, and this command differs from it in {changed}", reply.run))
            .next("go on with it: the same tasks.md and flags as before")
            .next("or start another and keep that one: --fresh"));
    }
    Ok(if reply.finished { Submitted::Finished(reply) } else { Submitted::Going(reply) })
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
        let Err(failure) = judged(reply) else { panic!("refused") };
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.render(Paint::plain()).contains("--fresh"));
        let errors = vec![ProblemView { file: "tasks.md".into(), line: 3, message: "twice".into() }];
        let Err(failure) = judged(SubmitReply { errors, ..SubmitReply::default() }) else { panic!("refused") };
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.render(Paint::plain()).starts_with("tasks.md:3: twice"));
    }
}
