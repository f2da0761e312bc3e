//! From an agent's error text to what failed (docs/backends.md, "How a turn is judged"). Only ever applied to error messages, never to what the model says.

use roundtable_shared::FailureKind;

/// Longest delay that is believed, milliseconds: a week.
const RETRY_AFTER_MS_MAX: u64 = 7 * 24 * 3_600_000;

const CONTEXT: &[&str] = &[
    "context window",
    "context_length_exceeded",
    "maximum context length",
    "input token count",
    "prompt is too long",
    "contextoverflow",
    "request too large",
];
const PER_MINUTE: &[&str] = &["per minute", "perminute", "per second"];
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "quota exceeded",
    "exceeded your current quota",
    "exhausted your",
    "usage limit",
    "quota will reset",
    "plan and billing",
    "credit balance",
    "out of credits",
    "payment required",
];
const RATE: &[&str] = &["rate limit", "rate_limit", "ratelimit", "too many requests", "resource_exhausted", "resource exhausted"];
const AUTH: &[&str] = &[
    "unauthorized",
    "unauthenticated",
    "forbidden",
    "permission_denied",
    "api key",
    "api_key",
    "missing environment variable",
    "not logged in",
    "please log in",
    "login required",
    "codex login",
    "auth login",
    "auth method",
    "authentication",
    "refresh token",
    "token expired",
    "token has expired",
    "invalid_grant",
    "credentials",
];
/// A model, an argument or a configuration that will not do, whichever unit it is for.
const MISCONFIGURED: &[&str] = &[
    "model does not exist",
    "model_not_found",
    "modelnotfound",
    "model not found",
    "unknown model",
    "invalid model",
    "model is not supported",
    "is not supported with the",
    "is not supported when using",
    "unsupported parameter",
    "unsupported_parameter",
    "unsupported value",
    "unsupported_value",
    "unexpected argument",
    "unknown argument",
    "unrecognized argument",
    "unrecognized subcommand",
    "not enough arguments",
    "a value is required for",
    "invalid value '",
    "invalid values:",
    "cannot be used with",
    "error loading config",
    "error parsing config",
    "config profile",
    "configuration is invalid",
    "configinvaliderror",
    "configjsonerror",
    "model provider `",
    "finding codex home",
    "opencode run [message",
];
/// What this turn asked for cannot be had; another turn may go well.
const CONFIG: &[&str] = &[
    "no rollout found",
    "session not found",
    "error resuming session",
    "error starting session",
    "invalid session identifier",
    "trusted directory",
    "no such file or directory",
    "output schema",
    "no prompt provided",
    "must provide a message",
    "no input provided",
];
const UNAVAILABLE: &[&str] = &[
    "high demand",
    "overloaded",
    "service unavailable",
    "server_error",
    "internal server error",
    "bad gateway",
    "gateway timeout",
    "stream disconnected",
    "stream closed",
    "stream ended",
    "without a finish reason",
    "ended prematurely",
    "premature close",
    "error sending request",
    "cannot connect",
    "connection closed",
    "connection reset",
    "connection refused",
    "econnreset",
    "econnrefused",
    "enotfound",
    "etimedout",
    "eai_again",
    "fetch failed",
    "socket hang up",
    "network error",
    "error: terminated",
    "invalid stream",
    "json parsing failed",
    "in json at position",
    "unexpected end of json",
    "timed out",
];

