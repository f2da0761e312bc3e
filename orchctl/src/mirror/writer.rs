//! Writes mirror files: atomically, at most once a second, by one writer, and never over an edit from outside.
//!
//! Not here: the texts (the coordinator renders them) and when to look for new ones (the follower's loop).

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use roundtable_runtime::fsx;
use roundtable_shared::view::{ExistingPulse, MirrorView};

use super::location::MirrorPaths;
use super::record::Record;

/// Least time between two writes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Copies of edits kept beside a file before a person has to clear up.
const EDITED_MAX: u32 = 1000;

/// Why mirror files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Reading, locking or writing failed.
    #[error("{}: {source}; write them elsewhere with --output DIR", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no free name for another copy of an edit.
    #[error("{} was edited while the run wrote it, and there are {EDITED_MAX} copies of earlier edits beside it; move them away", path.display())]
    TooManyEdits {
        /// The file.
        path: PathBuf,
    },
}

/// What a write came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Another process writes these files; nothing was done.
    pub held_by_another: bool,
    /// Files that were replaced.
    pub written: Vec<PathBuf>,
    /// Where edits from outside were kept.
    pub kept: Vec<PathBuf>,
}

/// Writer of one set of mirror files.
#[derive(Debug)]
pub struct MirrorWriter {
    paths: MirrorPaths,
    data_dir: PathBuf,
    record: Record,
    /// The folder, locked: who has it is the one writer. `None` while another has.
    lock: Option<File>,
    wrote_at: Option<Instant>,
}

impl MirrorWriter {
    /// Prepares to write these files, making their folder if need be.
    pub fn open(paths: MirrorPaths, data_dir: &Path) -> Result<Self, MirrorError> {
        let dir = paths.dir().to_owned();
        std::fs::create_dir_all(&dir).map_err(io_error(&dir))?;
        let record = record_of(&dir, data_dir)?;
        Ok(Self { paths, data_dir: data_dir.to_owned(), record, lock: None, wrote_at: None })
    }

    /// The files.
    pub fn paths(&self) -> &MirrorPaths {
        &self.paths
    }

    /// Whether a second has passed since the last write.
    pub fn is_due(&self, now: Instant) -> bool {
        self.wrote_at.is_none_or(|at| now.duration_since(at) >= INTERVAL)
    }

    /// The present pulse, in which a person's own lines are to be kept.
    pub fn existing_pulse(&mut self) -> ExistingPulse {
        // What another has written since is in the record once the folder is ours; while it is not, nothing is written anyway.
        let _ = self.try_lock();
        let existing_pulse = std::fs::read_to_string(&self.paths.pulse).ok();
        let foreign_lines = existing_pulse.as_deref().and_then(|text| self.record.foreign_lines(text));
        ExistingPulse { existing_pulse, foreign_lines }
    }

    /// Writes what differs. The caller keeps to [`MirrorWriter::is_due`], except for the last write.
    pub fn write(&mut self, view: &MirrorView, now: Instant) -> Result<Report, MirrorError> {
        if !self.try_lock()? {
            return Ok(Report { held_by_another: true, ..Report::default() });
        }
        self.wrote_at = Some(now);
        let paths = self.paths.clone();
        let all = [
            (paths.tasks_parsed.as_path(), view.tasks_parsed.as_str()),
            (paths.agent_state.as_path(), view.agent_state.as_str()),
            (paths.pulse.as_path(), view.pulse.as_str()),
        ];
        let mut report = Report::default();
        let mut changed = Vec::new();
        // A pulse that cannot be understood is a person's.
        for (path, text) in all.into_iter().filter(|(path, _)| view.pulse_problem.is_none() || *path != paths.pulse) {
            let present = read_if_there(path)?;
            if present.as_deref() == Some(text.as_bytes()) {
                continue;
            }
            if let Some(present) = present
                && self.is_edit(path, &present, text)
            {
                report.kept.push(keep_edit(path, &present)?);
            }
            changed.push((path, text));
        }
        if changed.is_empty() {
            return Ok(report);
        }
        let names: Vec<(&str, &str)> = changed.iter().map(|(path, text)| (name(path), *text)).collect();
        self.record.note(&names, name(&paths.pulse), &view.pulse_kept).map_err(io_error(paths.dir()))?;
        for (path, text) in changed {
            fsx::write_atomic(path, text.as_bytes(), mode_of(path)).map_err(io_error(path))?;
            report.written.push(path.to_owned());
        }
        Ok(report)
    }

