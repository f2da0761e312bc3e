//! Finding the coordinator: the one named, the one alive on this data dir, else the one that was logged in to last. Starting one is `embed`'s.

use std::io::Write;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use roundtable_proto::PROTOCOL;
use roundtable_proto::protocol::{Speaker, negotiate};
use roundtable_runtime::identity::{ClientFile, Credentials, IdentityError, Profile, Profiles};
use roundtable_runtime::lock::holder_of;
use roundtable_runtime::tls::{ConnectError, connect, connect_asking};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::text::one_line;
use tokio::net::TcpStream;

use crate::api::Client;
use crate::context::{Context, Named};
use crate::credentials::{kept_fresh, of_client_file, of_profile};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Finds the coordinator: `None` if none was named, none is alive here, and nobody has logged in to one.
pub async fn find(context: &Context) -> Result<Option<Client>> {
    let profiles = Profiles::of(&context.data_dir);
    if let Some(named) = &context.profile {
        let profile = profiles.read(&named.name).map_err(unusable)?.ok_or_else(|| no_such_profile(&profiles, named))?;
        let url = context.coordinator.as_deref().unwrap_or(&profile.url);
        return by_profile(context, &profile, url).await.map(Some);
    }
    if let Some(url) = &context.coordinator {
        return match profiles.of_url(url).map_err(unusable)? {
            Some(profile) => by_profile(context, &profile, url).await.map(Some),
            None => named(url, &context.data_dir).await.map(Some),
        };
    }
    if let Some(client) = alive(&context.data_dir).await? {
        return Ok(Some(client));
    }
    // Who holds the data dir starts or ends right now: that one is meant.
    if holder_of(&context.data_dir).is_some() {
        return Ok(None);
    }
    match profiles.last().map_err(unusable)? {
        Some(profile) => by_profile(context, &profile, &profile.url).await.map(Some),
        None => Ok(None),
    }
}

/// A coordinator that was logged in to. Which one it is, is said: a command must not be done elsewhere than was thought.
async fn by_profile(context: &Context, profile: &Profile, url: &str) -> Result<Client> {
    announce(profile, url);
    let credentials = kept_fresh(&context.data_dir, profile, url).await;
    let source = of_profile(&context.data_dir, &profile.name, url);
    let channel = connect_asking(url, &credentials, source).await.map_err(|error| {
        let is_worth_a_login = !matches!(error, ConnectError::ClocksApart { .. });
        match not_connected(url, error) {
            failure if failure.exit() == Exit::Unreachable => failure.next(format!(
                "this is profile {}; name another with --profile, or log out of it to work on this machine: {}",
                profile.name,
                logout(profile)
            )),
            failure if is_worth_a_login => failure.next(format!("log in again: orchctl login {} --profile {}", profile.url, profile.name)),
            failure => failure,
        }
    })?;
    let client = Client::new(channel, url);
    check_protocol(&client).await?;
    Ok(client)
}

/// Whether the coordinator of a profile that was just won takes it.
pub async fn try_profile(profile: &Profile) -> Result<()> {
    let channel = connect(&profile.url, &profile.credentials).await.map_err(|error| not_connected(&profile.url, error))?;
    check_protocol(&Client::new(channel, profile.url.as_str())).await
}

fn logout(profile: &Profile) -> String {
    format!("`orchctl logout --profile {}`", profile.name)
}

/// Says once which profile is in use; not on standard output, which is the answer alone.
fn announce(profile: &Profile, url: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        // Whoever closed standard error does not want to read it.
        let _ = writeln!(std::io::stderr(), "profile {}: {}", profile.name, one_line(url));
    });
}

fn no_such_profile(profiles: &Profiles, named: &Named) -> Failure {
    let known = profiles.names().unwrap_or_default();
    let known =
        if known.is_empty() { "nobody has logged in to a coordinator yet".to_owned() } else { format!("there are: {}", known.join(", ")) };
    Failure::usage(format!("there is no profile {}", named.name))
        .why(known)
        .next(format!("log in: orchctl login URL --profile {}", named.name))
}

/// A coordinator that was named: it must be there. Whether it is comes first, then who we are.
async fn named(url: &str, data_dir: &Path) -> Result<Client> {
    let Some(credentials) = known_credentials(data_dir)? else {
        reachable(url).await?;
        return Err(Failure::new(Exit::NotAuthorised, format!("there are no credentials for the coordinator at {url}"))
            .why(format!("{} has no client.json, and no login is for that address", data_dir.display()))
            .next(format!("log in with a token (coordinator token create --role operator): orchctl login {url}"))
            .next("or use the data dir of its own user on its host (--data-dir)"));
    };
    let channel = connect_asking(url, &credentials, of_client_file(data_dir)).await.map_err(|error| not_connected(url, error))?;
    let client = Client::new(channel, url);
    check_protocol(&client).await?;
    Ok(client)
}

