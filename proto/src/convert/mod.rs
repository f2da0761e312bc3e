//! Conversions between wire and domain types; nothing else in the project does them.
//!
//! From the wire they are fallible and never panic: a peer can send anything.

mod event;
mod fleet;
mod lease;
mod outcome;
pub mod protocol_1;
mod status;
mod turn;

pub use event::{chunk, chunk_in, count_of, events_of, line_of_json};
pub use lease::lease_in;
pub use outcome::{facts_of, report, report_in};
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
    /// A field holds a word of a closed list that is not in ours.
    #[error(
        "field `{field}` holds word {number} of its list, which only a later release knows: bring this program to the release of the other"
    )]
    Unknown {
        /// The field.
        field: &'static str,
        /// The word's number.
        number: i32,
    },
    /// JSON of protocol 1 that cannot be read.
    #[error("field `{field}` cannot be read: {error}")]
    Json {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: String,
    },
    /// A report's digest is of something else.
    #[error("the digest is not that of the facts")]
    Digest,
}

impl WireError {
    pub(crate) fn invalid(field: &'static str, value: &str) -> Self {
        Self::Invalid { field, value: value.chars().take(80).collect() }
    }
}

/// Conversions of an enum whose variants have the same names on both sides, whatever it is called itself. One that is not given is missing; a number that only a later release knows cannot
/// be read.
macro_rules! words {
    ($name:ident, $field:literal, { $($variant:ident),+ $(,)? }) => {
        words!($name as $name, $field, { $($variant),+ });
    };
    ($name:ident as $wire:ident, $field:literal, { $($variant:ident),+ $(,)? }) => {
        impl From<$name> for v1::$wire {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }

        impl $crate::convert::Word for $name {
            fn read(number: i32) -> Result<Self, WireError> {
                match v1::$wire::try_from(number) {
                    Ok(v1::$wire::Unspecified) => Err(WireError::Missing($field)),
                    $(Ok(v1::$wire::$variant) => Ok(Self::$variant),)+
                    Err(_) => Err(WireError::Unknown { field: $field, number }),
                }
            }
        }
    };
}
use words;

/// An enum as its number on the wire.
trait Word: Sized {
    fn read(number: i32) -> Result<Self, WireError>;
}

fn word<T: Word>(number: i32) -> Result<T, WireError> {
    T::read(number)
}

/// `None` for an empty string.
pub(crate) fn optional(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
