//! Whether a changed file says what it said before in other bytes: other line ends, another form of Unicode, a byte order mark more or less.

use std::collections::BTreeSet;

use roundtable_shared::ChangeKind;

use super::history::next_in_batch;
use super::{DiffEntry, Git, GitError, Oid, SideKind};

/// Larger files are not compared, bytes.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Files that are compared at most, and bytes of all of them. Whoever changed more than that without saying anything new is found by the first ones.
const FILES_MAX: usize = 2_000;
const BYTES_MAX: usize = 256 << 20;
/// Bytes that are read at once.
const BATCH_BYTES_MAX: usize = 32 << 20;

impl Git {
    /// Those of the changed files whose content is the old one in another encoding.
    pub async fn encoded_anew(&self, changes: &[DiffEntry]) -> Result<BTreeSet<String>, GitError> {
        let is_file = |kind: SideKind| matches!(kind, SideKind::File | SideKind::Executable);
        let changed =
            changes.iter().filter(|change| change.change == ChangeKind::Modified && is_file(change.before) && is_file(change.after));
        let pairs: Vec<_> =
            changed.filter_map(|change| Some((change.path.as_str(), change.before_oid.as_ref()?, change.after_oid.as_ref()?))).collect();
        let oids: Vec<&Oid> = pairs.iter().flat_map(|(_, before, after)| [*before, *after]).collect();
        let sizes = self.sizes(&oids).await?;
        let fits = pairs.into_iter().zip(sizes.chunks_exact(2)).filter(|(_, sizes)| may_be_alike(sizes[0], sizes[1]));
        let (mut found, mut batch, mut in_batch, mut in_all) = (BTreeSet::new(), Vec::new(), 0, 0);
        for ((path, before, after), sizes) in fits.take(FILES_MAX) {
            let bytes = sizes[0] + sizes[1];
            in_all += bytes;
            if in_all > BYTES_MAX {
                break;
            }
            if in_batch + bytes > BATCH_BYTES_MAX {
                self.compare(&std::mem::take(&mut batch), &mut found).await?;
                in_batch = 0;
            }
            in_batch += bytes;
            batch.push((path, before, after));
        }
        self.compare(&batch, &mut found).await?;
        Ok(found)
    }

    async fn compare(&self, pairs: &[(&str, &Oid, &Oid)], found: &mut BTreeSet<String>) -> Result<(), GitError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let input: String = pairs.iter().map(|(_, before, after)| format!("{before}\n{after}\n")).collect();
        let command = self.invoke("cat-file").args(["--batch=%(objecttype) %(objectsize)", "--buffer"]).input(input);
        let answer = command.output_bytes_max(BYTES_MAX as u64).run().await?;
        let mut rest = answer.stdout.as_slice();
        for (path, ..) in pairs {
            let (before, after);
            (before, rest) = next_in_batch(rest, "blob")?;
            (after, rest) = next_in_batch(rest, "blob")?;
            if says_the_same(before, after) {
                found.insert((*path).to_owned());
            }
        }
        Ok(())
    }

    /// Bytes of each object.
    pub(super) async fn sizes(&self, oids: &[&Oid]) -> Result<Vec<usize>, GitError> {
        if oids.is_empty() {
            return Ok(Vec::new());
        }
        let input: String = oids.iter().map(|oid| format!("{oid}\n")).collect();
        let answer = self.invoke("cat-file").args(["--batch-check=%(objectsize)", "--buffer"]).input(input).run().await?;
        let text = answer.text("cat-file")?;
        let sizes: Option<Vec<usize>> = text.lines().map(|line| line.parse().ok()).collect();
        sizes.filter(|sizes| sizes.len() == oids.len()).ok_or_else(|| GitError::unexpected("cat-file", "not a size for each object"))
    }
}

/// Whether two files of these sizes can be the same text: a character takes one to four bytes, a line's end at most some more.
fn may_be_alike(before: usize, after: usize) -> bool {
    let (small, large) = (before.min(after), before.max(after));
    large <= FILE_BYTES_MAX && large <= small.saturating_mul(5).saturating_add(4)
}

/// Whether two contents are the same text in some of the encodings they may be in.
fn says_the_same(before: &[u8], after: &[u8]) -> bool {
    let after = readings(after);
    readings(before).iter().any(|one| after.contains(one))
}

/// What a content may say: as it is, and as each form of Unicode in which it is valid; without a byte order mark, all lines ended by a line feed alone.
fn readings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut readings = vec![with_plain_lines(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))];
    let decoded = [
        utf16(bytes, u16::from_le_bytes),
        utf16(bytes, u16::from_be_bytes),
        utf32(bytes, u32::from_le_bytes),
        utf32(bytes, u32::from_be_bytes),
    ];
    readings.extend(decoded.into_iter().flatten().map(|text| with_plain_lines(text.trim_start_matches('\u{feff}').as_bytes())));
    readings
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let decoded = char::decode_utf16(units.iter().map(|two| unit(*two))).collect::<Result<String, _>>();
    decoded.ok().filter(|_| rest.is_empty() && !bytes.is_empty())
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<4>();
    let decoded = units.iter().map(|four| char::from_u32(unit(*four))).collect::<Option<String>>();
    decoded.filter(|_| rest.is_empty() && !bytes.is_empty())
}

fn with_plain_lines(bytes: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = Vec::with_capacity(bytes.len());
    for byte in bytes {
        while *byte == b'\n' && plain.last() == Some(&b'\r') {
            plain.pop();
        }
        plain.push(*byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16_of(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn the_same_text_is_known_in_each_encoding() {
        let text = "Zeile eins äöü\nline two \u{1f600}\n";
        let crlf = text.replace('\n', "\r\n");
        let forms: Vec<Vec<u8>> = vec![
            text.into(),
            crlf.clone().into(),
            format!("\u{feff}{text}").into(),
            text.replace('\n', "\r\r\n").into(),
            crlf.replacen("\r\n", "\n", 1).into(),
            utf16_of(text, true, u16::to_le_bytes),
            utf16_of(&crlf, true, u16::to_be_bytes),
            utf16_of(text, false, u16::to_be_bytes),
            utf16_of(&crlf, false, u16::to_le_bytes),
            text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        ];
        for (n, one) in forms.iter().enumerate() {
            for (m, other) in forms.iter().enumerate() {
                assert!(says_the_same(one, other), "{n} {m}");
                assert!(may_be_alike(one.len(), other.len()), "{n} {m}");
            }
        }
    }

    #[test]
    fn other_text_is_other_text() {
        let text = "one\ntwo\n";
        for other in ["one\ntwo", "one\n\ntwo\n", "one\ttwo\n", "", "one\rtwo\r", "one\r\ntwo!\r\n"] {
            assert!(!says_the_same(text.as_bytes(), other.as_bytes()), "{other:?}");
        }
        assert!(!says_the_same(b"", b"\n") && !says_the_same(b"\xff\xfe\x00", b"\xff\xfe\x01"));
        assert!(!may_be_alike(10, 1000) && !may_be_alike(FILE_BYTES_MAX + 1, FILE_BYTES_MAX + 1));
    }

    #[test]
    fn plain_lines_end_by_a_line_feed() {
        assert_eq!(with_plain_lines(b"a\r\nb\r\r\n\rc\n\r"), b"a\nb\n\rc\n\r");
    }
}
