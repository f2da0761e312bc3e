//! Takes secrets out of all that leaves the worker before it reaches the spool: given values, the shapes of well-known keys, private keys. In events
//! also across the pieces of a streamed message and the lines of a printed file. Which values are secrets is `secrets.rs`'s.

use std::borrow::Cow;
use std::ffi::OsStr;

use aho_corasick::{AhoCorasick, MatchKind};
use roundtable_shared::{AgentEvent, AttemptFacts};

use super::pem::{self, KeyEnd};
use super::secrets;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";
/// Shorter values are not taken for secrets: they would blot out ordinary words.
const VALUE_BYTES_MIN: usize = 8;
/// Longer values are not looked for.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Most text held back at the end of a piece because a secret might begin there.
const HELD_BYTES_MAX: usize = 4 << 10;

/// A family of keys known by its beginning.
struct Shape {
    prefix: &'static str,
    /// Characters after the prefix, at least.
    tail_min: usize,
    also: &'static [u8],
}

const SHAPES: &[Shape] = &[
    Shape { prefix: "sk-", tail_min: 20, also: b"-_" },
    Shape { prefix: "AIza", tail_min: 30, also: b"-_" },
    Shape { prefix: "ghp_", tail_min: 30, also: b"" },
    Shape { prefix: "gho_", tail_min: 30, also: b"" },
    Shape { prefix: "ghu_", tail_min: 30, also: b"" },
    Shape { prefix: "ghs_", tail_min: 30, also: b"" },
    Shape { prefix: "ghr_", tail_min: 30, also: b"" },
    Shape { prefix: "github_pat_", tail_min: 22, also: b"_" },
    Shape { prefix: "glpat-", tail_min: 20, also: b"-_" },
    Shape { prefix: "xoxb-", tail_min: 10, also: b"-" },
    Shape { prefix: "xoxp-", tail_min: 10, also: b"-" },
    Shape { prefix: "xapp-", tail_min: 10, also: b"-" },
    Shape { prefix: "npm_", tail_min: 30, also: b"" },
    Shape { prefix: "hf_", tail_min: 30, also: b"" },
    Shape { prefix: "ya29.", tail_min: 20, also: b"-_." },
    Shape { prefix: "AKIA", tail_min: 16, also: b"" },
    Shape { prefix: "ASIA", tail_min: 16, also: b"" },
    Shape { prefix: "eyJ", tail_min: 40, also: b"-_." },
    Shape { prefix: "Bearer ", tail_min: 20, also: b"-_.~+/=" },
];

