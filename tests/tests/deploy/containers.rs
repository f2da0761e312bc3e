//! The Containerfiles: what they say, and their steps run one after the other in a folder of the Debian they begin with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use roundtable_tests::harness::binary;

use crate::commands::check_command;
use crate::repository;

const PROGRAMS: [&str; 3] = ["coordinator", "worker", "orchctl"];

/// An instruction and the rest of its line.
type Step = (String, String);

/// The steps of a Containerfile; comments and blank lines are none.
fn steps(program: &str) -> Vec<Step> {
    let text = std::fs::read_to_string(repository(&format!("deploy/containers/{program}.Containerfile"))).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{line}")))
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

/// The last value of an instruction.
fn last<'s>(steps: &'s [Step], word: &str) -> &'s str {
    steps.iter().rev().find(|(name, _)| name == word).map_or_else(|| panic!("no {word}"), |(_, rest)| rest.as_str())
}

/// The words of an instruction in its exec form.
fn exec(steps: &[Step], word: &str) -> Vec<String> {
    serde_json::from_str(last(steps, word)).unwrap_or_else(|error| panic!("{word} is not in its exec form: {error}"))
}

#[test]
fn each_holds_one_program_and_runs_it_as_nobody_special() {
    for program in PROGRAMS {
        let steps = steps(program);
        assert_eq!(steps[0], ("FROM".to_owned(), "debian:bookworm-slim".to_owned()));
        let known = ["FROM", "RUN", "COPY", "ENV", "VOLUME", "EXPOSE", "USER", "WORKDIR", "ENTRYPOINT", "CMD"];
        assert!(steps.iter().all(|(word, _)| known.contains(&word.as_str())), "{steps:?}");
        let copied: Vec<&str> = steps.iter().filter(|(word, _)| word == "COPY").map(|(_, rest)| rest.as_str()).collect();
        assert_eq!(copied, [format!("{program} /usr/local/bin/{program}")]);
        assert_eq!(last(&steps, "USER"), "10001:10001");
        assert_eq!(exec(&steps, "ENTRYPOINT"), ["tini", "--", program]);
        let command = exec(&steps, "CMD");
        if program != "orchctl" {
            check_command(program, &command.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

/// A folder of Debian in which steps are run, with what they have set so far.
struct Image {
    dir: tempfile::TempDir,
    user: String,
    environment: Vec<(String, String)>,
}

/// What the images begin with, as far as its packages go.
fn debian(release: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("debootstrap").args(["--variant=minbase", release]).arg(dir.path().join("root")).output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    dir
}

impl Image {
    /// A copy of what it begins with.
    fn from(base: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new("cp").arg("-a").arg(base.join("root")).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { dir, user: "0:0".to_owned(), environment: Vec::new() }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("root").join(inside.trim_start_matches('/'))
    }

    /// A command within, in namespaces of its own, so that nothing it mounts or starts outlives it.
    fn run(&self, command: &[&str]) -> Output {
        let script = r#"mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; root=$1 user=$2; shift 2; exec chroot --userspec="$user" "$root" "$@""#;
        let mut within = Command::new("unshare");
        within.args(["--mount", "--pid", "--fork", "sh", "-euc", script, "sh"]).arg(self.path("")).arg(&self.user).args(command);
        within.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        within.envs(self.environment.iter().map(|(name, value)| (name, value)));
        within.output().unwrap()
    }

    /// The same; what it said, if it ended well.
    #[track_caller]
    fn expect(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
        said
    }

    fn step(&mut self, word: &str, rest: &str) {
        match word {
            "RUN" => drop(self.expect(&["sh", "-c", rest])),
            "COPY" => {
                let (from, to) = rest.split_once(' ').unwrap();
                let (from, to) = (binary(from), self.path(to));
                std::fs::copy(&from, &to).unwrap_or_else(|error| panic!("{} to {}: {error}", from.display(), to.display()));
            }
            "ENV" => self.environment.extend(rest.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))),
            "USER" => {
                rest.clone_into(&mut self.user);
                // A runtime takes it from the image's users.
                let users = std::fs::read_to_string(self.path("/etc/passwd")).unwrap();
                let id = rest.split(':').next().unwrap();
                let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[2] == id);
                self.environment.push(("HOME".to_owned(), fields.unwrap()[5].to_owned()));
            }
            // What is said of volumes, ports and commands is the runtime's.
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs root, debootstrap and a mirror of Debian"]
fn their_steps_give_images_whose_programs_run() {
    let base = debian("bookworm");
    for program in PROGRAMS {
        let steps = steps(program);
        let mut image = Image::from(base.path());
        steps.iter().for_each(|(word, rest)| image.step(word, rest));
        let entry = exec(&steps, "ENTRYPOINT");
        let with = |before: &[&str], after: &[&str]| {
            let words = before.iter().copied().chain(entry.iter().map(String::as_str)).chain(after.iter().copied());
            image.expect(&words.collect::<Vec<_>>())
        };
        assert!(with(&[], &["--version"]).contains("protocol"));
        match program {
            // It is told to end after a while, and does.
            "coordinator" => {
                let said = with(&["timeout", "--preserve-status", "20"], &["serve", "--listen", "127.0.0.1:0"]);
                assert!(said.lines().any(|line| line == "ready"), "{said}");
            }
            "worker" => assert!(image.expect(&["git", "--version"]).contains("git version")),
            _ => drop(with(&[], &["demo"])),
        }
    }
}
