//! Private keys in PEM form within a text: where one begins, how far it goes, and whether it may go on in the next piece.

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
/// Longest line that begins a key.
const HEADER_BYTES_MAX: usize = 80;

/// How a key ends within a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KeyEnd {
    /// With its last line.
    Closed,
    /// The text ends first.
    Open,
    /// Other text follows: it was a mention of a key, or a key cut short.
    Other,
}

/// Private keys of a text as ranges, and whether the last one is open.
pub(super) fn spans(text: &str, spans: &mut Vec<(usize, usize)>) -> bool {
    let mut at = 0;
    let mut open = false;
    while let Some(found) = text[at..].find(BEGIN) {
        let start = at + found;
        let Some(header) = header_len(&text[start..]) else {
            at = start + BEGIN.len();
            continue;
        };
        let (len, end) = body(&text[start + header..], false);
        spans.push((start, start + header + len));
        at = start + header + len;
        open = end == KeyEnd::Open;
    }
    open
}

/// Length of the line that begins a private key, dashes included.
fn header_len(text: &str) -> Option<usize> {
    let label = &text[BEGIN.len()..];
    let end = BEGIN.len() + label.find("-----")?;
    (end <= HEADER_BYTES_MAX && text[..end].contains("PRIVATE KEY")).then_some(end + 5)
}

/// How far the body of a key goes at the start of a text. Newlines may be escaped, lines indented; `new_line`: the text begins one.
pub(super) fn body(text: &str, new_line: bool) -> (usize, KeyEnd) {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        if rest.is_empty() {
            return (at, KeyEnd::Open);
        }
        if rest.starts_with(END.as_bytes()) {
            let dashes = text[at + END.len()..].find("-----");
            return dashes.map_or((text.len(), KeyEnd::Open), |dashes| (at + END.len() + dashes + 5, KeyEnd::Closed));
        }
        if END.as_bytes().starts_with(rest) {
            return (text.len(), KeyEnd::Open);
        }
        if rest.starts_with(b"Proc-Type:") || rest.starts_with(b"DEK-Info:") {
            at += rest.iter().position(|&byte| byte == b'\n' || byte == b'\\').unwrap_or(rest.len());
            continue;
        }
        let step = match rest {
            [b'\\', b'n' | b'r', ..] => 2,
            [b'\\'] => 1,
            [b' ' | b'\t', ..] if if at == 0 { new_line } else { matches!(bytes[at - 1], b'\n' | b' ' | b'\t') } => 1,
            [byte, ..] if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'\n' | b'\r') => 1,
            _ => return (at, KeyEnd::Other),
        };
        at += step;
    }
}

/// Where a line begins, at the end of a text, that may turn into the beginning of a key; `text.len()` if none does.
pub(super) fn open_header(text: &str) -> usize {
    let mut from = text.len().saturating_sub(HEADER_BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    if let Some(at) = text[from..].rfind(BEGIN)
        && !text[from + at + BEGIN.len()..].contains("-----")
        && !text[from + at..].contains('\n')
    {
        return from + at;
    }
    let partial = (1..BEGIN.len()).rev().find(|&len| text.ends_with(&BEGIN[..len]));
    partial.map_or(text.len(), |len| text.len() - len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> (String, bool) {
        let mut found = Vec::new();
        let open = spans(text, &mut found);
        let mut left = text.to_owned();
        for (start, end) in found.into_iter().rev() {
            left.replace_range(start..end, "#");
        }
        (left, open)
    }

    #[test]
    fn keys_go_and_what_follows_stays() {
        let begin = |kind: &str| format!("-----{} {kind}-----", "BEGIN");
        let key = begin("RSA PRIVATE KEY");
        let check = |text: String, want: &str, open: bool| assert_eq!(cut(&text), (want.to_owned(), open), "{text}");
        check(format!("a {key}\nMII+/=\n-----END RSA PRIVATE KEY-----\nb"), "a #\nb", false);
        check(format!("{{\"k\":\"{key}\\nMII\\n-----END RSA PRIVATE KEY-----\\n\",\"x\":1}}"), "{\"k\":\"#\\n\",\"x\":1}", false);
        check(format!("{key}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMII"), "#", true);
        check(format!("{key}\n  MII\n  abc"), "#", true);
        check(format!("{{\"summary\":\"found {key}\",\"status\":\"failed\"}}"), "{\"summary\":\"found #\",\"status\":\"failed\"}", false);
        check(format!("found {key}, at the top"), "found #, at the top", false);
        check(format!("{}\nMII", begin("CERTIFICATE")), &format!("{}\nMII", begin("CERTIFICATE")), false);
    }
}
