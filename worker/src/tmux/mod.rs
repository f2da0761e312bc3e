//! `--tmux SESSION`: a window for each target window, in it a pane for each attempt with its live log. For people who like to look; nothing is decided here,
//! and what tmux cannot do is left out, once said.

mod line;
mod windows;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::fsx;
use roundtable_runtime::terminal::shell_word;
use roundtable_shared::view::EventLine;
use roundtable_shared::{Lease, TurnData};
use tokio::process::Command;
use tokio::sync::{Mutex, oneshot};
use tracing::{debug, warn};

use crate::session::Job;
use crate::spool::{AttemptSpool, SpoolError};

use windows::{Pane, Place, Windows};

/// Longest answer of tmux.
const CALL_MAX: Duration = Duration::from_secs(5);
/// After an attempt has run, its last events are spooled within this.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);
/// Text of one pane; beyond it `orchctl logs` has the rest.
const LOG_BYTES_MAX: usize = 4 << 20;
/// Where seats of the run itself are shown.
const RUN_WINDOW: &str = "run";
/// The mark on our panes, so that those of an earlier life are known.
const MARK: &str = "@roundtable";

/// A session in which attempts are shown.
#[derive(Debug)]
pub struct Tmux {
    session: String,
    owner: String,
    /// Logs as panes show them.
    folder: PathBuf,
    windows: Mutex<Windows>,
}

/// An attempt is shown for as long as this lives.
#[derive(Debug)]
pub struct Shown {
    _over: oneshot::Sender<()>,
}

/// Whether tmux takes a name for a session.
pub fn is_session_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(is_fine)
}

impl Tmux {
    /// Looks for tmux, and takes away what an earlier life of this worker left there. Without tmux that is said, and there is nothing.
    pub async fn open(session: &str, workspace: &Path) -> Option<Arc<Self>> {
        let folder = workspace.join("panes");
        let made = async {
            call(&["-V"]).await?;
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
                _ => {}
            }
            fsx::create_private_dir(&folder).map_err(|error| error.to_string())
        };
        if let Err(why) = made.await {
            warn!("--tmux: attempts are not shown in windows, for tmux cannot be used here ({why}); nothing else changes");
            return None;
        }
        // Workers of several coordinators may bear one name on one host.
        let owner = std::path::absolute(workspace).unwrap_or_else(|_| workspace.to_owned()).display().to_string();
        let tmux = Self { session: session.to_owned(), owner, folder, windows: Mutex::default() };
        tmux.clear().await;
        Some(Arc::new(tmux))
    }

    /// Shows an attempt from here on.
    pub fn show(self: &Arc<Self>, job: &Job) -> Shown {
        let (sender, over) = oneshot::channel();
        let (tmux, lease, events) = (Arc::clone(self), job.lease.clone(), job.events.clone());
        tokio::spawn(async move { tmux.follow(&lease, &events, over).await });
        Shown { _over: sender }
    }

    /// Takes away all that is shown: the worker ends.
    pub async fn close(&self) {
        let panes = self.windows.lock().await.take_all();
        for pane in panes {
            self.remove(pane).await;
        }
    }

    async fn follow(&self, lease: &Lease, events: &AttemptSpool, over: oneshot::Receiver<()>) {
        let log = self.folder.join(file_name(lease));
        let shown = async {
            let (window, heading) = told_of(lease);
            let mut file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
            writeln!(file, "{heading}").map_err(|error| error.to_string())?;
            Ok::<_, String>((self.add(&window, &log).await?, file))
        };
        match shown.await {
            Ok((pane, mut file)) => {
                if let Err(error) = copy(events, &mut file, over).await {
                    debug!(lease = %lease.lease.key, %error, "the rest of an attempt cannot be shown");
                }
                let _ = writeln!(file, "── ended");
                self.windows.lock().await.over(&pane);
            }
            Err(why) => {
                warn!(lease = %lease.lease.key, why, "an attempt cannot be shown in tmux");
                let _ = std::fs::remove_file(&log);
            }
        }
    }

    /// Opens a pane, where there is a place for it.
    async fn add(&self, name: &str, log: &Path) -> Result<String, String> {
        let command = format!("exec tail -n +1 -f {}", shell_word(&log.display().to_string()));
        let mut windows = self.windows.lock().await;
        let mut name = name.to_owned();
        let (window, pane) = match windows.place(&name) {
            Place::New => self.new_window(&name, &command).await?,
            Place::Instead(old) => {
                for pane in windows.take(&old) {
                    self.remove(pane).await;
                }
                self.new_window(&name, &command).await?
            }
            Place::In { name: shared, window } => {
                name = shared;
                match self.split(&window, &command).await {
                    // Somebody has closed it.
                    Err(why) if why.contains("can't find") => {
                        windows.take(&name);
                        self.new_window(&name, &command).await?
                    }
                    split => split?,
                }
            }
        };
        let surplus = windows.add(&name, window, Pane { id: pane.clone(), log: log.to_owned(), is_over: false });
        for pane in surplus {
            self.remove(pane).await;
        }
        // Without the mark it is not found again after a crash; that is all.
        let _ = call(&["set-option", "-p", "-t", &pane, MARK, &self.owner]).await;
        Ok(pane)
    }

    async fn new_window(&self, name: &str, command: &str) -> Result<(String, String), String> {
        let target = format!("={}", self.session);
        let format = ["-P", "-F", "#{window_id} #{pane_id}", command];
        let made = if call(&["has-session", "-t", &target]).await.is_ok() {
            let within = format!("{target}:");
            call(&[&["new-window", "-d", "-t", &within, "-n", name][..], &format[..]].concat()).await
        } else {
            call(&[&["new-session", "-d", "-s", &self.session, "-n", name, "-x", "200", "-y", "50"][..], &format[..]].concat()).await
        };
        ids(&made?)
    }

    async fn split(&self, window: &str, command: &str) -> Result<(String, String), String> {
        // In the middle of others there is more room than beside the last one.
        let _ = call(&["select-layout", "-t", window, "tiled"]).await;
        let made = call(&["split-window", "-d", "-t", window, "-P", "-F", "#{window_id} #{pane_id}", command]).await?;
        let _ = call(&["select-layout", "-t", window, "tiled"]).await;
        ids(&made)
    }

    /// Somebody may have closed it before.
    async fn remove(&self, pane: Pane) {
        let _ = call(&["kill-pane", "-t", &pane.id]).await;
        let _ = std::fs::remove_file(&pane.log);
    }

    /// Panes with our mark that this life has not made.
    async fn clear(&self) {
        // No server, no panes.
        let Ok(panes) = call(&["list-panes", "-a", "-F", &format!("#{{pane_id}} #{{{MARK}}}")]).await else { return };
        for pane in panes.lines().filter_map(|line| line.split_once(' ')).filter(|(_, owner)| *owner == self.owner).map(|(pane, _)| pane) {
            let _ = call(&["kill-pane", "-t", pane]).await;
        }
    }
}

