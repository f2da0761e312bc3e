//! `orchctl logout`: forgets a profile with its key. What the coordinator knows of it stays.

use roundtable_runtime::identity::{IdentityError, Profiles};
use serde::Serialize;

use super::answer;
use crate::args::LogoutArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// What was forgotten.
#[derive(Serialize)]
struct LogoutView {
    /// `null` if nobody was logged in.
    profile: Option<String>,
    url: Option<String>,
}

pub(super) async fn run(context: &Context, args: &LogoutArgs) -> Result<Exit> {
    let profiles = Profiles::of(&context.data_dir);
    let unusable = |error: IdentityError| Failure::failed(error.to_string());
    let (profile, url) = match &context.profile {
        Some(named) => (Some(named.name.clone()), named.url.clone()),
        None => profiles.last().map_err(unusable)?.map(|last| (last.name, last.url)).unzip(),
    };
    if let Some(name) = &profile
        && !profiles.remove(name).map_err(unusable)?
    {
        return Err(Failure::usage(format!("there is no profile {name}")));
    }
    answer(args.json, &LogoutView { profile, url }, |view, _| text(view))?;
    Ok(Exit::Complete)
}

fn text(view: &LogoutView) -> String {
    match (&view.profile, &view.url) {
        (Some(profile), Some(url)) => format!("profile {profile} ({url}) is forgotten\n"),
        (Some(profile), None) => format!("profile {profile} is forgotten\n"),
        _ => "nobody is logged in to a coordinator\n".to_owned(),
    }
}
