//! Cuts a byte stream into blocks of whole lines in bounded memory. Knows nothing of where the bytes come from or what lines mean.

/// Whole lines, each ended by `\n` (the last line of a stream perhaps not), or one line of which only the beginning is kept.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// The only line in here was longer than the cap; the rest of it is skipped.
    pub(super) truncated: bool,
}

impl Block {
    /// The lines without their ends (`\n` or `\r\n`).
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let mut rest = (!self.bytes.is_empty()).then_some(body);
        std::iter::from_fn(move || {
            let bytes = rest?;
            let line = match memchr::memchr(b'\n', bytes) {
                Some(at) => {
                    rest = Some(&bytes[at + 1..]);
                    &bytes[..at]
                }
                None => {
                    rest = None;
                    bytes
                }
            };
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        })
    }
}

/// Holds the unfinished line between reads.
pub(super) struct Splitter {
    partial: Vec<u8>,
    line_bytes_max: usize,
    skipping: bool,
}

impl Splitter {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self { partial: Vec::new(), line_bytes_max, skipping: false }
    }

    /// Takes what was read; gives finished lines to `out`. Returns how many bytes of too long lines were skipped.
    pub(super) fn feed(&mut self, mut bytes: &[u8], out: &mut impl FnMut(Block)) -> u64 {
        let mut skipped = 0;
        while !bytes.is_empty() {
            let first_end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
            if self.skipping {
                let upto = first_end.unwrap_or(bytes.len());
                skipped += upto as u64;
                self.skipping = first_end.is_none();
                bytes = &bytes[upto..];
                continue;
            }
            let first = first_end.unwrap_or(bytes.len());
            let room = self.line_bytes_max - self.partial.len();
            if first - usize::from(first_end.is_some()) > room {
                self.partial.extend_from_slice(&bytes[..room]);
                out(Block { bytes: std::mem::take(&mut self.partial), truncated: true });
                self.skipping = true;
                bytes = &bytes[room..];
                continue;
            }
            if first_end.is_none() {
                self.partial.extend_from_slice(bytes);
                break;
            }
            // The first line fits. So do the others of this read, unless the cap is smaller than a read.
            let upto = if bytes.len() <= self.line_bytes_max { memchr::memrchr(b'\n', bytes).map_or(first, |at| at + 1) } else { first };
            let mut block = std::mem::take(&mut self.partial);
            block.extend_from_slice(&bytes[..upto]);
            out(Block { bytes: block, truncated: false });
            bytes = &bytes[upto..];
        }
        skipped
    }

    /// Bytes were left out here: what is left of the line before and after them is no line. Returns how many bytes were held.
    pub(super) fn gap(&mut self) -> u64 {
        self.skipping = true;
        std::mem::take(&mut self.partial).len() as u64
    }

    /// The stream is over: the last line, if it lacks its end.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Block)) {
        if !self.partial.is_empty() {
            out(Block { bytes: std::mem::take(&mut self.partial), truncated: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lines = Vec<(Vec<u8>, bool)>;

    fn split(pieces: &[&[u8]], cap: usize) -> (Lines, u64) {
        let mut lines = Vec::new();
        let mut splitter = Splitter::new(cap);
        let mut take = |block: Block| lines.extend(block.lines().map(|line| (line.to_vec(), block.truncated)));
        let mut skipped = 0;
        for piece in pieces {
            skipped += splitter.feed(piece, &mut take);
        }
        splitter.finish(&mut take);
        (lines, skipped)
    }

    fn line(text: &str) -> (Vec<u8>, bool) {
        (text.as_bytes().to_vec(), false)
    }

    #[test]
    fn lines_come_whole_across_reads() {
        assert_eq!(split(&[b"a\nb", b"c\r\n\n", b"d"], 100).0, vec![line("a"), line("bc"), line(""), line("d")]);
        assert_eq!(split(&[b""], 100).0, Vec::new());
        assert_eq!(split(&[b"\n"], 100).0, vec![line("")]);
    }

    #[test]
    fn a_too_long_line_keeps_its_head_and_the_next_line_is_whole() {
        let (lines, skipped) = split(&[b"0123456789", b"0123\nok\n"], 8);
        assert_eq!(lines, vec![(b"01234567".to_vec(), true), line("ok")]);
        assert_eq!(skipped, 7);
        assert_eq!(split(&[b"01234567\n"], 8).0, vec![line("01234567")]);
    }

    #[test]
    fn after_a_gap_the_next_whole_line_counts() {
        let mut lines = Vec::new();
        let mut splitter = Splitter::new(100);
        let mut take = |block: Block| lines.extend(block.lines().map(<[u8]>::to_vec));
        splitter.feed(b"one\nhalf", &mut take);
        assert_eq!(splitter.gap(), 4);
        assert_eq!(splitter.feed(b"other half\ntwo\n", &mut take), 11);
        assert_eq!(lines, [b"one".to_vec(), b"two".to_vec()]);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(
            data in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'x'), Just(0u8), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..6),
            cap in 1usize..40,
        ) {
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
            at.push(0);
            at.push(data.len());
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect();
            let (lines, skipped) = split(&pieces, cap);
            prop_assert_eq!((lines.clone(), skipped), split(&[&data], cap));
            prop_assert!(lines.iter().all(|(line, _)| line.len() <= cap));
        }
    }
}
