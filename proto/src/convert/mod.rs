//! Conversions between wire and domain types; nothing else in the project does them.