/// Knows the secrets of one attempt. Cheap to use, built once per attempt.
pub struct Redactor {
    values: Option<AhoCorasick>,
    prefixes: AhoCorasick,
    secrets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// The secrets among these variables, by their names.
    pub fn from_env<'a>(vars: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Self {
        Self::new(secrets::of_env(vars))
    }

    /// These values, and every known shape.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut secrets = Vec::new();
        for value in values {
            let value = value.trim();
            if value.len() < VALUE_BYTES_MIN || value.len() > VALUE_BYTES_MAX {
                continue;
            }
            // A secret inside JSON that is passed on as text appears in its escaped form.
            let escaped = serde_json::to_string(value).unwrap_or_default();
            let escaped = escaped.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value);
            if escaped != value {
                secrets.push(escaped.as_bytes().to_vec());
            }
            secrets.push(value.as_bytes().to_vec());
        }
        secrets.sort();
        secrets.dedup();
        let searcher = |patterns: &[Vec<u8>]| {
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).expect("few and short patterns always build")
        };
        let prefixes: Vec<Vec<u8>> = SHAPES.iter().map(|shape| shape.prefix.as_bytes().to_vec()).collect();
        Self { values: (!secrets.is_empty()).then(|| searcher(&secrets)), prefixes: searcher(&prefixes), secrets }
    }

    /// The text without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let spans = self.spans(text);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut clean = String::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in spans {
            clean.push_str(&text[at..start]);
            clean.push_str(REDACTED);
            at = end;
        }
        clean.push_str(&text[at..]);
        Cow::Owned(clean)
    }

    fn text_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
    }

    /// The event without secrets in any of its texts.
    pub fn event(&self, event: &mut AgentEvent) {
        match event {
            AgentEvent::Message { text }
            | AgentEvent::Reasoning { text }
            | AgentEvent::Warning { text }
            | AgentEvent::Raw { text, .. }
            | AgentEvent::Failed { message: text } => self.text_in_place(text),
            AgentEvent::Exec { command, output, .. } => {
                self.text_in_place(command);
                if let Some(output) = output {
                    self.text_in_place(output);
                }
            }
            AgentEvent::FileChange { paths, .. } => paths.iter_mut().for_each(|path| self.text_in_place(path)),
            AgentEvent::Subtask { id, status } => {
                self.text_in_place(id);
                self.text_in_place(status);
            }
            AgentEvent::Started { .. } | AgentEvent::Usage { .. } | AgentEvent::Elided { .. } | AgentEvent::Completed => {}
        }
    }

    /// An attempt's facts without secrets in any of their texts. The answer's form is kept: what was JSON still is.
    pub fn facts(&self, facts: &mut AttemptFacts) {
        self.text_in_place(&mut facts.answer);
        if let Some(failure) = &mut facts.failure {
            self.text_in_place(&mut failure.message);
        }
        facts.left_out.files.iter_mut().for_each(|file| self.text_in_place(file));
    }

    /// Ranges to blot out: sorted, disjoint, on character boundaries.
    fn spans(&self, text: &str) -> Vec<(usize, usize)> {
        let bytes = text.as_bytes();
        let mut spans: Vec<(usize, usize)> = Vec::new();
        if let Some(values) = &self.values {
            spans.extend(values.find_iter(bytes).map(|found| (found.start(), found.end())));
        }
        for found in self.prefixes.find_iter(bytes) {
            let shape = &SHAPES[found.pattern().as_usize()];
            let tail = tail_len(shape, &bytes[found.end()..]);
            if tail >= shape.tail_min && begins_word(bytes, found.start()) {
                spans.push((found.start(), found.end() + tail));
            }
        }
        pem::spans(text, &mut spans);
        spans.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(spans.len());
        for (start, end) in spans {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }

    /// Where the part begins that may turn into a secret with the next piece; `text.len()` if none does.
    fn open_end(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let mut from = bytes.len();
        for secret in &self.secrets {
            let longest = secret.len().saturating_sub(1).min(bytes.len());
            if let Some(len) = (1..=longest).rev().find(|&len| bytes.ends_with(&secret[..len])) {
                from = from.min(bytes.len() - len);
            }
        }
        for shape in SHAPES {
            from = from.min(open_shape(shape, bytes));
        }
        let from = from.min(pem::open_header(text));
        let mut from = from.max(bytes.len().saturating_sub(HELD_BYTES_MAX));
        while !text.is_char_boundary(from) {
            from += 1;
        }
        from
    }
}

/// Where a key of this shape that reaches the end of the bytes may have begun.
fn open_shape(shape: &Shape, bytes: &[u8]) -> usize {
    let prefix = shape.prefix.as_bytes();
    // The prefix whole, and only its own characters after it.
    let run = bytes.iter().rev().take(HELD_BYTES_MAX).take_while(|&&byte| in_tail(shape, byte)).count();
    let start = bytes.len().saturating_sub(run + prefix.len());
    if let Some(at) = bytes[start..].windows(prefix.len()).position(|window| window == prefix) {
        let at = start + at;
        if begins_word(bytes, at) && at + prefix.len() + tail_len(shape, &bytes[at + prefix.len()..]) == bytes.len() {
            return at;
        }
    }
    // Or the prefix in part.
    (1..prefix.len())
        .rev()
        .find(|&len| bytes.ends_with(&prefix[..len]) && begins_word(bytes, bytes.len() - len))
        .map_or(bytes.len(), |len| bytes.len() - len)
}

fn in_tail(shape: &Shape, byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || shape.also.contains(&byte)
}

fn tail_len(shape: &Shape, bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| in_tail(shape, byte)).count()
}

/// `task-…` is no `sk-…`.
fn begins_word(bytes: &[u8], at: usize) -> bool {
    at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_' || bytes[at - 1] == b'-')
}

/// Redacts a stream of events: the end of a streamed text that may be the beginning of a secret waits for the next piece, and a private key may go on
/// over several of them.
#[derive(Debug)]
pub struct RedactStream {
    redactor: std::sync::Arc<Redactor>,
    held: Option<Held>,
    /// Whether a private key was open at the end of the last message, reasoning, and line of stdout and of stderr.
    in_key: [bool; 4],
}

/// Text that waits, and whose it is.
#[derive(Debug)]
struct Held {
    text: String,
    reasoning: bool,
}

impl RedactStream {
    /// A stream with nothing held.
    pub fn new(redactor: std::sync::Arc<Redactor>) -> Self {
        Self { redactor, held: None, in_key: [false; 4] }
    }

