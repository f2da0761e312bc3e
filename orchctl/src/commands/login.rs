//! `orchctl login`: wins a certificate by a token, and keeps it as a profile. The key never leaves this host.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use roundtable_proto::convert::message_of;
use roundtable_proto::v1;
use roundtable_proto::v1::admission_client::AdmissionClient;
use roundtable_runtime::config::environment;
use roundtable_runtime::fsx;
use roundtable_runtime::identity::{Credentials, Csr, IdentityError, JoinToken, Profile, Profiles, check_id};
use roundtable_runtime::tls::{authority, connect_pinned};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use serde::Serialize;

use super::{answer, now};
use crate::api::refusal;
use crate::args::LoginArgs;
use crate::connect::{not_connected, try_profile};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::{WIDTH, wrap};

/// Longest token file, bytes; a token has about 150.
const TOKEN_BYTES_MAX: u64 = 4096;
/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What was won.
#[derive(Serialize)]
struct LoginView {
    profile: String,
    url: String,
    /// As whom one is known there.
    id: String,
    role: String,
    /// When the certificate ends, if it is not renewed.
    until: String,
}

pub(super) async fn run(context: &Context, args: &LoginArgs) -> Result<Exit> {
    let place = authority(&args.url).map_err(|error| Failure::usage(error.to_string()))?;
    let url = format!("https://{place}");
    let token =
        JoinToken::parse(&token_text(args.token_file.as_deref())?).map_err(|why| Failure::usage("the token cannot be used").why(why))?;
    let profiles = Profiles::of(&context.data_dir);
    let name = name_for(context, &profiles, &url)?;
    // Kept before anything is sent: should the answer be lost, the same token gives the same key its certificate again.
    let csr = profiles.key_for(&name).map_err(unusable)?;
    let reply = exchange(&url, &token, &csr).await?;
    let credentials = Credentials { ca_pem: reply.ca_pem, certificate_pem: reply.certificate_pem, key_pem: csr.key_pem };
    let peer = credentials.peer().map_err(unusable)?;
    let until = WallMs(u64::try_from(peer.not_after_s).unwrap_or(0).saturating_mul(1000)).rfc3339();
    let profile = Profile { name: name.clone(), url: url.clone(), credentials, logged_in_at: now() };
    profiles.keep(&profile).map_err(unusable)?;
    try_profile(&profile).await?;
    let view = LoginView { profile: name, url, id: peer.id, role: peer.role.to_string(), until };
    answer(args.json, &view, |view, _| text(view))?;
    Ok(Exit::Complete)
}

fn text(view: &LoginView) -> String {
    let LoginView { profile, url, id, role, .. } = view;
    let words = format!(
        "profile {profile} is used from now on where no coordinator is alive on this machine, or with `--profile {profile}`; its certificate is renewed \
         while it is used"
    );
    format!("logged in to {url} as {role} {id}\n{}\n", wrap(&words, WIDTH).join("\n"))
}

/// The profile's name: the one that was given, else the host's, unless that is another coordinator's.
fn name_for(context: &Context, profiles: &Profiles, url: &str) -> Result<String> {
    if let Some(named) = &context.profile {
        return Ok(named.name.clone());
    }
    let name = Profile::name_of(url);
    match profiles.read(&name).map_err(unusable)? {
        Some(other) if other.url != url => Err(Failure::usage(format!("there is a profile {name} already, for {}", other.url))
            .next("give this one another name: --profile NAME")
            .next(format!("or give the other up: orchctl logout --profile {name}"))),
        _ => Ok(name),
    }
}

/// The token, from the file or the environment: the command line is read by everybody on this host.
fn token_text(file: Option<&Path>) -> Result<String> {
    let missing = || {
        Failure::usage("no token was given")
            .why("ROUNDTABLE_TOKEN is not set, and there is no --token-file")
            .next("ask whoever runs the coordinator for one: coordinator token create --role operator")
    };
    let Some(file) = file else { return environment("ROUNDTABLE_TOKEN").ok_or_else(missing) };
    let unreadable = |why: String| Failure::usage(format!("the token cannot be read from {}", file.display())).why(why);
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().take(TOKEN_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
        bytes
    } else {
        let read = fsx::read_bounded(file, TOKEN_BYTES_MAX).map_err(|error| unreadable(error.to_string()))?;
        read.ok_or_else(|| unreadable("there is no such file".to_owned()))?
    };
    String::from_utf8(bytes).map_err(|_| unreadable("it is no text".to_owned()))
}

/// Shows the token to the coordinator it is for, and to no other; the answer is a certificate for the key.
async fn exchange(url: &str, token: &JoinToken, csr: &Csr) -> Result<v1::JoinReply> {
    let channel = connect_pinned(url, &token.pins).await.map_err(|error| not_connected(url, error))?;
    let mut request = tonic::Request::new(v1::JoinRequest {
        token: token.id.clone(),
        secret: token.secret().to_owned(),
        csr_pem: csr.request_pem.clone(),
        name: own_name(),
        exact_name: false,
        now_ms: now().0,
        worker: false,
    });
    request.set_timeout(ANSWER_WITHIN);
    match AdmissionClient::new(channel).join(request).await {
        Ok(reply) => Ok(reply.into_inner()),
        Err(status) => Err(match refusal(url, &status) {
            failure if failure.exit() == Exit::Unreachable => {
                failure.next("log in again the same way: the token is good for this host even if it was used")
            }
            failure if failure.exit() == Exit::NotAuthorised => {
                Failure::of(ErrorCode::NotAuthorised, format!("the coordinator at {url} lets nobody in by this token"))
                    .why(message_of(&status))
                    .next("ask for a new one: coordinator token create --role operator")
            }
            failure => failure,
        }),
    }
}

/// What one would like to be called; the coordinator may give another name.
fn own_name() -> String {
    environment("USER").filter(|user| check_id(user).is_ok()).unwrap_or_else(|| "person".to_owned())
}

fn unusable(error: IdentityError) -> Failure {
    Failure::failed(error.to_string())
}
