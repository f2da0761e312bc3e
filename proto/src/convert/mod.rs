//! Conversions between wire and domain types; nothing else in the project does them.
//!
//! From the wire they are fallible and never panic: a peer can send anything.

mod fleet;
mod lease;
mod status;

pub use status::{code_of, message_of, status_of, told_code_of};

/// Why a message cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field that must be there is absent or empty.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field holds what it may not.
    #[error("field `{field}` cannot be read: {value:?}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The start of what it holds.
        value: String,
    },
}

impl WireError {
    pub(crate) fn invalid(field: &'static str, value: &str) -> Self {
        Self::Invalid { field, value: value.chars().take(80).collect() }
    }
}

/// `None` for an empty string.
pub(crate) fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