/// What a failure text and its HTTP status mean; `None` if they tell nothing more than that the turn failed.
pub(super) fn failure_kind(text: &str, status: Option<u16>, retry_after_ms: Option<u64>) -> Option<FailureKind> {
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let status = status.or_else(|| status_in(&lower));
    let retry_after_ms = retry_after_ms.or_else(|| retry_after_in(&lower)).map(|ms| ms.min(RETRY_AFTER_MS_MAX));
    if has(CONTEXT) || status == Some(413) {
        return Some(FailureKind::ContextOverflow);
    }
    if (has(QUOTA) || status == Some(402)) && !has(PER_MINUTE) {
        return Some(FailureKind::Quota { retry_after_ms });
    }
    match status {
        Some(429) => return Some(FailureKind::RateLimit { retry_after_ms }),
        Some(401 | 403 | 407) => return Some(FailureKind::Auth),
        Some(404) => return Some(FailureKind::Misconfigured),
        Some(408 | 425 | 500..=599) => return Some(FailureKind::ProviderUnavailable),
        _ => {}
    }
    if has(RATE) || has(QUOTA) {
        return Some(FailureKind::RateLimit { retry_after_ms });
    }
    // Before credentials: "no rollout found", "unexpected argument" and their like come from the CLI itself.
    if has(CONFIG) {
        return Some(FailureKind::Config);
    }
    if has(MISCONFIGURED) {
        return Some(FailureKind::Misconfigured);
    }
    if has(AUTH) {
        return Some(FailureKind::Auth);
    }
    has(UNAVAILABLE).then_some(FailureKind::ProviderUnavailable)
}

/// An HTTP error status named in a (lower-case) text: `status 401`, `status: 429`, `"code":503`, `http 500`.
fn status_in(lower: &str) -> Option<u16> {
    for mark in ["status ", "status: ", "status=", "\"code\":", "\"code\": ", "code: ", "http ", "statuscode\":"] {
        for (at, _) in lower.match_indices(mark) {
            let rest = &lower.as_bytes()[at + mark.len()..];
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 3 {
                let status = rest[..3].iter().fold(0u16, |n, b| n * 10 + u16::from(b - b'0'));
                if (400..600).contains(&status) {
                    return Some(status);
                }
            }
        }
    }
    None
}

/// A delay named in a (lower-case) text: `try again in 1m30s`, `retry after 5 seconds`, `reset after 3h15m`.
fn retry_after_in(lower: &str) -> Option<u64> {
    for mark in ["again in ", "retry after ", "retry in ", "reset after ", "resets in ", "reset in ", "retrydelay\":\"", "retrydelay\": \""]
    {
        if let Some(ms) = lower.match_indices(mark).find_map(|(at, _)| duration_ms(&lower[at + mark.len()..])) {
            return Some(ms);
        }
    }
    None
}

/// The duration a text starts with: one or more numbers with units (`2 days 3 hours`, `1m30.5s`, `20ms`); a bare number is seconds.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim_start_matches(['~', ' ']);
    let mut total: Option<f64> = None;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(number) = rest[..digits].trim_end_matches('.').parse::<f64>() else { break };
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit_ms = match &after[..letters] {
            "ms" | "millisecond" | "milliseconds" => 1.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
            "m" | "min" | "mins" | "minute" | "minutes" => 6e4,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3.6e6,
            "d" | "day" | "days" => 8.64e7,
            _ if total.is_none() => return Some((number * 1e3) as u64),
            _ => break,
        };
        total = Some(total.unwrap_or(0.0) + number * unit_ms);
        rest = after[letters..].trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    total.map(|ms| ms as u64)
}

/// A `retry-after` header: seconds; dates are not understood, the probe interval serves then.
pub(super) fn retry_after_header(value: &str) -> Option<u64> {
    value.trim().parse::<f64>().ok().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1e3) as u64)
}

#[cfg(test)]
mod tests {
    use roundtable_shared::FailureKind as K;

    use super::*;

