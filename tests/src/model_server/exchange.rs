//! What passes between a dialect and the mind: a request, understood, and what is answered, before it is put into words.

/// A request, understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// `<run>/<unit>/<role>/<index>`, or empty for a prompt that is none of ours.
    pub tag: String,
    /// The prompt with that tag.
    pub prompt: String,
    /// Groups of tool results since the prompt.
    pub step: usize,
    /// Names of the tools on offer.
    pub tools: Vec<String>,
    /// The agent's working directory, where the dialect needs it.
    pub cwd: String,
    /// Whether a schema for the answer came with it.
    pub schema: bool,
}

/// What is answered.
pub(super) enum Reply {
    /// An error status.
    Refuse(Refusal),
    /// Nothing, not even a status.
    Hang,
    /// An answer.
    Stream(Stream),
}

/// An error status and what is meant by it.
pub(super) struct Refusal {
    pub status: u16,
    pub retry_after_s: Option<u64>,
    /// A finer reason: `quota` or `context`.
    pub kind: &'static str,
}

/// A streamed answer.
pub(super) struct Stream {
    /// What the model says, in a breath.
    pub text: String,
    /// What it wants done.
    pub call: Option<Call>,
    /// How it ends.
    pub end: StreamEnd,
    /// Pause after each event, milliseconds.
    pub pause_ms: u64,
}

/// How a stream ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// As it should.
    Well,
    /// At the token limit.
    Length,
    /// With the dialect's way to say that the model failed.
    Failed,
    /// In the middle, in silence.
    Hang,
    /// In the middle, with the connection closed.
    Cut,
    /// With something that is no event.
    Garbage,
    /// With its last words, but without the word that it is over.
    Unfinished,
}

/// A tool call, before a dialect's words for it.
pub(super) enum Call {
    /// Write a whole file.
    Write { path: String, text: String },
    /// Run a command.
    Shell(String),
    /// A tool nobody offered.
    Unknown,
}

impl Reply {
    pub(super) fn word(&self) -> String {
        match self {
            Self::Refuse(refusal) => refusal.status.to_string(),
            Self::Hang => "hang".to_owned(),
            Self::Stream(Stream { call: Some(Call::Write { path, .. }), .. }) => format!("write {path}"),
            Self::Stream(Stream { call: Some(Call::Shell(command)), .. }) => format!("run {command}"),
            Self::Stream(Stream { call: Some(Call::Unknown), .. }) => "no such tool".to_owned(),
            Self::Stream(_) => "say".to_owned(),
        }
    }
}

/// A whole answer of words alone.
pub(super) fn say(text: String) -> Reply {
    Reply::Stream(Stream { text, call: None, end: StreamEnd::Well, pause_ms: 0 })
}
