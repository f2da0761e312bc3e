//! `coordinator audit`: the records of a data directory, oldest first, also beside the coordinator that writes them; changes nothing.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use roundtable_runtime::terminal::hanging;
use roundtable_shared::text;
use roundtable_store::{AuditError, AuditReader};

use super::{EntryView, dir_of};

/// Records read at once.
const STEP: usize = 1000;
/// How often new ones are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Lines for people.
    Text,
    /// One JSON value; a line each where they are followed.
    Json,
}

/// Why not all of them were shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The log is damaged, or cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Nobody has begun one.
    #[error("there is no audit log in {dir}: no coordinator has served that data directory yet; name another with --data-dir")]
    Missing {
        /// The data directory.
        dir: String,
    },
    /// The answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes the records there are; goes on with those that come, until it is stopped, if they are followed.
pub async fn show(data_dir: &Path, form: Form, is_followed: bool, out: &mut dyn Write) -> Result<(), ShowError> {
    if !dir_of(data_dir).is_dir() {
        return Err(ShowError::Missing { dir: data_dir.display().to_string() });
    }
    let mut reader = AuditReader::open(&dir_of(data_dir));
    let mut writing = Writing { form, is_list: form == Form::Json && !is_followed, told: 0 };
    let ended = loop {
        match reader.next_batch(STEP) {
            Ok(rows) if rows.is_empty() && is_followed => tokio::time::sleep(LOOK_EVERY).await,
            Ok(rows) if rows.is_empty() => break Ok(()),
            Ok(rows) => {
                for row in &rows {
                    writing.write(&EntryView::of(row), out)?;
                }
                out.flush()?;
            }
            // What is good comes first.
            Err(error) => break Err(error),
        }
    };
    writing.end(out)?;
    Ok(ended?)
}

struct Writing {
    form: Form,
    is_list: bool,
    told: u64,
}

impl Writing {
    fn write(&mut self, entry: &EntryView, out: &mut dyn Write) -> io::Result<()> {
        self.told += 1;
        if self.form == Form::Text {
            return writeln!(out, "{}", hanging(&entry.line(), 4));
        }
        let document = serde_json::to_string(entry)?;
        let json = text::json(&document);
        match (self.is_list, self.told) {
            (false, _) => writeln!(out, "{json}"),
            (true, 1) => write!(out, "[{json}"),
            (true, _) => write!(out, ",\n{json}"),
        }
    }

    fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.is_list {
            writeln!(out, "{}", if self.told == 0 { "[]" } else { "]" })?;
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use roundtable_runtime::clock::SystemClock;
    use roundtable_store::Incarnation;

    use super::*;
    use crate::audit::{Audit, Caller};

    async fn shown(data_dir: &Path, form: Form) -> (Result<(), ShowError>, String) {
        let mut out: Vec<u8> = Vec::new();
        let ended = show(data_dir, form, false, &mut out).await;
        (ended, String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn one_json_value_whatever_there_is() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(shown(home.path(), Form::Json).await.0, Err(ShowError::Missing { .. })));
        let audit = Audit::open(home.path(), Incarnation([1; 16]), Arc::new(SystemClock)).unwrap();
        for (count, who) in [(0, ""), (1, "/a"), (2, "/b")] {
            if !who.is_empty() {
                audit.denied(&Caller::default(), who, "there is no such method").await;
            }
            let (ended, text) = shown(home.path(), Form::Json).await;
            ended.unwrap();
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value.as_array().unwrap().len(), count, "{text}");
        }
        let (ended, text) = shown(home.path(), Form::Text).await;
        ended.unwrap();
        assert!(text.lines().count() >= 2 && text.contains("DENIED /b"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