    /// Takes an event; appends what may be stored now.
    pub fn push(&mut self, mut event: AgentEvent, out: &mut Vec<AgentEvent>) {
        let reasoning = match &event {
            AgentEvent::Message { .. } => Some(false),
            AgentEvent::Reasoning { .. } => Some(true),
            _ => None,
        };
        let held = self.held.take();
        let (Some(reasoning), AgentEvent::Message { text } | AgentEvent::Reasoning { text }) = (reasoning, &mut event) else {
            // Figures and raw lines come between the pieces of one message; they do not end it.
            if matches!(event, AgentEvent::Usage { .. } | AgentEvent::Raw { .. } | AgentEvent::Warning { .. }) {
                self.held = held;
            } else {
                self.release(held, out);
            }
            if let AgentEvent::Raw { stream, text } = &mut event {
                let lane = if stream == "stdout" { 2 } else { 3 };
                self.go_on_with_key(lane, text);
                self.in_key[lane] |= pem::spans(text, &mut Vec::new());
            }
            self.redactor.event(&mut event);
            out.push(event);
            return;
        };
        match held {
            Some(held) if held.reasoning == reasoning => text.insert_str(0, &held.text),
            other => self.release(other, out),
        }
        let lane = usize::from(reasoning);
        self.go_on_with_key(lane, text);
        let open = self.redactor.open_end(text);
        if open < text.len() {
            // A secret that is already whole does not become two halves by the cut.
            let cut = self.redactor.spans(text).iter().find(|span| span.0 < open && open < span.1).map_or(open, |span| span.0);
            self.held = Some(Held { text: text.split_off(cut), reasoning });
        }
        if !text.is_empty() {
            self.in_key[lane] |= pem::spans(text, &mut Vec::new());
            self.redactor.event(&mut event);
            out.push(event);
        }
    }

    /// Takes away the part of a private key that began in an earlier piece.
    fn go_on_with_key(&mut self, lane: usize, text: &mut String) {
        if std::mem::take(&mut self.in_key[lane]) {
            let (len, end) = pem::body(text, lane >= 2);
            if len > 0 {
                text.replace_range(..len, REDACTED);
            }
            self.in_key[lane] = end == KeyEnd::Open;
        }
    }

    /// The stream is over: what was held back follows.
    pub fn finish(&mut self, out: &mut Vec<AgentEvent>) {
        let held = self.held.take();
        self.release(held, out);
    }

