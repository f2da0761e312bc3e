//! `orchctl checkout`: a unit's last attempt as a folder where a person can go on.

use std::path::{Path, PathBuf};

use roundtable_shared::view::{Query, StatusView};
use serde::Serialize;

use super::answer;
use super::fetch::not_here;
use crate::api::{Api, fetch};
use crate::args::CheckoutArgs;
use crate::branch::repository_at;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::{shell_word, short};
use crate::select::{Selector, exactly};
use crate::session::Session;
use crate::workdir::refusal;

/// What was checked out.
#[derive(Serialize)]
struct CheckoutView {
    run: String,
    unit: String,
    commit: String,
    base: Option<String>,
    dir: PathBuf,
}

pub(super) async fn run(context: &Context, args: &CheckoutArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = make(context, &session.api, &args.target).await;
    session.end().await;
    answer(args.json, &done?, |done, _| text(context, done))?;
    Ok(Exit::Complete)
}

fn text(context: &Context, done: &CheckoutView) -> String {
    let dir = shell_word(&done.dir.to_string_lossy());
    let resume = context.command(&format!("orchctl decide {}/ID resume --commit $(git -C {dir} rev-parse HEAD)", done.run));
    format!(
        "{dir} holds unit {} of {} at {}\n\nwork and commit there; then, if a decision asks for it:\n  {resume}\nafterwards:\n  git worktree remove {dir}\n",
        done.unit,
        done.run,
        short(&done.commit),
    )
}

/// A folder is made; one that has something in it is somebody's.
fn expect_free(dir: &Path) -> Result<()> {
    let is_free = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if is_free {
        return Ok(());
    }
    Err(Failure::usage(format!("{} is there already", dir.display()))
        .why("the unit is checked out into a folder of its own, which must be new or empty")
        .next("name another folder"))
}

async fn make(context: &Context, api: &Api, words: &[String]) -> Result<CheckoutView> {
    let Some((dir, target)) = words.split_last() else {
        return Err(Failure::usage("the folder to make is missing"));
    };
    let dir = PathBuf::from(dir);
    expect_free(&dir)?;
    let selector = Selector::new(api, context.git_dir_here().await).await?;
    let target = selector.unit(target).await?;
    let line = selector.run(Some(&target.run))?;
    let unit = target.unit.unwrap_or_default();
    let status: StatusView = api.query(&Query::Status { run: exactly(&line.run) }).await?;
    let found = repository_at(line.repository.as_ref(), &status.base).await;
    let repository = found.ok_or_else(|| not_here(&line.run, &line.repository))?;
    let haves: Vec<_> = repository.git().resolve_commit("HEAD").await.into_iter().collect();
    let fetched = fetch(api.live_client()?, repository.git(), &line.run, Some(&unit), &haves).await?;
    repository.add_work_tree(&dir, &fetched.commit).await.map_err(refusal)?;
    let dir = dir.canonicalize().unwrap_or(dir);
    Ok(CheckoutView {
        run: line.run.clone(),
        unit,
        commit: fetched.commit.to_string(),
        base: fetched.base.map(|base| base.to_string()),
        dir,
    })
}
