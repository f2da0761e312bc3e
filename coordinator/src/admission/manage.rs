//! Acts of those who decide who may come in: tokens, admitted keys, revocations. Secrets are drawn here and told to whoever asked, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_core::command::{AccessCommand, Command, NewToken};
use roundtable_core::state::{Admits, Token};
use roundtable_core::{Core, Rejection, Reply};
use roundtable_runtime::identity::{JoinToken, Pin, RootStep, check_id, digest_of_secret};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{AccessReply, AccessRequest, CreatedToken, RootAct, TokenView};
use roundtable_shared::{AccessRole, TokenId};

use super::{AdmissionError, Admissions};
use crate::driver::HandleError;

/// What is made known of a token beside itself.
struct Terms {
    role: AccessRole,
    ttl_ms: u64,
    uses: u32,
    labels: BTreeMap<String, String>,
    ephemeral: bool,
}

impl Admissions {
    /// Does it.
    pub async fn manage(&self, request: AccessRequest, by: String) -> Result<AccessReply, AdmissionError> {
        match request {
            AccessRequest::CreateToken { role, ttl_ms, uses, labels, ephemeral } => {
                let terms = Terms { role, ttl_ms, uses, labels, ephemeral };
                Ok(AccessReply::Created(self.create_token(terms, by).await?))
            }
            AccessRequest::Tokens => {
                let listed = self.handle.read(|core: &Core, now| {
                    let mut tokens: Vec<&Token> = core.state.access.tokens.values().collect();
                    tokens.sort_by_key(|token| token.created_at);
                    tokens.into_iter().map(|token| view(token, now.wall)).collect()
                });
                Ok(AccessReply::Tokens(listed))
            }
            AccessRequest::RevokeToken { id } => self.act(AccessCommand::RevokeToken { id: TokenId::new(id), by }).await,
            AccessRequest::AddWorker { key, name, labels } => self.add_worker(key, name, labels, by).await,
            AccessRequest::Revoke { id } => {
                let (role, id) = match id.split_once('/') {
                    Some((role, id)) => {
                        check_id(id)?;
                        (Some(role_named(role)?), id.to_owned())
                    }
                    None => (None, id),
                };
                self.act(AccessCommand::RevokePeer { role, id, by }).await
            }
            AccessRequest::Root { act } => self.root(act).await,
        }
    }

    async fn create_token(&self, terms: Terms, by: String) -> Result<CreatedToken, AdmissionError> {
        let Terms { role, ttl_ms, uses, labels, ephemeral } = terms;
        let drawn = JoinToken::draw(self.ca.pins()?)?;
        let expires_at = WallMs(self.clock.wall().0.saturating_add(ttl_ms));
        let token = NewToken {
            id: TokenId::new(drawn.id.as_str()),
            role,
            admits: Admits::Secret(digest_of_secret(drawn.secret())),
            name: None,
            uses,
            labels,
            ephemeral,
            expires_at: Some(expires_at),
            by,
        };
        self.act(AccessCommand::Create(Box::new(token))).await?;
        let url = self.reach.get().cloned().unwrap_or_else(|| "https://HOST:7420".to_owned());
        let token = drawn.reveal();
        let line = match role {
            AccessRole::Worker => format!("ROUNDTABLE_TOKEN={token} worker join {url} --backend codex"),
            _ => format!("ROUNDTABLE_TOKEN={token} orchctl login {url}"),
        };
        let expires_at = expires_at.rfc3339();
        Ok(CreatedToken { id: drawn.id, token, role: role.into(), uses, expires_at, url, line })
    }

    async fn add_worker(
        &self,
        key: String,
        name: Option<String>,
        labels: BTreeMap<String, String>,
        by: String,
    ) -> Result<AccessReply, AdmissionError> {
        let Some(key) = Pin::parse(&key) else {
            return Err(Rejection::invalid("--key: a fingerprint has 64 hex digits, as `worker keygen` prints it").into());
        };
        name.as_deref().map_or(Ok(()), check_id)?;
        let id = TokenId::new(JoinToken::draw(Vec::new())?.id);
        let token = NewToken {
            id: id.clone(),
            role: AccessRole::Worker,
            admits: Admits::Key(key.to_string()),
            name,
            uses: 1,
            labels,
            ephemeral: false,
            expires_at: None,
            by,
        };
        self.act(AccessCommand::Create(Box::new(token))).await?;
        let url = self.reach.get().cloned().unwrap_or_else(|| "https://HOST:7420".to_owned());
        let text =
            format!("the key is admitted, as {id}; on the worker's host:\n  worker join {url} --pin {} --backend codex", self.ca.pin()?);
        Ok(AccessReply::Done { text, unchanged: false })
    }

    async fn root(&self, act: RootAct) -> Result<AccessReply, AdmissionError> {
        let step = match act {
            RootAct::Show => None,
            RootAct::Next => Some(RootStep::Next),
            RootAct::Switch { early } => Some(RootStep::Switch { early }),
            RootAct::Drop { early } => Some(RootStep::Drop { early }),
        };
        let mut is_new = false;
        if let Some(step) = step {
            let (ca, now) = (Arc::clone(&self.ca), self.clock.wall());
            let taken = tokio::task::spawn_blocking(move || ca.step(step, now)).await;
            is_new = taken.map_err(|_| HandleError::Stopped)??;
        }
        let now = match act {
            RootAct::Show => String::new(),
            _ if !is_new => "nothing changed\n".to_owned(),
            RootAct::Next => {
                "the next root is made known with every certificate from now on; in a day: coordinator root switch\n".to_owned()
            }
            RootAct::Switch { .. } => "the next root signs from now on; in a month: coordinator root drop\n".to_owned(),
            RootAct::Drop { .. } => "the former root is believed in no more\n".to_owned(),
        };
        let pins = self.ca.pins()?;
        let mut text = format!("{now}signs: {}", self.ca.pin()?);
        if let Some(next) = pins.get(1) {
            text.push_str(&format!("\nnext:  {next}"));
        }
        if let Some(until) = self.ca.signs_until() {
            text.push_str(&format!(
                "\ncertificates can be made without the root's key until {}, the coordinator's own until a week before",
                until.rfc3339()
            ));
        }
        Ok(AccessReply::Done { text, unchanged: step.is_some() && !is_new })
    }

    async fn act(&self, command: AccessCommand) -> Result<AccessReply, AdmissionError> {
        match self.handle.command(Command::Access(command)).await? {
            Reply::Done { text, unchanged } => Ok(AccessReply::Done { text, unchanged }),
            _ => Ok(AccessReply::Done { text: "done".to_owned(), unchanged: false }),
        }
    }
}

fn role_named(word: &str) -> Result<AccessRole, Rejection> {
    AccessRole::parse(word)
        .ok_or_else(|| Rejection::invalid(format!("{word} is no role; write worker/ID, operator/ID, viewer/ID or admin/ID")))
}

fn view(token: &Token, now: WallMs) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        role: token.role.into(),
        status: token.status(now).into(),
        uses: token.uses,
        left: token.left(),
        expires_at: token.expires_at.map(WallMs::rfc3339),
        created_at: token.created_at.rfc3339(),
        created_by: token.created_by.clone(),
        labels: token.labels.clone(),
        ephemeral: token.ephemeral,
        key: match &token.admits {
            Admits::Key(key) => Some(key.clone()),
            Admits::Secret(_) => None,
        },
        used_by: token.used.values().map(|used| used.peer.to_string()).collect(),
    }
}