/// Asks tmux; its own words where it refuses.
async fn call(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("tmux");
    // A server that starts with this takes over our environment, and a token is nobody's business.
    command.arg("-u").args(arguments).env_remove("ROUNDTABLE_TOKEN").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(CALL_MAX, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("tmux has not answered within {} s", CALL_MAX.as_secs())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if said.is_empty() { output.status.to_string() } else { said })
}

/// Window and pane, as tmux was asked to say them.
fn ids(said: &str) -> Result<(String, String), String> {
    match said.split_once(' ') {
        Some((window, pane)) if window.starts_with('@') && pane.starts_with('%') => Ok((window.to_owned(), pane.to_owned())),
        _ => Err(format!("tmux names no window and pane, but {said:?}")),
    }
}

fn file_name(lease: &Lease) -> String {
    let key: String = lease.lease.key.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(100).collect();
    format!("{key}-{:x}.log", lease.lease.lease_id.0)
}

/// The window an attempt belongs to, and what stands above its log.
fn told_of(lease: &Lease) -> (String, String) {
    let TurnData { window, title, .. } = &lease.turn_data;
    let window = match (&lease.lease.key.unit, window.is_empty()) {
        (None, _) => RUN_WINDOW.to_owned(),
        (Some(unit), true) => format!("task-{unit}"),
        (Some(_), false) => window.clone(),
    };
    let heading = format!("── {} {title}: {} by {}", lease.lease.key, lease.role, lease.backend);
    // tmux reads `#` as the begin of a format, `:` and `.` as parts of a target.
    let window: String = window.chars().map(|c| if c.is_alphanumeric() || "_-".contains(c) { c } else { '-' }).take(40).collect();
    (window, roundtable_shared::text::one_line(&heading))
}

/// Writes events as they come, until the attempt is over and its last ones are written.
async fn copy(events: &AttemptSpool, file: &mut std::fs::File, mut over: oneshot::Receiver<()>) -> Result<(), SpoolError> {
    let mut watch = events.watch();
    let mut reader = events.reader(1)?;
    let (mut bytes, mut is_over) = (0, false);
    loop {
        let position = *watch.borrow_and_update();
        while bytes < LOG_BYTES_MAX && reader.next_seq() <= position.written_seq {
            for event in reader.read(position.written_seq)? {
                let text = serde_json::from_slice::<EventLine>(&event).ok().and_then(|line| line::text(&line.event));
                if let Some(text) = text {
                    bytes += text.len();
                    writeln!(file, "{text}")?;
                }
            }
        }
        if bytes >= LOG_BYTES_MAX {
            writeln!(file, "… the rest is in `orchctl logs`")?;
            if !is_over {
                let _ = over.await;
            }
            return Ok(());
        }
        if position.ended || is_over {
            return Ok(());
        }
        tokio::select! {
            changed = watch.changed() => if changed.is_err() { return Ok(()) },
            _ = &mut over => {
                is_over = true;
                // It may have none.
                let _ = tokio::time::timeout(LAST_WORDS_WITHIN, watch.wait_for(|position| position.ended)).await.is_ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tmux_would_take_for_something_else_are_refused() {
        assert!(is_session_name("roundtable") && is_session_name("rt_1-a"));
        for bad in ["", "-d", "a:b", "a.b", "a b", "#{pane_id}", "=x"] {
            assert!(!is_session_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_tmux_says_is_read_or_told() {
        assert_eq!(ids("@3 %7"), Ok(("@3".to_owned(), "%7".to_owned())));
        assert!(ids("can't create window").is_err_and(|why| why.contains("can't create")));
    }
}