    fn release(&self, held: Option<Held>, out: &mut Vec<AgentEvent>) {
        if let Some(Held { text, reasoning }) = held {
            let mut event = if reasoning { AgentEvent::Reasoning { text } } else { AgentEvent::Message { text } };
            self.redactor.event(&mut event);
            out.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn redactor() -> Redactor {
        let vars = [
            ("MOCK_KEY", "s3cr3t-value-\"quoted\""),
            ("SHORT_KEY", "abc"),
            ("PLAIN", "not-a-secret-at-all"),
            ("my_password", "hunter22hunter22"),
        ];
        Redactor::from_env(vars.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))))
    }

    #[test]
    fn values_and_shapes_go_words_stay() {
        let redactor = redactor();
        let check = |text: &str, want: &str| assert_eq!(redactor.text(text), want);
        check("pw hunter22hunter22!", "pw [redacted]!");
        check(r#"{"env":"s3cr3t-value-\"quoted\""}"#, r#"{"env":"[redacted]"}"#);
        check("abc not-a-secret-at-all", "abc not-a-secret-at-all");
        check(&format!("key=sk-{}.", "ant-abc_0123456789012345"), "key=[redacted].");
        check("task-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa stays", "task-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa stays");
        check("sk-short", "sk-short");
        check("AIzaSyA1234567890123456789012345678901 x", "[redacted] x");
        check("ghp_123456789012345678901234567890123456", "[redacted]");
        check("Authorization: Bearer abcdefghijklmnopqrstuvwxyz==", "Authorization: [redacted]");
        let pem = |kind: &str| format!("-----{} {kind}-----\nMII\n-----END {kind}-----", "BEGIN");
        check(&format!("{}\nrest", pem("RSA PRIVATE KEY")), "[redacted]\nrest");
        check(&pem("CERTIFICATE"), &pem("CERTIFICATE"));
    }

    #[test]
    fn every_text_of_an_event_is_covered() {
        let redactor = redactor();
        let mut event = AgentEvent::Exec {
            command: "echo hunter22hunter22".into(),
            output: Some("hunter22hunter22".into()),
            exit_code: None,
            ended: true,
        };
        redactor.event(&mut event);
        assert!(!serde_json::to_string(&event).unwrap().contains("hunter22"));
    }

    fn streamed(redactor: &Arc<Redactor>, pieces: &[&str]) -> String {
        let mut stream = RedactStream::new(Arc::clone(redactor));
        let mut out = Vec::new();
        for piece in pieces {
            stream.push(AgentEvent::Message { text: (*piece).to_owned() }, &mut out);
            stream.push(AgentEvent::Usage { usage: Default::default() }, &mut out);
        }
        stream.finish(&mut out);
        out.into_iter().filter_map(|event| if let AgentEvent::Message { text } = event { Some(text) } else { None }).collect()
    }

    #[test]
    fn a_secret_in_two_pieces_is_found() {
        let redactor = Arc::new(redactor());
        assert_eq!(streamed(&redactor, &["it is hunter22", "hunter22."]), "it is [redacted].");
        assert_eq!(streamed(&redactor, &["key s", "k-", "12345678901234567890", "12345 end"]), "key [redacted] end");
        assert_eq!(streamed(&redactor, &["plain ", "words"]), "plain words");
    }

    #[test]
    fn a_private_key_in_pieces_and_lines_is_found() {
        let redactor = Arc::new(redactor());
        let begin = format!("-----{} RSA PRIVATE KEY-----", "BEGIN");
        let end = "-----END RSA PRIVATE KEY-----";
        let whole = format!("it is {begin}\nMIIabc+/\ndef==\n{end} here");
        for cut in 1..whole.len() {
            let said = streamed(&redactor, &[&whole[..cut], &whole[cut..]]);
            assert!(said.starts_with("it is [redacted]") && said.ends_with(" here"), "{cut}: {said}");
            assert!(!said.contains("MII") && !said.contains("def=") && !said.contains("abc"), "{cut}: {said}");
        }
        let mut stream = RedactStream::new(redactor);
        let mut out = Vec::new();
        for line in [&begin, "MIIabc", "def==", end, "next line", &begin, "a word about keys"] {
            stream.push(AgentEvent::Raw { stream: "stdout".into(), text: line.to_owned() }, &mut out);
            stream.push(AgentEvent::Raw { stream: "stderr".into(), text: "MIInot-a-key".to_owned() }, &mut out);
        }
        let lines = |which: &str| -> Vec<String> {
            let mine = out.iter().filter_map(|event| match event {
                AgentEvent::Raw { stream, text } if stream == which => Some(text.clone()),
                _ => None,
            });
            mine.collect()
        };
        let gone = "[redacted]";
        assert_eq!(lines("stdout")[..5], [gone, gone, gone, gone, "next line"]);
        assert!(lines("stdout")[6].ends_with(" word about keys"), "prose goes on");
        assert!(lines("stderr").iter().all(|line| line == "MIInot-a-key"));
    }

    #[test]
    fn facts_lose_secrets_and_keep_their_form() {
        let mut facts = AttemptFacts {
            failure: Some(roundtable_shared::Failure {
                kind: roundtable_shared::FailureKind::TurnFailed,
                message: "login hunter22hunter22 refused".into(),
            }),
            exit_code: None,
            answer: format!(
                r#"{{"summary": "-----{} PRIVATE KEY----- and s3cr3t-value-\"quoted\"", "learnings": ["hunter22hunter22"]}}"#,
                "BEGIN"
            ),
            commit: None,
            left_out: Default::default(),
            done: Vec::new(),
            agent_session: None,
            usage: Default::default(),
            last_event_seq: 0,
        };
        redactor().facts(&mut facts);
        assert_eq!(facts.failure.unwrap().message, "login [redacted] refused");
        let answer: serde_json::Value = serde_json::from_str(&facts.answer).unwrap();
        assert_eq!(answer["summary"], "[redacted] and [redacted]");
        assert_eq!(answer["learnings"][0], "[redacted]");
    }

    proptest! {
        #[test]
        fn cutting_anywhere_changes_nothing(
            before in "[a-z é]{0,12}",
            secret in prop_oneof![Just("hunter22hunter22"), Just("sk-12345678901234567890abcd"), Just("Bearer abcdefghijklmnopqrstuvwx")],
            after in "[ .!][a-z ]{0,12}",
            cuts in proptest::collection::vec(0usize..60, 0..4),
        ) {
            let redactor = Arc::new(redactor());
            let text = format!("{before} {secret}{after}");
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).filter(|&cut| text.is_char_boundary(cut)).collect();
            at.push(0);
            at.push(text.len());
            at.sort_unstable();
            let pieces: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(streamed(&redactor, &pieces), redactor.text(&text).into_owned());
        }
    }
}
