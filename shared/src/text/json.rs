//! JSON for people's terminals and files: nothing is lost, and nothing in it acts.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::is_harmful;

/// A serialised JSON document in which harmful characters are written as escapes: the same document to every reader. Such characters can only stand
/// inside its strings.
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.contains(is_harmful) {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        // Between two documents of a stream, and outside strings, a carriage return is white space.
        if !is_harmful(c) || c == '\r' {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    Cow::Owned(out)
}