    fn try_lock(&mut self) -> Result<bool, MirrorError> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let dir = self.paths.dir();
        let folder = File::open(dir).map_err(io_error(dir))?;
        match folder.try_lock() {
            Ok(()) => {
                // Another may have written since it was read, and what that wrote is no edit.
                self.record = record_of(dir, &self.data_dir)?;
                self.lock = Some(folder);
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(source)) => return Err(MirrorError::Io { path: dir.to_owned(), source }),
        }
        Ok(true)
    }

    fn is_edit(&self, path: &Path, present: &[u8], to_come: &str) -> bool {
        if self.record.is_ours(name(path), present) || self.record.was_read(name(path), present) {
            return false;
        }
        let pulse = path == self.paths.pulse;
        let survives = || std::str::from_utf8(present).is_ok_and(|edited| self.record.pulse_edits_survive(edited, to_come));
        !(pulse && survives())
    }
}

/// Notes that a run goes on from the files that lie there now: what was read is known, and replacing it is no loss of an edit. The state is the
/// text that was read; the two others are of its set if they are what such a set has.
pub fn note_read(paths: &MirrorPaths, data_dir: &Path, state: &str) -> Result<(), MirrorError> {
    let mut record = record_of(paths.dir(), data_dir)?;
    let tasks = read_if_there(&paths.tasks_parsed)?.filter(|text| serde_json::from_slice::<Tasks>(text).is_ok());
    let pulse = read_if_there(&paths.pulse)?;
    let mut texts = vec![(name(&paths.agent_state), state.as_bytes())];
    texts.extend(tasks.as_deref().map(|text| (name(&paths.tasks_parsed), text)));
    texts.extend(pulse.as_deref().map(|text| (name(&paths.pulse), text)));
    record.note_read(&texts).map_err(io_error(data_dir))
}

/// What every `TASKS_PARSED.json` has.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "that it can be read is what counts")]
struct Tasks {
    spec_path: String,
    tasks: Vec<serde::de::IgnoredAny>,
}

/// Whether the text of a state file is one that we wrote there lately.
pub fn was_written(paths: &MirrorPaths, data_dir: &Path, state: &str) -> bool {
    record_of(paths.dir(), data_dir).is_ok_and(|record| record.is_ours(name(&paths.agent_state), state.as_bytes()))
}

fn record_of(dir: &Path, data_dir: &Path) -> Result<Record, MirrorError> {
    let real = dir.canonicalize().map_err(io_error(dir))?;
    Record::open(data_dir, &real).map_err(io_error(data_dir))
}

/// The mode of the file replaced, else what others may read.
fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).map_or(fsx::PUBLIC, |found| found.permissions().mode() & 0o777)
}

/// Keeps an edited file beside itself. A link, where there can be one: an editor that still has it open then goes on writing into the copy.
fn keep_edit(path: &Path, present: &[u8]) -> Result<PathBuf, MirrorError> {
    for n in 1..=EDITED_MAX {
        let mut kept = path.as_os_str().to_owned();
        kept.push(format!(".edited-{n}"));
        let kept = PathBuf::from(kept);
        match std::fs::hard_link(path, &kept).or_else(|error| if is_taken(&error) { Err(error) } else { copy_new(&kept, present) }) {
            Ok(()) => return Ok(kept),
            Err(error) if is_taken(&error) => {}
            Err(source) => return Err(MirrorError::Io { path: kept, source }),
        }
    }
    Err(MirrorError::TooManyEdits { path: path.to_owned() })
}

