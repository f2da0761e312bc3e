//! One record: who, by which certificate, from where, did what; or why not. Bounded, and without what a document or an attached file holds.

use std::net::SocketAddr;

use roundtable_runtime::identity::{PeerIdentity, PeerRole};
use roundtable_runtime::tls::PeerInfo;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::text::one_line;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{AccessRequest, Operation, RootAct};
use roundtable_store::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest text of a field, characters.
const FIELD_CHARS_MAX: usize = 200;
/// Longest account of what was done, characters.
const DID_CHARS_MAX: usize = 1000;

/// Who asks for something: by the certificate and the socket, or on this host without either.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    who: String,
    role: String,
    serial: String,
    from: String,
}

impl Caller {
    /// Of a connection.
    pub fn of(info: &PeerInfo) -> Self {
        Self::at(info.identity.as_ref(), info.address)
    }

    /// Of whoever the certificate names, if there is one, at that address.
    pub fn at(identity: Option<&PeerIdentity>, address: SocketAddr) -> Self {
        let from = address.to_string();
        match identity {
            Some(PeerIdentity { role, id, serial, .. }) => Self { who: id.clone(), role: role.to_string(), serial: serial.clone(), from },
            None => Self { from, ..Self::default() },
        }
    }

    /// Who has the data directory in hand.
    pub fn local(who: &str) -> Self {
        Self { who: bounded(who), role: PeerRole::Admin.to_string(), ..Self::default() }
    }

    /// The id, or `nobody`.
    pub fn name(&self) -> &str {
        if self.who.is_empty() { "nobody" } else { &self.who }
    }
}

/// What a person is about to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// Service and method.
    pub method: &'static str,
    /// The run, as it was named.
    pub run: Option<String>,
    /// In words.
    pub did: String,
}

/// The body of a row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) who: String,
    pub(super) role: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) serial: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) from: String,
    pub(super) method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) did: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<ErrorCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    #[serde(default = "once")]
    pub(super) times: u64,
}

fn once() -> u64 {
    1
}

impl Entry {
    /// Of whoever calls a method.
    pub(super) fn of(caller: &Caller, method: &str) -> Self {
        let Caller { who, role, serial, from } = caller.clone();
        Self { who, role, serial, from, method: bounded(method), times: 1, ..Self::default() }
    }

    pub(super) fn did(self, did: &str) -> Self {
        Self { did: Some(cut(did, DID_CHARS_MAX)), ..self }
    }

    pub(super) fn refused(self, of: u64, code: ErrorCode, why: &str) -> Self {
        Self { of: Some(of), code: Some(code), why: Some(cut(why, DID_CHARS_MAX)), ..self }
    }

    pub(super) fn denied(self, why: &str) -> Self {
        Self { code: Some(ErrorCode::NotAuthorised), why: Some(bounded(why)), ..self }
    }

    pub(super) fn body(&self) -> String {
        // Texts and numbers only: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A record as it is told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct EntryView {
    /// Its number.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// `command`, `refused` (what was recorded before), `denied` (what the caller shows does not allow it), `joined`.
    pub kind: String,
    /// Id of the certificate; empty for nobody.
    pub who: String,
    /// Its role.
    pub role: String,
    /// Its serial number.
    pub serial: String,
    /// Address of the caller.
    pub from: String,
    /// Service and method.
    pub method: String,
    /// What was done, in words.
    pub did: Option<String>,
    /// The run, as it was named.
    pub run: Option<String>,
    /// Of a refusal: the number of what was refused.
    pub of: Option<u64>,
    /// Why not, as a code.
    pub code: Option<String>,
    /// Why not, in words.
    pub why: Option<String>,
    /// How often.
    pub times: u64,
    /// Hash of this row and all before.
    pub hash: String,
}

impl EntryView {
    /// Of a row. A body that cannot be read is told as it is.
    pub fn of(row: &Row) -> Self {
        let Row { seq, at_ms, run, kind, body, hash, .. } = row.clone();
        let told = Self { seq, at: WallMs(at_ms).rfc3339(), kind, run, hash: hash.to_string(), times: 1, ..Self::default() };
        match serde_json::from_str(&body) {
            Ok(Entry { who, role, serial, from, method, did, of, code, why, times }) => {
                let code = code.and_then(|code| serde_json::to_value(code).ok()).and_then(|code| code.as_str().map(str::to_owned));
                Self { who, role, serial, from, method, did, of, code, why, times, ..told }
            }
            Err(_) => Self { did: Some(body), ..told },
        }
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        let who = if self.who.is_empty() { "nobody".to_owned() } else { format!("{} {}", self.role, self.who) };
        let from = if self.from.is_empty() { String::new() } else { format!(" from {}", self.from) };
        let run = self.run.as_ref().map(|run| format!(" (run {run})")).unwrap_or_default();
        let why = self.why.as_deref().unwrap_or("no reason was given");
        let what = match (self.kind.as_str(), self.of, &self.did) {
            ("refused", Some(of), _) => format!("REFUSED {of}: {why}"),
            ("denied", ..) if self.times > 1 => format!("DENIED {} {} times more: {why}", self.method, self.times),
            ("denied", ..) => format!("DENIED {}: {why}", self.method),
            (_, _, Some(did)) => format!("{did}{run}"),
            (kind, _, None) => format!("{kind} {}{run}", self.method),
        };
        one_line(&format!("{} {} {who}{from}: {what}", self.seq, self.at))
    }
}

/// An act in words: its name and what was given with it. Documents are told by their length.
pub fn operation_words(operation: &Operation) -> String {
    words_of(&operation.act, operation.all)
}

/// An act about who may come in, likewise; `None` if it is only a look. None of them holds a secret.
pub fn access_words(request: &AccessRequest) -> Option<String> {
    let is_look = matches!(request, AccessRequest::Tokens | AccessRequest::Root { act: RootAct::Show });
    (!is_look).then(|| words_of(request, false))
}

fn words_of(act: &impl Serialize, is_for_all: bool) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(act) else { return "an act".to_owned() };
    let kind = fields.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    let mut words = vec![kind.replace('_', "-")];
    if is_for_all {
        words.push("all".to_owned());
    }
    words.extend(fields.iter().filter_map(|(name, value)| Some(format!("{name}={}", value_words(name, value)?))));
    cut(&words.join(" "), DID_CHARS_MAX)
}

