//! The question before the first paid call of a run: on a terminal, unless `--yes` was given.

use std::io::{IsTerminal, Write};

use roundtable_runtime::shutdown::Shutdown;
use roundtable_shared::view::{Query, SubmitReply, WorkerView};
use roundtable_shared::{CHECK_BACKEND, Mode, WorkerStatus};

use super::prepare::Prepared;
use super::seat::Seat;
use crate::ask::is_yes;
use crate::embed::agents as crew_agents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::count;

/// Asks, if it has to be asked. `reply` is what submitting would come to.
pub(super) async fn confirm(seat: &Seat, prepared: &Prepared, brings_crew: bool, reply: &SubmitReply, asked: &Shutdown) -> Result<()> {
    if reply.resumed || !std::io::stdin().is_terminal() || prepared.options.mode == Mode::Manual {
        return Ok(());
    }
    let agents = agents(seat, prepared, brings_crew).await?;
    if !agents.is_empty() && agents.iter().all(|agent| agent.starts_with("scripted:")) {
        return Ok(());
    }
    put_question(&question(reply, &agents), asked).await
}

/// Ctrl-C before anything was started.
pub(super) fn interrupted_before() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; nothing was started")
}

/// The backends that will be called, as far as is known. A scripted one in another's place counts as scripted.
async fn agents(seat: &Seat, prepared: &Prepared, brings_crew: bool) -> Result<Vec<String>> {
    let mut agents: Vec<String> = Vec::new();
    if brings_crew {
        if prepared.crew.is_scripted() {
            agents.push("scripted:".to_owned());
        } else {
            agents.extend(crew_agents(&prepared.config, &prepared.crew)?);
        }
    }
    let workers: Vec<WorkerView> = seat.api().query(&Query::Workers).await?;
    agents.extend(workers.into_iter().filter(|worker| worker.status != WorkerStatus::Gone).flat_map(|worker| worker.backends.into_keys()));
    agents.retain(|name| name != CHECK_BACKEND);
    agents.sort();
    agents.dedup();
    Ok(agents)
}

fn question(reply: &SubmitReply, agents: &[String]) -> String {
    let by = if agents.is_empty() { String::new() } else { format!(" by {}", agents.join(", ")) };
    format!("{} to do, at least {}{by}. Start? [y/N] ", count(u64::from(reply.units), "unit"), count(u64::from(reply.calls), "agent call"))
}

async fn put_question(question: &str, asked: &Shutdown) -> Result<()> {
    let is_yes = tokio::select! {
        answer = is_yes(question) => answer?,
        () = asked.draining() => {
            // Ends the line of the question.
            let _ = writeln!(std::io::stderr());
            return Err(interrupted_before());
        }
    };
    if is_yes {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "not started, as you said").next("answer beforehand with --yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_units_and_calls() {
        let reply = SubmitReply { units: 5, calls: 11, ..SubmitReply::default() };
        assert_eq!(
            question(&reply, &["codex".into(), "gemini".into()]),
            "5 units to do, at least 11 agent calls by codex, gemini. Start? [y/N] "
        );
        assert_eq!(question(&SubmitReply { units: 1, calls: 1, ..reply }, &[]), "1 unit to do, at least 1 agent call. Start? [y/N] ");
    }
}
