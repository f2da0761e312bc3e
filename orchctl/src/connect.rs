//! Finding the coordinator: the one named, else the one alive on this data dir. Starting one is `embed`'s.

use std::path::Path;

use roundtable_proto::PROTOCOL;
use roundtable_runtime::identity::{ClientFile, Credentials, IdentityError};
use roundtable_runtime::tls::{ConnectError, connect};
use roundtable_shared::error::ErrorCode;
use tokio::net::TcpStream;

use crate::api::Client;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Finds the coordinator: `None` if none was named and none is alive here.
pub async fn find(context: &Context) -> Result<Option<Client>> {
    match &context.coordinator {
        Some(url) => named(url, &context.data_dir).await.map(Some),
        None => alive(&context.data_dir).await,
    }
}

/// A coordinator that was named: it must be there. Whether it is comes first, then who we are.
async fn named(url: &str, data_dir: &Path) -> Result<Client> {
    let Some(credentials) = known_credentials(data_dir)? else {
        reachable(url).await?;
        return Err(Failure::new(Exit::NotAuthorised, format!("there are no credentials for the coordinator at {url}"))
            .why(format!("{} has no client.json", data_dir.display()))
            .next("use the data dir of its own user on its host (--data-dir)"));
    };
    let channel = connect(url, &credentials).await.map_err(|error| not_connected(url, error))?;
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
    let channel = match connect(&file.address, &file.credentials).await {
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
    let tried = tokio::time::timeout(std::time::Duration::from_secs(5), TcpStream::connect(authority)).await;
    let why = match tried {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took longer than 5 s".to_owned(),
    };
    Err(nobody_there(url, &why))
}

async fn check_protocol(client: &Client) -> Result<()> {
    let info = client.info().await?;
    let (oldest, newest) = (*PROTOCOL.start(), *PROTOCOL.end());
    if info.protocol_max >= oldest && info.protocol_min <= newest {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "the coordinator at {} speaks protocol {} to {}, this orchctl {oldest} to {newest}",
        client.url(),
        info.protocol_min,
        info.protocol_max
    ))
    .why(format!("it is version {}", info.version))
    .next("use orchctl and coordinator of the same release"))
}

fn not_connected(url: &str, error: ConnectError) -> Failure {
    match error {
        ConnectError::BadAddress { .. } => Failure::usage(error.to_string()),
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
    use super::*;

    fn context(url: Option<&str>, data_dir: &Path) -> Context {
        Context {
            coordinator: url.map(str::to_owned),
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
    async fn none_named_and_none_alive_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(&context(None, dir.path())).await.unwrap().is_none());
    }
}
