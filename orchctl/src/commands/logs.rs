//! `orchctl logs`.

use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{AttemptView, Query};

use super::events::stream;
use crate::api::WatchFor;
use crate::args::LogsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::select::Selector;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let target = selector.maybe_unit(&args.target).await?;
    if let Some(at) = selector.runs().iter().find(|run| run.run == target.run).and_then(|run| run.removed_at.as_ref()) {
        return Err(Failure::of(ErrorCode::NotFound, format!("what the agents of run {} said was removed at {at}", target.run))
            .next(format!("`orchctl summary {}` and `orchctl events {}` tell what is kept", target.run, target.run)));
    }
    if let (Some(unit), Some(attempt)) = (&target.unit, args.attempt) {
        let query = Query::Attempts { run: target.selector(), unit: unit.clone() };
        let attempts: Vec<AttemptView> = api.query(&query).await?;
        expect_attempt(&target.run, unit, attempt, &attempts)?;
    }
    let wanted =
        WatchFor { run: target.run, unit: target.unit, attempt: args.attempt, transitions: false, agent_events: true, follow: args.follow };
    stream(context, &api, &wanted, args.jsonl).await
}

/// Refuses an attempt that is none, naming those there are.
fn expect_attempt(run: &str, unit: &str, wanted: u32, attempts: &[AttemptView]) -> Result<()> {
    let mut numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.attempt).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.contains(&wanted) {
        return Ok(());
    }
    let there = match (numbers.first(), numbers.last()) {
        (None, _) | (_, None) => "it has none yet".to_owned(),
        (Some(one), Some(last)) if one == last => format!("it has attempt {one} alone"),
        (Some(first), Some(last)) if (last - first) as usize + 1 == numbers.len() => format!("it has attempts {first} to {last}"),
        _ => format!("it has attempts {}", numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::of(ErrorCode::NotFound, format!("unit {unit} of {run} has no attempt {wanted}; {there}"))
        .next(format!("`orchctl attempts {run} {unit}` lists them")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_is_none_is_answered_with_those_there_are() {
        let attempts = |numbers: &[u32]| numbers.iter().map(|n| AttemptView { attempt: *n, ..AttemptView::default() }).collect::<Vec<_>>();
        let said = |numbers: &[u32]| expect_attempt("r", "1", 9, &attempts(numbers)).map_err(|failure| failure.what().to_owned());
        assert_eq!(said(&[8, 9]), Ok(()));
        assert_eq!(said(&[]), Err("unit 1 of r has no attempt 9; it has none yet".to_owned()));
        assert_eq!(said(&[1]), Err("unit 1 of r has no attempt 9; it has attempt 1 alone".to_owned()));
        assert_eq!(said(&[2, 1, 3]), Err("unit 1 of r has no attempt 9; it has attempts 1 to 3".to_owned()));
        assert_eq!(said(&[1, 4]), Err("unit 1 of r has no attempt 9; it has attempts 1, 4".to_owned()));
    }
}