/// The coordinator whose `client.json` is alive.
async fn alive(data_dir: &Path) -> Result<Option<Client>> {
    let Some(file) = ClientFile::read(data_dir).map_err(unusable)? else {
        return Ok(None);
    };
    if !file.process_runs() {
        return Ok(None);
    }
    let channel = match connect_asking(&file.address, &file.credentials, of_client_file(data_dir)).await {
        // It is starting, ending or hangs; who needs it alive takes the lock and names the holder.
        Err(ConnectError::Unreachable { .. }) => return Ok(None),
        other => other.map_err(|error| not_connected(&file.address, error))?,
    };
    let client = Client::new(channel, format!("https://{}", file.address));
    match check_protocol(&client).await {
        Ok(()) => Ok(Some(client)),
        Err(failure) if failure.exit() == Exit::Unreachable => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn known_credentials(data_dir: &Path) -> Result<Option<Credentials>> {
    Ok(ClientFile::read(data_dir).map_err(unusable)?.map(|file| file.credentials))
}

/// Whether anybody listens there.
async fn reachable(url: &str) -> Result<()> {
    let authority = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
    let tried = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(authority)).await;
    let why = match tried {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took longer than 5 s".to_owned(),
    };
    Err(nobody_there(url, &why))
}

async fn check_protocol(client: &Client) -> Result<()> {
    let info = client.info().await?;
    let ours = Speaker { name: "this orchctl".to_owned(), range: PROTOCOL };
    let theirs = Speaker { name: format!("the coordinator at {}", client.url()), range: info.protocol_min..=info.protocol_max };
    match negotiate(ours, theirs) {
        Ok(_) => Ok(()),
        Err(mismatch) => Err(Failure::failed(mismatch.to_string()).why(format!("the coordinator is version {}", info.version))),
    }
}

pub fn not_connected(url: &str, error: ConnectError) -> Failure {
    match error {
        ConnectError::BadAddress { .. } => Failure::usage(error.to_string()),
        ConnectError::WrongAuthority { .. } | ConnectError::ClocksApart { .. } => Failure::of(ErrorCode::NotAuthorised, error.to_string()),
        ConnectError::Unreachable { why, .. } => nobody_there(url, &why),
        ConnectError::NotTrusted { why, .. } => {
            Failure::of(ErrorCode::NotAuthorised, format!("the coordinator at {url} does not admit us"))
                .why(why)
                .next("use the data dir of its own user on its host (--data-dir)")
        }
        other => Failure::failed(other.to_string()),
    }
}

fn nobody_there(url: &str, why: &str) -> Failure {
    Failure::unreachable(format!("no coordinator answers at {url}"))
        .why(why)
        .next("start it with `coordinator serve`, or leave --coordinator out to use this machine")
}

fn unusable(error: IdentityError) -> Failure {
    Failure::failed(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_runtime::clock::{Clock, SystemClock};
    use roundtable_runtime::identity::{Ca, Lifetime, PeerRole};

    use super::*;

    fn context(url: Option<&str>, data_dir: &Path) -> Context {
        Context {
            coordinator: url.map(str::to_owned),
            profile: None,
            data_dir: data_dir.to_owned(),
            data_dir_was_named: true,
            config: Default::default(),
            sources: Default::default(),
        }
    }

    #[tokio::test]
    async fn named_and_absent_is_unreachable_before_credentials_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = format!("https://{}", listener.local_addr().unwrap());
        let found = find(&context(Some(&there), dir.path())).await;
        assert_eq!(found.err().unwrap().exit(), Exit::NotAuthorised);
        drop(listener);
        let found = find(&context(Some(&there), dir.path())).await;
        assert_eq!(found.err().unwrap().exit(), Exit::Unreachable);
    }

    #[tokio::test]
    async fn profiles_are_named_or_the_last_login_and_lead_where_they_say() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemClock.wall();
        let ca = Ca::open_or_create(&dir.path().join("ca"), now).unwrap();
        let profiles = Profiles::of(dir.path());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let named = |name: &str| Context { profile: Some(Named { name: name.to_owned(), url: None }), ..context(None, dir.path()) };
        let failure = find(&named("build")).await.err().unwrap();
        assert_eq!((failure.exit(), failure.what()), (Exit::Usage, "there is no profile build"));
        let credentials = ca.mint_client(PeerRole::Operator, "ann", now, Lifetime::CLIENT).unwrap();
        profiles.keep(&Profile { name: "build".to_owned(), url: gone.clone(), credentials, logged_in_at: now }).unwrap();
        for context in [named("build"), context(Some(&gone), dir.path()), context(None, dir.path())] {
            let failure = find(&context).await.err().unwrap();
            assert_eq!(failure.exit(), Exit::Unreachable, "{context:?}");
            assert!(failure.render(crate::output::paint::Paint::plain()).contains("profile build"), "{context:?}");
        }
        // A data dir that is held has its coordinator soon.
        let _held = roundtable_runtime::lock::DirLock::acquire(dir.path(), "orchctl run").unwrap();
        assert!(find(&context(None, dir.path())).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn none_named_and_none_alive_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(&context(None, dir.path())).await.unwrap().is_none());
    }
}