fn value_words(name: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if name == "document" => Some(format!("({} bytes)", text.len())),
        Value::String(text) if text.contains(char::is_whitespace) || text.is_empty() => Some(format!("{:?}", bounded(text))),
        Value::String(text) => Some(bounded(text)),
        Value::Array(all) => {
            let words: Vec<String> = all.iter().filter_map(|each| value_words(name, each)).take(20).collect();
            let more = all.len().saturating_sub(words.len());
            Some(if more > 0 { format!("{},… ({more} more)", words.join(",")) } else { words.join(",") })
        }
        Value::Object(fields) if name == "labels" => {
            let pairs: Vec<String> =
                fields.iter().filter_map(|(key, value)| Some(format!("{}:{}", bounded(key), value_words(key, value)?))).collect();
            (!pairs.is_empty()).then(|| pairs.join(","))
        }
        // What becomes of the roots, and how: `switch,early:true`.
        Value::Object(fields) if name == "act" => {
            let words = fields.iter().map(|(kind, how)| match how {
                Value::Object(how) => how.iter().fold(bounded(kind), |words, (name, value)| {
                    value_words(name, value).map_or_else(|| words.clone(), |value| format!("{words},{name}:{value}"))
                }),
                _ => bounded(kind),
            });
            Some(words.collect::<Vec<_>>().join(","))
        }
        Value::Object(_) => Some("(a document)".to_owned()),
        other => Some(other.to_string()),
    }
}

/// A text short enough for a field.
pub(super) fn bounded(text: &str) -> String {
    cut(text, FIELD_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_shared::view::{OperationAct, RunSelector};
    use roundtable_store::log::RowHash;

    use super::*;

    fn words(act: OperationAct) -> String {
        operation_words(&Operation { run: RunSelector { run: None, git_dir: None }, all: false, act })
    }

    #[test]
    fn acts_are_told_with_what_was_given() {
        let decide = OperationAct::Decide {
            id: "human-fallback-3".to_owned(),
            choice: "resume".to_owned(),
            commit: None,
            dependants: None,
            note: Some("it was the clock".to_owned()),
        };
        assert_eq!(words(decide), "decide choice=resume id=human-fallback-3 note=\"it was the clock\"");
        let writes = Some((0..30).map(|n| format!("f{n}")).collect());
        let assign = OperationAct::Assign { unit: "3".to_owned(), owner: None, criticality: None, writes, reads: None, requires: None };
        assert!(words(assign).ends_with("f19,… (10 more)"));
        assert_eq!(words(OperationAct::AssignDocument { document: "secret".to_owned() }), "assign-document document=(6 bytes)");
        let labels = [("zone".to_owned(), "a".to_owned())].into();
        let token = AccessRequest::CreateToken { role: roundtable_shared::AccessRole::Worker, ttl_ms: 9, uses: 2, labels, ephemeral: true };
        assert_eq!(access_words(&token).unwrap(), "create-token ephemeral=true labels=zone:a role=worker ttl_ms=9 uses=2");
        assert_eq!(access_words(&AccessRequest::Tokens), None);
        let root = |act| access_words(&AccessRequest::Root { act });
        assert_eq!(root(RootAct::Show), None);
        assert_eq!(root(RootAct::Next).unwrap(), "root act=next");
        assert_eq!(root(RootAct::Switch { early: true }).unwrap(), "root act=switch,early:true");
        let long = words(OperationAct::Halt { reason: "é".repeat(9000) });
        assert!(long.chars().count() < 300 && long.ends_with('…'));
    }

    #[test]
    fn a_body_of_the_largest_fields_fits_a_row() {
        let worst = "\u{1}".repeat(100_000);
        let entry = Entry {
            who: "w".repeat(128),
            ..Entry::of(&Caller::default(), &worst).did(&worst).refused(u64::MAX, ErrorCode::Internal, &worst)
        };
        assert!(entry.body().len() <= roundtable_store::audit::AUDIT_BODY_BYTES_MAX, "{}", entry.body().len());
    }

    #[test]
    fn lines_cannot_drive_a_terminal_and_unreadable_bodies_are_told() {
        let entry = Entry::of(&Caller::default(), "Control/Operate").did("retry \u{1b}[2J\nunit=3");
        let mut row =
            Row { seq: 7, epoch: 0, at_ms: 0, run: None, kind: "command".to_owned(), v: 1, body: entry.body(), hash: RowHash([0; 32]) };
        let line = EntryView::of(&row).line();
        assert_eq!(line, "7 1970-01-01T00:00:00.000Z nobody: retry unit=3");
        row.body = "of a later release".to_owned();
        assert!(EntryView::of(&row).line().ends_with("of a later release"));
    }
}
