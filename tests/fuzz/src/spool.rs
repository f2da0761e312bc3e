//! The spool reader: whatever became of a spool's files, only records come out of it that were written whole, in order and from the first on; and the attempt
//! can go on from there.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use roundtable_shared::limits::EVENT_BYTES_MAX;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use roundtable_shared::{AgentEvent, AttemptKey, AttemptNo, Lease, LeaseId, LeaseRef, Role, Seat, Switches, TurnData};
use roundtable_worker::spool::{AttemptSpool, Spool};

const HEADER_BYTES: usize = 16;
/// Things that happen to one file: so few that no checksum comes out right by them.
const HARM_MAX: usize = 8;

/// Reads the bytes as a file of events, as what is done to one that was written, or as one of the files beside it.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = crate::chosen(data, 4) else { return };
    // One place for all inputs: its lease is synced once.
    let place = place().lock().unwrap_or_else(PoisonError::into_inner);
    match kind {
        0 => any_bytes(&place, bytes),
        1 => damaged(&place, bytes),
        2 => beside(&place, "outcome.json", bytes),
        _ => beside(&place, "lease.json", bytes),
    }
}

struct Place {
    spool: Spool,
    folder: PathBuf,
    lease: Vec<u8>,
    _dir: tempfile::TempDir,
}

fn place() -> &'static Mutex<Place> {
    static PLACE: OnceLock<Mutex<Place>> = OnceLock::new();
    PLACE.get_or_init(|| {
        // Nobody takes it away at the end: `.ci/run` names a place that goes.
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().join("spool")).unwrap();
        let folder = spool.begin(lease()).unwrap().dir().to_owned();
        let lease = fs::read(folder.join("lease.json")).unwrap();
        Mutex::new(Place { spool, folder, lease, _dir: dir })
    })
}

impl Place {
    /// The one attempt, as the next life of its worker finds it.
    fn reopened(&self, events: &[u8]) -> AttemptSpool {
        let _ = fs::remove_file(self.folder.join("outcome.json"));
        fs::write(self.folder.join("events"), events).unwrap();
        self.left().expect("an attempt with its lease is owed")
    }

    fn left(&self) -> Option<AttemptSpool> {
        self.spool.left_behind().unwrap().pop()
    }
}

/// Any bytes where events should be: what is read is what a reader that knows the form alone finds whole.
fn any_bytes(place: &Place, bytes: &[u8]) {
    let whole = whole_records(bytes);
    let attempt = place.reopened(bytes);
    assert_eq!(read_all(&attempt), whole);
    let length: usize = whole.iter().map(|record| HEADER_BYTES + record.len()).sum();
    assert_eq!(fs::metadata(place.folder.join("events")).unwrap().len(), length as u64, "what is not whole is cut off");
    goes_on(place, &attempt, whole);
}

/// Events that were written, cut, with bits turned over and stretches of nothing, as disks and crashes do it.
fn damaged(place: &Place, bytes: &[u8]) {
    let (texts, harm) = bytes.split_at(bytes.len() - bytes.len() / 3);
    let attempt = place.reopened(b"");
    for text in texts.split(|byte| *byte == b'\n') {
        let event = AgentEvent::Message { text: String::from_utf8_lossy(text).into_owned() };
        attempt.push(EventLine { at: WallMs(1), event }).unwrap();
    }
    let written = read_all(&attempt);
    drop(attempt);
    let mut file = fs::read(place.folder.join("events")).unwrap();
    for step in harm.chunks_exact(4).take(HARM_MAX) {
        let at = usize::from(u16::from_le_bytes([step[1], step[2]])) % file.len().max(1);
        match step[0] % 3 {
            0 => file.truncate(at),
            1 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (step[3] % 8)),
            _ => file.iter_mut().skip(at).take(usize::from(step[3])).for_each(|byte| *byte = 0),
        }
    }
    let attempt = place.reopened(&file);
    let read = read_all(&attempt);
    assert!(written.starts_with(&read), "{} events of {} are not those that were written", read.len(), written.len());
    goes_on(place, &attempt, read);
}

/// The next event comes right behind those that are there, also for the life after this.
fn goes_on(place: &Place, attempt: &AttemptSpool, before: Vec<Vec<u8>>) {
    let line = EventLine { at: WallMs(2), event: AgentEvent::Completed };
    attempt.push(line.clone()).unwrap();
    let expected: Vec<Vec<u8>> = before.into_iter().chain([serde_json::to_vec(&line).unwrap()]).collect();
    assert_eq!(read_all(attempt), expected);
    assert_eq!(read_all(&place.left().expect("it is still owed")), expected);
}

/// Any bytes in one of the other files: it is a lease (an outcome) or it is none.
fn beside(place: &Place, name: &str, bytes: &[u8]) {
    drop(place.reopened(b""));
    fs::write(place.folder.join(name), bytes).unwrap();
    match place.left() {
        Some(attempt) => {
            let again: Lease = serde_json::from_slice(&serde_json::to_vec(attempt.lease()).unwrap()).unwrap();
            assert_eq!(again, *attempt.lease());
            let _ = attempt.outcome();
            assert_eq!(attempt.position().ended, name == "outcome.json");
        }
        None => assert_eq!(name, "lease.json", "an attempt with its lease is owed"),
    }
    // A folder without a lease promised nothing, and is gone.
    fs::create_dir_all(&place.folder).unwrap();
    fs::write(place.folder.join("lease.json"), &place.lease).unwrap();
}

fn read_all(attempt: &AttemptSpool) -> Vec<Vec<u8>> {
    let through = attempt.position().written_seq;
    let mut reader = attempt.reader(1).unwrap();
    let mut events = Vec::new();
    while reader.next_seq() <= through {
        events.extend(reader.read(through).expect("what counts as written can be read"));
    }
    events
}

/// The form once more, written from its description: length, checksum of number and bytes, number, bytes; numbers from 1 on.
fn whole_records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while bytes.len() >= HEADER_BYTES {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let number = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        let length = word(0) as usize;
        let Some(body) = bytes[HEADER_BYTES..].get(..length).filter(|_| length <= EVENT_BYTES_MAX) else { break };
        let summed = [&number.to_le_bytes()[..], body].concat();
        if crc32c::crc32c(&summed) != word(4) || number != found.len() as u64 + 1 {
            break;
        }
        found.push(body.to_vec());
        bytes = &bytes[HEADER_BYTES + length..];
    }
    found
}

fn lease() -> Lease {
    Lease {
        lease: LeaseRef {
            key: AttemptKey { run: "demo-abcdef".into(), unit: Some("1".into()), attempt: AttemptNo(1) },
            lease_id: LeaseId(5),
        },
        seat: Seat::Work,
        role: Role::Implement,
        backend: "codex".into(),
        pool: "codex".into(),
        repository: "ab".repeat(20),
        base: "01".repeat(20).into(),
        start: "01".repeat(20).into(),
        prompt: "Do.".into(),
        answer_schema: None,
        turn_data: TurnData::new("demo-abcdef", Role::Implement),
        resume: None,
        model: None,
        effort: None,
        wall_ms: 1,
        idle_ms: 1,
        output_bytes_max: 1,
        save_ms: 0,
        setup: None,
        check: None,
        has_attachments: false,
        read_only: false,
        switches: Switches::default(),
    }
}
