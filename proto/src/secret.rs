//! How messages that carry a secret show themselves: without it. The generated code leaves it to this file.

use std::fmt;

use crate::v1::JoinRequest;

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").field("token", &self.token).field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let request = JoinRequest { token: "t1".to_owned(), secret: "hush".to_owned(), ..JoinRequest::default() };
        let shown = format!("{request:?}");
        assert!(shown.contains("t1") && !shown.contains("hush"), "{shown}");
    }
}
