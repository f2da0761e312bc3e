//! What `coordinator token`, `worker` and `revoke` print.

use roundtable_shared::view::{AccessReply, TokenView};
use serde_json::json;

/// The answer as one JSON value.
pub fn json(reply: &AccessReply) -> serde_json::Result<String> {
    match reply {
        AccessReply::Created(made) => serde_json::to_string_pretty(made),
        AccessReply::Tokens(tokens) => serde_json::to_string_pretty(tokens),
        AccessReply::Done { text, unchanged } => serde_json::to_string_pretty(&json!({ "text": text, "unchanged": unchanged })),
    }
}

/// The answer for people.
pub fn text(reply: &AccessReply) -> String {
    match reply {
        // This line and nothing else: it is pasted, or read by a script.
        AccessReply::Created(made) => made.line.clone(),
        AccessReply::Tokens(tokens) if tokens.is_empty() => {
            "there is no token; make one with `coordinator token create --role worker`".to_owned()
        }
        AccessReply::Tokens(tokens) => tokens.iter().map(line).collect::<Vec<_>>().join("\n"),
        AccessReply::Done { text, .. } => text.clone(),
    }
}

/// One token: what decides whether it still lets somebody in, then who came.
fn line(token: &TokenView) -> String {
    let used = token.uses - token.left.min(token.uses);
    let until = match &token.expires_at {
        // To the second is enough for people.
        Some(at) => format!("until {}", at.split('.').next().unwrap_or(at).replace('T', " ")),
        None => "until it is used".to_owned(),
    };
    let mut line = format!("{}  {:<8} {:<8} {used} of {} used, {until}", token.id, token.status, token.role, token.uses);
    if token.ephemeral {
        line.push_str(", ephemeral");
    }
    for (what, words) in [("labels", labels(token)), ("key", token.key.clone().unwrap_or_default()), ("came in", token.used_by.join(", "))]
    {
        if !words.is_empty() {
            line.push_str(&format!("\n  {what}: {words}"));
        }
    }
    line
}

fn labels(token: &TokenView) -> String {
    token.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use roundtable_shared::view::CreatedToken;
    use roundtable_shared::{AccessRole, TokenStatus};

    use super::*;

    #[test]
    fn a_new_token_is_its_line_alone_and_a_list_shows_no_secret() {
        let made =
            CreatedToken { token: "rt1.x".into(), line: "ROUNDTABLE_TOKEN=rt1.x worker join https://h:1".into(), ..Default::default() };
        assert_eq!(text(&AccessReply::Created(made.clone())), made.line);
        let value: serde_json::Value = serde_json::from_str(&json(&AccessReply::Created(made)).unwrap()).unwrap();
        for key in ["id", "token", "role", "uses", "expires_at", "url", "line"] {
            assert!(value.get(key).is_some(), "{key}");
        }
        let token = TokenView {
            id: "4f2a91c07d".into(),
            role: AccessRole::Operator.into(),
            status: TokenStatus::Revoked.into(),
            uses: 10_000,
            left: 9_998,
            expires_at: Some("2026-01-01T00:00:00.000Z".into()),
            labels: BTreeMap::from([("zone".into(), "a".into())]),
            used_by: vec!["worker w-1".into(), "worker w-2".into()],
            ..TokenView::default()
        };
        let listed = text(&AccessReply::Tokens(vec![token]));
        assert!(listed.contains("2 of 10000 used, until 2026-01-01 00:00:00") && listed.contains("zone=a"), "{listed}");
        assert!(listed.lines().next().unwrap().chars().count() <= 80, "{listed}");
    }
}
