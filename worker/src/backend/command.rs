//! Backends a user configures: `[backend.NAME] command, args`. The prompt goes to stdin (or to the file `{prompt_file}` names), the final JSON
//! comes from stdout, exit status 0 is success. A program may also print our event lines.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use roundtable_shared::BackendName;

use super::discover::{Program, look_up, resolve};
use super::event_stream::EventStream;
use super::host::{BackendConfig, Host};
use super::{Backend, BackendError, Capabilities, Invocation, Resume, StreamParser, Turn};

/// The adapter.
pub(super) struct Command {
    name: BackendName,
    program: Program,
    config: BackendConfig,
    host: Arc<Host>,
}

impl Command {
    pub(super) fn open(name: &str, host: Arc<Host>) -> Result<Self, BackendError> {
        let config = host.config(name).unwrap_or_default();
        let Some(command) = host.paths.get(name).or(config.command.as_ref()) else {
            return Err(match host.config(name) {
                Some(_) => {
                    BackendError::BadConfig { backend: name.to_owned(), why: "has no `command`: name the program to run".to_owned() }
                }
                None => BackendError::Unknown { name: name.to_owned() },
            });
        };
        let path_var = host.var("PATH");
        let program = look_up(command, path_var).and_then(|found| resolve(name, found, path_var));
        let program = program.ok_or_else(|| BackendError::NotFound { backend: name.to_owned(), program: command.clone() })?;
        Ok(Self { name: name.into(), program, config, host })
    }
}

impl Backend for Command {
    fn name(&self) -> &BackendName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { resume: Resume::Never, read_only: false, schema: false, shell_in_review: true }
    }

    fn account(&self) -> String {
        format!("{}:default", self.name)
    }

    fn version_invocation(&self) -> Option<Invocation> {
        // What `--version` would do with a strange program, nobody knows.
        None
    }

    fn read_version(&self, _stdout: &str) -> Option<String> {
        None
    }

    fn invocation(&self, turn: &Turn) -> Result<Invocation, BackendError> {
        let prompt_file = turn.scratch.join("prompt.md");
        let schema_file = turn.scratch.join("schema.json");
        let model = turn.model.as_ref().or(self.config.model.as_ref()).map_or("", String::as_str);
        let effort = turn.effort.as_ref().or(self.config.effort.as_ref()).map_or("", String::as_str);
        let values: [(&str, &Path); 5] = [
            ("{prompt_file}", &prompt_file),
            ("{schema_file}", &schema_file),
            ("{worktree}", &turn.worktree),
            ("{model}", Path::new(model)),
            ("{effort}", Path::new(effort)),
        ];
        let mut args = self.program.args.clone();
        args.extend(self.config.args.iter().map(|arg| fill(arg, &values)));
        let mut invocation = self.host.invocation(&self.program, args, turn, &[], &self.config);
        let names = |place: &str| self.config.args.iter().any(|arg| arg.contains(place));
        if names("{prompt_file}") {
            invocation.files.push((prompt_file, turn.prompt.clone().into_bytes()));
        } else {
            invocation.stdin = turn.prompt.clone().into_bytes();
        }
        if names("{schema_file}") {
            let schema = turn.schema.clone().unwrap_or_else(|| "{}".to_owned());
            invocation.files.push((schema_file, schema.into_bytes()));
        }
        Ok(invocation)
    }

    fn parser(&self, turn: &Turn) -> Box<dyn StreamParser> {
        Box::new(EventStream::new(self.name.as_str(), turn, true))
    }
}

/// An argument with its placeholders filled in, once and from left to right: what is put in is not searched again.
fn fill(arg: &str, values: &[(&str, &Path)]) -> OsString {
    let mut out = OsString::new();
    let mut rest = arg;
    while let Some((at, place, value)) =
        values.iter().filter_map(|(place, value)| Some((rest.find(place)?, *place, *value))).min_by_key(|found| found.0)
    {
        out.push(&rest[..at]);
        out.push(value);
        rest = &rest[at + place.len()..];
    }
    out.push(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let values: [(&str, &Path); 2] = [("{prompt_file}", Path::new("/s/{worktree}")), ("{worktree}", Path::new("/w"))];
        assert_eq!(fill("--in={prompt_file},{worktree}/{worktree}{x}", &values), "--in=/s/{worktree},/w//w{x}");
        assert_eq!(fill("", &values), "");
    }
}
