//! Carrying out a grant: the start commit, the prompt, and the lease's frame to its worker.

use roundtable_core::Core;
use roundtable_core::command::ShellAnswer;
use roundtable_core::effect::{Grant, Start};
use roundtable_proto::convert::lease_in;
use roundtable_proto::v1;
use roundtable_shared::limits::OUTPUT_KILL_BYTES;
use roundtable_shared::{CommitId, Lease, Role, RunOptions};
use tracing::warn;

use super::{ShellError, answer, facts, send};
use crate::lost;
use crate::parts::Parts;
use crate::prompt::{self, Prompt, PromptInput};
use crate::repository::Repository;
use crate::told::Told;

pub(super) async fn carry_out(parts: Parts, grant: Grant) {
    let lease = grant.lease.clone();
    if let Err(error) = try_carry_out(&parts, grant).await {
        warn!(lease = %lease.key, %error, "the lease could not be sent");
        // A run that has lost what it stands on is halted first, so that no unit pays.
        lost::is_lost(&parts, &lease.key.run).await;
        answer(&parts.links.handle, ShellAnswer::GrantFailed { lease, reason: error.to_string() }).await;
    }
}

async fn try_carry_out(parts: &Parts, grant: Grant) -> Result<(), ShellError> {
    let gone = || ShellError::Gone(format!("{} is not there any more", grant.lease.key));
    let known = parts.links.handle.read(|core: &Core, _| {
        let key = &grant.lease.key;
        let repository = core.state.run(&key.run)?.origin.source.repository.clone();
        let unit = key.unit.as_ref().and_then(|unit| core.state.unit(&key.run, unit));
        Some((repository, unit.map(|unit| facts::paths_of(&unit.assignment.manifest)).unwrap_or_default()))
    });
    let (key, paths) = known.ok_or_else(gone)?;
    let repository = parts.repositories.open(&key).await?;
    let start = start_of(&repository, &grant).await?;
    let facts = facts::gather(parts, &repository, &grant, &paths).await?;
    let asked = grant.clone();
    let composed = parts.links.handle.view(move |core: &Core, now| {
        let run = core.state.run(&asked.lease.key.run)?;
        let input = PromptInput::for_grant(core, now, &asked, &facts)?;
        Some((prompt::compose(&input), run.options.clone()))
    });
    let (prompt, options) = composed.await?.ok_or_else(gone)?;
    if !prompt.text.is_empty()
        && let Err(error) = Told::new(&parts.data_dir).keep(&grant.lease.key, prompt.text.clone()).await
    {
        warn!(lease = %grant.lease.key, %error, "what the agent is told cannot be kept to be shown");
    }
    let has_attachments = grant.granted.role != Role::Assign && parts.attachments.has(&grant.lease.key.run);
    let lease = lease(&grant, start, prompt, &options, key, has_attachments);
    let gone = || ShellError::Gone(format!("worker {} has gone", grant.granted.worker));
    let protocol = parts.sessions.protocol(&grant.granted.worker, grant.session).ok_or_else(gone)?;
    let frame = v1::coordinator_frame::Frame::Lease(lease_in(protocol, &lease));
    if send(&parts.sessions, &grant.granted.worker, grant.session, frame) { Ok(()) } else { Err(gone()) }
}

/// The commit the worktree is made of; a merge is made here and kept, so that the worker can fetch it and its result connects.
async fn start_of(repository: &Repository, grant: &Grant) -> Result<CommitId, ShellError> {
    match &grant.granted.start {
        Start::Commit(commit) => Ok(commit.clone()),
        Start::MergeWithTip { base, commit, tip } => {
            let start = repository.merged_start(base, commit, tip).await?.commit;
            repository.keep_start(&grant.lease.key, &start).await?;
            Ok(start)
        }
    }
}

fn lease(grant: &Grant, start: CommitId, prompt: Prompt, options: &RunOptions, repository: String, has_attachments: bool) -> Lease {
    let effort = if grant.granted.escalated { Some("high".to_owned()) } else { options.efforts.get(&grant.granted.backend).cloned() };
    let has_worktree = !matches!(grant.granted.role, Role::Assign | Role::Orchestrate);
    Lease {
        lease: grant.lease.clone(),
        seat: grant.granted.seat,
        role: grant.granted.role,
        backend: grant.granted.backend.clone(),
        pool: grant.granted.pool.clone(),
        repository,
        base: grant.granted.base.clone(),
        start,
        prompt: prompt.text,
        answer_schema: prompt.schema.map(str::to_owned),
        turn_data: prompt.turn_data,
        resume: grant.granted.resume.clone(),
        model: options.models.get(&grant.granted.backend).cloned(),
        effort,
        wall_ms: options.limits.wall_ms,
        idle_ms: options.limits.idle_ms,
        output_bytes_max: OUTPUT_KILL_BYTES,
        save_ms: options.limits.save_ms,
        setup: options.setup.clone().filter(|_| has_worktree),
        check: options.check.clone().filter(|_| grant.granted.role == Role::Check),
        has_attachments: has_attachments && has_worktree,
        read_only: !grant.granted.role.writes() && grant.granted.role != Role::Check,
        switches: options.switches.clone(),
    }
}
