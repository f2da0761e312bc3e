//! The bytes of a segment file: a header that names its first event, then records `length, crc32c, seq, bytes`. Pure: no files here.

use roundtable_shared::limits::EVENT_BYTES_MAX;

const MAGIC: &[u8; 8] = b"RTSEG001";
/// Length of a file's header: magic, first seq, crc32c.
pub(super) const HEADER_BYTES: usize = 20;
/// What a record adds to its event.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 16;

/// The header of a file whose first event is `first_seq`.
pub(super) fn header(first_seq: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&first_seq.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whether `bytes` begin with the header of a file whose first event is `first_seq`.
pub(super) fn has_header(bytes: &[u8], first_seq: u64) -> bool {
    bytes.starts_with(&header(first_seq))
}

/// Appends a record to `out`.
pub(super) fn push_record(out: &mut Vec<u8>, seq: u64, event: &[u8]) {
    let length = (event.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&record_crc(length, seq, event).to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(event);
}

/// How many bytes the record at the start of `bytes` has, its event included: known once its length is there. `None`: too short to say, or absurd.
pub(super) fn record_bytes(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    (length <= EVENT_BYTES_MAX).then_some(RECORD_OVERHEAD_BYTES + length)
}

/// The event at the start of `bytes`, if a whole record with that number stands there.
pub(super) fn record(bytes: &[u8], seq: u64) -> Option<&[u8]> {
    let whole = bytes.get(..record_bytes(bytes)?)?;
    let (head, event) = whole.split_at_checked(RECORD_OVERHEAD_BYTES)?;
    let length = head[..4].try_into().ok()?;
    let crc = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let stored_seq = u64::from_le_bytes(head[8..16].try_into().ok()?);
    (stored_seq == seq && record_crc(length, seq, event) == crc).then_some(event)
}

/// What a walk over the records of a file found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    /// Number of the last whole record (of the one before the file's first, if there is none).
    pub(super) last_seq: u64,
    /// Where it ends.
    pub(super) end: usize,
}

/// Walks the records of a whole file, header included, up to the first that is not one.
pub(super) fn scan(bytes: &[u8], first_seq: u64) -> Scan {
    let mut found = Scan { last_seq: first_seq - 1, end: HEADER_BYTES };
    while let Some(event) = bytes.get(found.end..).and_then(|rest| record(rest, found.last_seq + 1)) {
        found = Scan { last_seq: found.last_seq + 1, end: found.end + RECORD_OVERHEAD_BYTES + event.len() };
    }
    found
}

/// Whether a whole record with a number from `seq` on stands anywhere in `bytes`: then what precedes it was damaged, not cut off by a crash.
pub(super) fn has_record_from(bytes: &[u8], seq: u64) -> bool {
    (0..bytes.len().saturating_sub(RECORD_OVERHEAD_BYTES - 1)).any(|at| {
        let rest = &bytes[at..];
        let stored = rest.get(8..16).and_then(|field| field.try_into().ok()).map(u64::from_le_bytes);
        // Numbers far beyond cannot be the same attempt's; without this bound every position would cost a checksum.
        stored.is_some_and(|stored| (seq..seq.saturating_add(bytes.len() as u64)).contains(&stored) && record(rest, stored).is_some())
    })
}

/// The content of an attempt's end mark.
pub(super) fn end_mark(last_seq: u64) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(b"RTEND001");
    bytes[8..16].copy_from_slice(&last_seq.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The last event's number in an end mark; `None` if it is damaged.
pub(super) fn read_end_mark(bytes: &[u8]) -> Option<u64> {
    let seq = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    (bytes == end_mark(seq)).then_some(seq)
}

fn record_crc(length: [u8; 4], seq: u64, event: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(crc32c::crc32c(&length), &seq.to_le_bytes());
    crc32c::crc32c_append(head, event)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(first_seq: u64, events: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = header(first_seq).to_vec();
        (first_seq..).zip(events).for_each(|(seq, event)| push_record(&mut bytes, seq, event));
        bytes
    }

    proptest! {
        #[test]
        fn a_cut_file_keeps_its_whole_records(first in 1..u64::MAX / 2, events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), cut in any::<prop::sample::Index>()) {
            let bytes = file(first, &events);
            prop_assert!(has_header(&bytes, first));
            let whole = scan(&bytes, first);
            prop_assert_eq!((whole.last_seq, whole.end), (first + events.len() as u64 - 1, bytes.len()));
            let cut = HEADER_BYTES + cut.index(bytes.len() - HEADER_BYTES + 1);
            let found = scan(&bytes[..cut], first);
            prop_assert!(found.end <= cut);
            let kept = (found.last_seq + 1 - first) as usize;
            prop_assert_eq!(&file(first, &events[..kept])[..], &bytes[..found.end]);
            prop_assert!(kept == events.len() || found.end + RECORD_OVERHEAD_BYTES + events[kept].len() > cut);
        }

        #[test]
        fn a_changed_byte_ends_the_scan_there(events in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20), at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
            let good = file(1, &events);
            let mut bad = good.clone();
            let at = HEADER_BYTES + at.index(good.len() - HEADER_BYTES);
            bad[at] ^= mask;
            let found = scan(&bad, 1);
            prop_assert!(found.end <= at);
            prop_assert_eq!(&bad[..found.end], &good[..found.end]);
            let more_follow = found.last_seq + 1 < events.len() as u64;
            prop_assert_eq!(has_record_from(&bad[found.end..], found.last_seq + 1), more_follow);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), seq in 1..u64::MAX) {
            let _ = (scan(&bytes, seq), record(&bytes, seq), has_record_from(&bytes, seq), read_end_mark(&bytes));
        }
    }

    #[test]
    fn end_marks_are_checked() {
        let mark = end_mark(77);
        assert_eq!(read_end_mark(&mark), Some(77));
        for at in 0..mark.len() {
            let mut bad = mark;
            bad[at] ^= 0x10;
            assert_eq!(read_end_mark(&bad), None);
        }
        assert_eq!(read_end_mark(&mark[..19]), None);
    }
}
