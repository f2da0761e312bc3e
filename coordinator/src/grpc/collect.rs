//! What a submission brings is read here, within bounds: of each file, of all of them, and of how many submissions are in memory at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{MANIFEST_ENTRIES_MAX, PATH_BYTES_MAX, SPEC_FILE_BYTES_MAX};
use roundtable_shared::view::SubmitRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};

use super::from_json;
use crate::attachments::{ATTACHED_BYTES_MAX, Attached};
use crate::submit::Submission;

/// Submissions in memory at once. Who comes beyond that waits.
const SUBMISSIONS_MAX: usize = 4;
/// How long one waits for its turn, and for each part of what it brings: who stands still makes way.
const PART_WITHIN: Duration = Duration::from_secs(30);
/// Most files of a spec.
const SPEC_FILES_MAX: usize = 16;
/// Largest spec, all its files together, bytes.
const SPEC_BYTES_MAX: usize = 4 * SPEC_FILE_BYTES_MAX;

/// Places for those that are in memory. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SUBMISSIONS_MAX)))
    }
}

impl Turns {
    /// Reads a submission once it is its turn. What comes with it is kept for as long as the submission is.
    pub(super) async fn collect(
        &self,
        frames: Streaming<v1::SubmitFrame>,
        by: String,
    ) -> Result<(Submission, OwnedSemaphorePermit), Status> {
        let turn = tokio::time::timeout(PART_WITHIN, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(status_of(ErrorCode::Exhausted, "too many submissions are being read; submit again in a moment"));
        };
        Ok((collect(frames, by).await?, turn))
    }
}

/// Header, spec files and attached files of a submission.
async fn collect(mut frames: Streaming<v1::SubmitFrame>, by: String) -> Result<Submission, Status> {
    use v1::submit_frame::Frame;
    let Some(Frame::Header(header)) = next(&mut frames).await? else {
        return Err(invalid("the first frame must be the header"));
    };
    let request: SubmitRequest = from_json("request", &header.request)?;
    let mut brought = Brought::default();
    while let Some(frame) = next(&mut frames).await? {
        match frame {
            Frame::SpecFile(file) => brought.add_to_spec(file)?,
            Frame::Attachment(file) => brought.attach(file)?,
            Frame::Header(_) => return Err(invalid("only files follow the header")),
        }
    }
    Ok(Submission { request, files: brought.files, attachments: brought.attachments, by })
}

/// The next frame, `None` at the end. One without anything in it is none that this release knows.
async fn next(frames: &mut Streaming<v1::SubmitFrame>) -> Result<Option<v1::submit_frame::Frame>, Status> {
    let late = |_| status_of(ErrorCode::Unreachable, "nothing more came of the submission for 30 s; submit again");
    match tokio::time::timeout(PART_WITHIN, frames.next()).await.map_err(late)?.transpose()? {
        None => Ok(None),
        Some(v1::SubmitFrame { frame: Some(frame) }) => Ok(Some(frame)),
        Some(v1::SubmitFrame { frame: None }) => Err(invalid("only files follow the header")),
    }
}

/// The files that have come so far.
#[derive(Default)]
struct Brought {
    files: BTreeMap<String, Vec<u8>>,
    spec_bytes: usize,
    attachments: Vec<Attached>,
    attached_bytes: usize,
}

impl Brought {
    /// A piece of a file of the spec.
    fn add_to_spec(&mut self, mut file: v1::SpecFile) -> Result<(), Status> {
        if file.name.len() > PATH_BYTES_MAX {
            return Err(invalid("the name of a file of the spec is longer than 4096 bytes"));
        }
        self.spec_bytes += file.data.len();
        if self.spec_bytes > SPEC_BYTES_MAX {
            return Err(invalid("the files of the spec are larger than 256 MiB together"));
        }
        if self.files.len() >= SPEC_FILES_MAX && !self.files.contains_key(&file.name) {
            return Err(invalid("the spec has more than 16 files"));
        }
        let whole = self.files.entry(file.name).or_default();
        if whole.len() + file.data.len() > SPEC_FILE_BYTES_MAX {
            return Err(invalid("a file of the spec is larger than 64 MiB"));
        }
        whole.append(&mut file.data);
        Ok(())
    }

    /// A piece of a file under `copy`; the pieces of one come one after the other.
    fn attach(&mut self, mut file: v1::Attached) -> Result<(), Status> {
        if file.path.len() > PATH_BYTES_MAX {
            return Err(invalid("a path under `copy` is longer than 4096 bytes"));
        }
        self.attached_bytes += file.data.len();
        if self.attached_bytes > ATTACHED_BYTES_MAX {
            return Err(invalid("the files under `copy` are larger than 64 MiB together"));
        }
        let is_full = self.attachments.len() >= MANIFEST_ENTRIES_MAX;
        match self.attachments.last_mut() {
            Some(last) if last.path == file.path => last.data.append(&mut file.data),
            _ if is_full => return Err(invalid("there are more than 10,000 files under `copy`")),
            _ => self.attachments.push(Attached { path: file.path, mode: file.mode, data: file.data }),
        }
        Ok(())
    }
}

fn invalid(text: &str) -> Status {
    status_of(ErrorCode::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of_spec(name: &str, bytes: usize) -> v1::SpecFile {
        v1::SpecFile { name: name.to_owned(), data: vec![0; bytes] }
    }

    fn attached(path: &str, bytes: usize) -> v1::Attached {
        v1::Attached { path: path.to_owned(), mode: 0o644, data: vec![0; bytes] }
    }

    #[test]
    fn a_spec_is_bounded_by_file_in_all_and_by_count() {
        let mut brought = Brought::default();
        brought.add_to_spec(of_spec("tasks.md", SPEC_FILE_BYTES_MAX)).unwrap();
        assert!(brought.add_to_spec(of_spec("tasks.md", 1)).unwrap_err().message().contains("a file of the spec"));
        brought.spec_bytes = SPEC_BYTES_MAX - 1;
        brought.add_to_spec(of_spec("design.md", 1)).unwrap();
        assert!(brought.add_to_spec(of_spec("requirements.md", 1)).unwrap_err().message().contains("together"));
        let mut many = Brought::default();
        for nth in 0..SPEC_FILES_MAX {
            many.add_to_spec(of_spec(&nth.to_string(), 0)).unwrap();
        }
        assert!(many.add_to_spec(of_spec("one-more", 0)).unwrap_err().message().contains("more than 16 files"));
        many.add_to_spec(of_spec("0", 10)).unwrap();
        assert!(many.add_to_spec(of_spec(&"x".repeat(PATH_BYTES_MAX + 1), 0)).is_err());
    }

    #[test]
    fn files_under_copy_are_bounded_in_all_and_by_count_though_they_be_empty() {
        let mut brought = Brought::default();
        for nth in 0..MANIFEST_ENTRIES_MAX {
            brought.attach(attached(&nth.to_string(), 0)).unwrap();
        }
        assert!(brought.attach(attached("one-more", 0)).unwrap_err().message().contains("more than 10,000"));
        let last = (MANIFEST_ENTRIES_MAX - 1).to_string();
        brought.attached_bytes = ATTACHED_BYTES_MAX - 1;
        brought.attach(attached(&last, 1)).unwrap();
        assert!(brought.attach(attached(&last, 1)).unwrap_err().message().contains("64 MiB together"));
        assert!(brought.attach(attached(&"x".repeat(PATH_BYTES_MAX + 1), 0)).is_err());
    }
}
