//! `orchctl doctor`: whether this machine has what a run needs. The agent CLIs are asked by a real call, as `worker doctor` does at length.

use std::path::Path;

use roundtable_runtime::fsx;
use roundtable_runtime::git::GitProgram;
use roundtable_runtime::lock::holder_of;

use super::{answer, print};
use crate::args::DoctorArgs;
use crate::check::{Check, State};
use crate::connect;
use crate::context::Context;
use crate::embed::probe_agents;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::paint::{Paint, Style};
use crate::output::text::{WIDTH, wrap};

/// What names get, so that those told later stand below those told first: `codex-review`.
const NAME_CHARS: usize = 12;

pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit> {
    let mut checks = vec![git().await, data_dir(&context.data_dir), coordinator(context).await, repository().await];
    if args.json.json {
        probe_agents(&context.config, args.offline, |check| checks.push(check)).await;
        answer(args.json, &checks, |checks, paint| text(checks, paint))?;
    } else {
        // Some CLIs take minutes to fail: what is known is told.
        let mut written = print(&text(&checks, Paint::stdout())).map(|_| ());
        probe_agents(&context.config, args.offline, |check| {
            if written.is_ok() {
                written = print(&text(std::slice::from_ref(&check), Paint::stdout())).map(|_| ());
            }
            checks.push(check);
        })
        .await;
        written?;
    }
    let is_bad = checks.iter().any(|check| check.state == State::Bad);
    Ok(if is_bad { Exit::Failed } else { Exit::Complete })
}

async fn git() -> Check {
    match GitProgram::find().await {
        Ok(program) => Check::new(State::Good, "git", format!("{} ({})", program.version(), program.path().display()), ""),
        Err(error) => Check::new(State::Bad, "git", error.to_string(), "install git 2.38 or newer"),
    }
}

fn data_dir(dir: &Path) -> Check {
    let probe = dir.join(format!(".doctor-{}", std::process::id()));
    let tried = fsx::create_dir_unless_there(dir)
        .and_then(|()| fsx::write_new(&probe, b"", fsx::PRIVATE))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Check::new(State::Good, "data dir", dir.display().to_string(), ""),
        Err(error) => {
            Check::new(State::Bad, "data dir", format!("{}: {error}", dir.display()), "make it writable, or name another with --data-dir")
        }
    }
}

async fn coordinator(context: &Context) -> Check {
    let name = "coordinator";
    match connect::find(context).await {
        Ok(Some(client)) => match client.info().await {
            Ok(info) => {
                let whose = if info.embedded { "inside an orchctl run" } else { "served" };
                Check::new(State::Good, name, format!("{} (pid {}, {whose}, version {})", client.url(), info.pid, info.version), "")
            }
            Err(failure) => Check::new(State::Bad, name, failure.what(), "look at its log"),
        },
        Ok(None) => match holder_of(&context.data_dir) {
            Some(holder) => Check::new(
                State::Bad,
                name,
                format!("{holder} holds the data dir, but does not answer"),
                format!("end it: kill {}", holder.pid),
            ),
            None => Check::new(State::Info, name, "none is running; `orchctl run` brings its own", ""),
        },
        Err(failure) => Check::new(State::Bad, name, failure.what(), "start it, or leave --coordinator out"),
    }
}

async fn repository() -> Check {
    match crate::workdir::Workdir::open(Path::new(".")).await {
        Ok(workdir) => {
            let branch = workdir.branch().unwrap_or_else(|| "a detached HEAD".to_owned());
            Check::new(State::Good, "repository", format!("{} on {branch}", workdir.repository.top().display()), "")
        }
        Err(failure) => Check::new(State::Info, "repository", failure.what(), ""),
    }
}

fn text(checks: &[Check], paint: Paint) -> String {
    let names = checks.iter().map(|check| check.name.len()).max().unwrap_or(0).max(NAME_CHARS);
    let indent = names + 4;
    let mut text = String::new();
    for check in checks {
        let (mark, style) = match check.state {
            State::Good => ("✓", Style::Good),
            State::Info => ("·", Style::Dim),
            State::Unusable | State::Bad => ("✗", Style::Problem),
        };
        let mut lines = wrap(&check.found, WIDTH - indent);
        if !check.next.is_empty() {
            lines.extend(wrap(&format!("next: {}", check.next), WIDTH - indent));
        }
        for (n, line) in lines.iter().enumerate() {
            let head = if n == 0 { format!("{} {:names$}", paint.style(style, mark), check.name) } else { " ".repeat(names + 2) };
            text.push_str(&format!("{head}  {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::width;

    #[test]
    fn what_is_wrong_says_what_to_do() {
        let checks = [
            Check::new(State::Good, "git", "2.47", ""),
            Check::new(
                State::Bad,
                "data dir",
                format!("/very/long/{}: permission denied", "path/".repeat(10)),
                "make it writable, or name another with --data-dir",
            ),
        ];
        let text = text(&checks, Paint::plain());
        assert!(text.contains("✗ data dir") && text.contains("next: make it writable"), "{text}");
        assert!(text.lines().all(|line| width(line) <= WIDTH + 20), "{text}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_bad() {
        assert_eq!(data_dir(Path::new("/proc/none/here")).state, State::Bad);
    }
}