fn copy_new(kept: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(kept)?;
    file.write_all(text)?;
    file.sync_all()
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, MirrorError> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MirrorError::Io { path: path.to_owned(), source }),
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> MirrorError {
    let path = path.to_owned();
    move |source| MirrorError::Io { path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn out(&self) -> PathBuf {
            self.dir.path().join("out")
        }

        fn writer(&self) -> MirrorWriter {
            MirrorWriter::open(MirrorPaths::in_dir(&self.out()), &self.dir.path().join("data")).unwrap()
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.out().join(name)).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> =
                std::fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn view(n: u32) -> MirrorView {
        MirrorView {
            run: "r".into(),
            tasks_parsed: format!("{{\"tasks\":{n}}}"),
            agent_state: format!("{{\"state\":{n}}}"),
            pulse: format!("# PROJECT_PULSE\n\n- totals {n}\n"),
            pulse_kept: Vec::new(),
            pulse_problem: None,
        }
    }

    #[test]
    fn writes_what_differs_and_nothing_twice() {
        let place = Place::new();
        let mut writer = place.writer();
        assert_eq!(writer.write(&view(1), Instant::now()).unwrap().written.len(), 3);
        assert_eq!(writer.write(&view(1), Instant::now()).unwrap(), Report::default());
        assert_eq!(writer.write(&MirrorView { pulse: view(1).pulse, ..view(2) }, Instant::now()).unwrap().written.len(), 2);
        assert_eq!(place.names(), ["AGENT_STATE.json", "PROJECT_PULSE.md", "TASKS_PARSED.json"]);
        assert_eq!(place.read("AGENT_STATE.json"), "{\"state\":2}");
    }

    #[test]
    fn an_edit_is_kept_beside_and_reported() {
        let place = Place::new();
        let mut writer = place.writer();
        writer.write(&view(1), Instant::now()).unwrap();
        for n in 1..=2 {
            std::fs::write(place.out().join("AGENT_STATE.json"), format!("mine {n}")).unwrap();
            let report = writer.write(&view(1), Instant::now()).unwrap();
            assert_eq!(report.kept, [place.out().join(format!("AGENT_STATE.json.edited-{n}"))]);
            assert_eq!(place.read(&format!("AGENT_STATE.json.edited-{n}")), format!("mine {n}"));
            assert_eq!(place.read("AGENT_STATE.json"), "{\"state\":1}");
        }
    }

    #[test]
    fn a_later_writer_knows_what_an_earlier_one_wrote_even_if_it_was_killed_half_way() {
        let place = Place::new();
        place.writer().write(&view(1), Instant::now()).unwrap();
        assert!(place.writer().write(&view(2), Instant::now()).unwrap().kept.is_empty());
        // Killed after the state file, before the pulse.
        let mut killed = place.writer();
        killed.write(&view(3), Instant::now()).unwrap();
        drop(killed);
        std::fs::write(place.out().join("PROJECT_PULSE.md"), view(2).pulse).unwrap();
        assert!(place.writer().write(&view(4), Instant::now()).unwrap().kept.is_empty());
    }

    #[test]
    fn what_a_run_goes_on_from_is_known_and_a_later_edit_is_not() {
        let place = Place::new();
        std::fs::create_dir(place.out()).unwrap();
        let (paths, data) = (MirrorPaths::in_dir(&place.out()), place.dir.path().join("data"));
        let write = |name: &str, text: &str| std::fs::write(place.out().join(name), text).unwrap();
        write("AGENT_STATE.json", "the state");
        write("PROJECT_PULSE.md", "# another tool's\n");
        write("TASKS_PARSED.json", "{}");
        note_read(&paths, &data, "the state").unwrap();
        assert!(!was_written(&paths, &data, "the state"));
        let report = place.writer().write(&view(1), Instant::now()).unwrap();
        assert_eq!(report.kept, [place.out().join("TASKS_PARSED.json.edited-1")], "what is no such file was not read either");
        assert!(was_written(&paths, &data, &view(1).agent_state));
        write("AGENT_STATE.json", "mine");
        assert_eq!(place.writer().write(&view(2), Instant::now()).unwrap().kept.len(), 1);
    }

    #[test]
    fn files_of_unknown_origin_are_kept() {
        let place = Place::new();
        std::fs::create_dir(place.out()).unwrap();
        std::fs::write(place.out().join("TASKS_PARSED.json"), "from elsewhere").unwrap();
        let report = place.writer().write(&view(1), Instant::now()).unwrap();
        assert_eq!(report.kept, [place.out().join("TASKS_PARSED.json.edited-1")]);
    }

    #[test]
    fn a_persons_own_lines_in_the_pulse_are_no_lost_edit() {
        let place = Place::new();
        let mut writer = place.writer();
        writer.write(&view(1), Instant::now()).unwrap();
        let pulse = place.out().join("PROJECT_PULSE.md");
        std::fs::write(&pulse, "# PROJECT_PULSE\n\n- totals 1\n- remember the milk\n").unwrap();
        let kept_line = MirrorView { pulse: "# PROJECT_PULSE\n\n- totals 2\n- remember the milk\n".into(), ..view(2) };
        assert!(writer.write(&kept_line, Instant::now()).unwrap().kept.is_empty());
        std::fs::write(&pulse, "# PROJECT_PULSE\n\n- totals, my own figures\n").unwrap();
        assert_eq!(writer.write(&view(3), Instant::now()).unwrap().kept.len(), 1);
    }

    #[test]
    fn lines_that_were_not_written_by_us_are_named_also_after_we_carried_them_over() {
        let place = Place::new();
        let mut writer = place.writer();
        assert_eq!(writer.existing_pulse(), ExistingPulse::default());
        std::fs::write(place.out().join("PROJECT_PULSE.md"), "- from elsewhere\n").unwrap();
        assert_eq!(writer.existing_pulse().foreign_lines, None, "nobody here knows who wrote that");
        writer.write(&view(1), Instant::now()).unwrap();
        let foreign = |writer: &mut MirrorWriter| writer.existing_pulse().foreign_lines.unwrap();
        assert_eq!(foreign(&mut writer), Vec::<String>::new());
        let carried =
            MirrorView { pulse: "# PROJECT_PULSE\n\n- totals 2\n- ✅ mine\n".into(), pulse_kept: vec!["- ✅ mine".into()], ..view(2) };
        writer.write(&carried, Instant::now()).unwrap();
        assert_eq!(foreign(&mut writer), ["- ✅ mine"]);
        // Noted, then killed before it was written: either text may be there.
        drop(writer);
        std::fs::write(place.out().join("PROJECT_PULSE.md"), view(1).pulse).unwrap();
        assert_eq!(foreign(&mut place.writer()), Vec::<String>::new());
    }

    #[test]
    fn a_pulse_that_cannot_be_understood_is_not_touched() {
        let place = Place::new();
        std::fs::create_dir(place.out()).unwrap();
        std::fs::write(place.out().join("PROJECT_PULSE.md"), "# hello").unwrap();
        let mut writer = place.writer();
        let problem = MirrorView { pulse_problem: Some("no section".into()), ..view(1) };
        assert_eq!(writer.write(&problem, Instant::now()).unwrap().written.len(), 2);
        assert_eq!((place.read("PROJECT_PULSE.md").as_str(), place.names().len()), ("# hello", 3));
    }

    #[test]
    fn one_writer_at_a_time() {
        let place = Place::new();
        let (mut first, mut second) = (place.writer(), place.writer());
        first.write(&view(1), Instant::now()).unwrap();
        assert!(second.write(&view(2), Instant::now()).unwrap().held_by_another);
        assert_eq!(place.read("AGENT_STATE.json"), "{\"state\":1}");
        first.write(&view(3), Instant::now()).unwrap();
        drop(first);
        let report = second.write(&view(2), Instant::now()).unwrap();
        assert_eq!((report.written.len(), report.kept), (3, Vec::new()), "what the first wrote meanwhile is no edit");
    }

    #[test]
    fn at_most_once_a_second() {
        let place = Place::new();
        let mut writer = place.writer();
        let start = Instant::now();
        assert!(writer.is_due(start));
        writer.write(&view(1), start).unwrap();
        assert!(!writer.is_due(start + Duration::from_millis(999)));
        assert!(writer.is_due(start + INTERVAL));
    }
}
