//! One event on disk: length, checksum, sequence number, bytes. Reading stops at the first record that is torn or damaged: a crash can only tear the tail.

use std::io::{self, Read, Seek, SeekFrom};

use roundtable_shared::limits::EVENT_BYTES_MAX;

/// Length (4), checksum (4), sequence number (8).
pub(super) const HEADER_BYTES: usize = 16;

/// The record of an event.
pub(super) fn encode(seq: u64, bytes: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + bytes.len());
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&checksum(seq, bytes).to_le_bytes());
    record.extend_from_slice(&seq.to_le_bytes());
    record.extend_from_slice(bytes);
    record
}

/// Reads the record at the reader's place; `None` at the end or where the tail is torn.
pub(super) fn read(reader: &mut impl Read) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut header = [0; HEADER_BYTES];
    if !fill(reader, &mut header)? {
        return Ok(None);
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = word(0) as usize;
    let seq = u64::from(word(8)) | u64::from(word(12)) << 32;
    if length > EVENT_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; length];
    if !fill(reader, &mut bytes)? || checksum(seq, &bytes) != word(4) {
        return Ok(None);
    }
    Ok(Some((seq, bytes)))
}

/// Scans a file from its start: the last good sequence number and the offset behind it.
pub(super) fn scan(file: &mut (impl Read + Seek), mut each: impl FnMut(&[u8])) -> io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = io::BufReader::new(file);
    let (mut last, mut offset) = (0, 0);
    while let Some((seq, bytes)) = read(&mut reader)? {
        if seq != last + 1 {
            break;
        }
        last = seq;
        each(&bytes);
        offset += (HEADER_BYTES + bytes.len()) as u64;
    }
    Ok((last, offset))
}

fn checksum(seq: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&seq.to_le_bytes()), bytes)
}

/// Fills the buffer; `false` if the end came first.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_torn_or_damaged_tail_never_yields_a_wrong_event(
            events in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8),
            cut in any::<prop::sample::Index>(),
            flip in any::<Option<u8>>(),
        ) {
            let mut file = Vec::new();
            for (at, event) in events.iter().enumerate() {
                file.extend(encode(at as u64 + 1, event));
            }
            let cut = cut.index(file.len() + 1);
            file.truncate(cut);
            if let (Some(bit), Some(last)) = (flip, file.last_mut()) {
                *last ^= 1 << (bit % 8);
            }
            let (last, offset) = scan(&mut Cursor::new(&file), |_| {}).unwrap();
            prop_assert!(offset as usize <= file.len());
            let mut reader = Cursor::new(&file[..offset as usize]);
            for (at, event) in events.iter().take(last as usize).enumerate() {
                let (seq, bytes) = read(&mut reader).unwrap().unwrap();
                prop_assert_eq!(seq, at as u64 + 1);
                prop_assert_eq!(&bytes, event);
            }
        }
    }
}