    #[test]
    fn texts_of_the_three_clis() {
        let rate = |ms| Some(K::RateLimit { retry_after_ms: ms });
        let quota = |ms| Some(K::Quota { retry_after_ms: ms });
        let table = [
            ("unexpected status 401 Unauthorized: Incorrect API key provided, url: http://h/v1", Some(K::Auth)),
            ("Missing environment variable: `K`.", Some(K::Auth)),
            ("exceeded retry limit, last status: 429 Too Many Requests", rate(None)),
            ("rate limit exceeded: Rate limit reached. Please try again in 1s.", rate(Some(1000))),
            ("Quota exceeded. Check your plan and billing details.", quota(None)),
            ("You've hit your usage limit. Try again in 3 days 2 hours 5 minutes.", quota(Some(266_700_000))),
            ("Quota exceeded for quota metric 'requests per minute'", rate(None)),
            (
                "[API Error: Rate limit reached\nSuggested retry after 1s.]\nPlease wait. To increase your limits, request a quota increase",
                rate(Some(1000)),
            ),
            ("[API Error: You have exhausted your daily quota on this model.]", quota(None)),
            ("Your quota will reset after 3h15m20s.", quota(Some(11_720_000))),
            ("We’re currently experiencing high demand, which may cause temporary errors.", Some(K::ProviderUnavailable)),
            ("unexpected status 503 Service Unavailable: Service overloaded", Some(K::ProviderUnavailable)),
            ("[API Error: {\"error\":{\"code\":500,\"message\":\"x\",\"status\":\"INTERNAL\"}}]", Some(K::ProviderUnavailable)),
            ("[API Error: {\"error\":{\"code\":403,\"message\":\"You do not have access\"}}]", Some(K::Auth)),
            ("[API Error: terminated]", Some(K::ProviderUnavailable)),
            ("[API Error: Expected property name or '}' in JSON at position 1]", Some(K::ProviderUnavailable)),
            ("stream disconnected before completion: error sending request", Some(K::ProviderUnavailable)),
            ("The model does not exist", Some(K::Misconfigured)),
            ("The 'gpt-9' model is not supported when using Codex with a ChatGPT account.", Some(K::Misconfigured)),
            ("Unsupported value: 'extreme' is not supported with the 'gpt-5' model.", Some(K::Misconfigured)),
            ("error: unexpected argument '--no-such-flag' found", Some(K::Misconfigured)),
            ("Unknown arguments: such-flag, suchFlag", Some(K::Misconfigured)),
            ("opencode run [message..]\n\nrun opencode with a message", Some(K::Misconfigured)),
            ("Error loading config.toml: unknown variant `zzz`, expected one of `read-only`", Some(K::Misconfigured)),
            ("Error: Model provider `nope` not found", Some(K::Misconfigured)),
            ("UnknownError: ProviderModelNotFoundError: nope/none", Some(K::Misconfigured)),
            ("No prompt provided via stdin.", Some(K::Config)),
            ("Error: You must provide a message or a command", Some(K::Config)),
            ("Model stream ended without a finish reason.", Some(K::ProviderUnavailable)),
            ("stream disconnected before completion: stream closed before response.completed", Some(K::ProviderUnavailable)),
            ("The model returned an empty response with no text or thoughts.", None),
            ("Error: thread/resume failed: no rollout found for thread id 0 (code -32600)", Some(K::Config)),
            ("Codex ran out of room in the model's context window.", Some(K::ContextOverflow)),
            ("The input token count (12) exceeds the maximum", Some(K::ContextOverflow)),
            ("Incomplete response returned, reason: max_output_tokens", None),
            ("{\"error\": {\"message\": \"Invalid request\", \"code\": \"invalid_request_error\"}}", None),
            ("", None),
        ];
        for (text, kind) in table {
            assert_eq!(failure_kind(text, None, None), kind, "{text}");
        }
    }

    #[test]
    fn status_and_header_win_over_words() {
        assert_eq!(failure_kind("nope", Some(429), Some(500)), Some(K::RateLimit { retry_after_ms: Some(500) }));
        assert_eq!(failure_kind("nope", Some(529), None), Some(K::ProviderUnavailable));
        assert_eq!(failure_kind("nope", Some(400), None), None);
        assert_eq!(retry_after_header(" 30 "), Some(30_000));
        assert_eq!(retry_after_header("Sun, 22 Nov 2026 11:09:11 GMT"), None);
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("1s", Some(1000)),
            ("20ms.", Some(20)),
            ("1m30.5s", Some(90_500)),
            ("5", Some(5000)),
            ("soon", None),
            ("2 hours and 1 minute", Some(7_260_000)),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
        }
        assert_eq!(
            failure_kind("rate limit, try again in 99999 days", None, None),
            Some(K::RateLimit { retry_after_ms: Some(RETRY_AFTER_MS_MAX) })
        );
    }
}
