//! What the units start, by their own command lines: on a machine that has the programs where they are installed, as a user who has just been made and has
//! nothing, in the environment that systemd gives. No systemd runs.

use std::collections::BTreeMap;
use std::path::Path;

use roundtable_tests::harness::{Host, Network, Playbook, Process, Program, Signal, SpecText, binary};

use crate::repository;
use crate::systemd::{read, value, variables};

/// A user that no machine has.
const USER: &str = "47011";
const HOME: &str = "/home/user";
/// What systemd searches.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The programs are put where the units look for them, and the user's home and the machine's state are empty. All of it is this host's alone.
const PREPARE: &str = r#"
mkdir installed
for program in coordinator worker orchctl; do
    touch "installed/$program"
    mount --bind "$PROGRAMS/$program" "installed/$program"
done
mount --rbind installed /usr/local/bin
mount -t tmpfs -o mode=755 home /home
mount -t tmpfs -o mode=755 state /var/lib
install -d -m 700 -o "$OWNER" -g "$OWNER" "$HOME_DIR" /var/lib/roundtable
"#;

/// The user's project, and what its agents play.
const PROJECT: &str = r#"
mkdir -p repo/.specs/fresh
cd repo
printf %s "$TASKS" > .specs/fresh/tasks.md
printf %s "$PLAY" > ../play.json
git init --quiet --initial-branch=main
git add --all
git -c user.name=Ann -c user.email=ann@example.org commit --quiet --message Start
"#;

/// A machine with such a user.
struct Machine<'n> {
    host: &'n Host,
}

impl Machine<'_> {
    /// A command of that user, with these variables beside those that everybody has.
    fn as_user(&self, variables: &BTreeMap<String, String>, command: &[&str]) -> Program {
        let setpriv = self.host.foreign(Path::new("/usr/bin/setpriv"));
        let start = setpriv.args(["--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs", "--", "env", "-i"]);
        let own = [("HOME", HOME), ("USER", "user"), ("LOGNAME", "user"), ("SHELL", "/bin/sh"), ("PATH", PATH), ("LANG", "C.UTF-8")];
        let own = own.map(|(name, value)| format!("{name}={value}"));
        let more = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let all: Vec<String> = own.into_iter().chain(more).collect();
        // As the units' UMask says.
        let within = ["/bin/sh", "-c", "umask 0077; cd; exec \"$@\"", "sh"];
        start.args(all.iter().map(String::as_str)).args(within).args(command.iter().copied())
    }

    /// Starts what a unit starts.
    fn start(&self, unit: &str, config: &str, more: &[(&str, &str)]) -> Process {
        let text = read(unit);
        let command = value(&text, "ExecStart").replace("%E", config);
        assert!(!command.contains(['%', '"', '\'', '$']), "only plain words are understood here: {command}");
        assert_eq!(value(&text, "UMask"), "0077");
        let file = value(&text, "EnvironmentFile").trim_start_matches('-').replace("%E", config);
        // What an administrator finds there at first.
        let sample = Path::new(&file).file_name().unwrap().to_str().unwrap();
        assert_eq!(file, format!("{config}/roundtable/{sample}"));
        let mut set = variables(&std::fs::read_to_string(repository(&format!("deploy/config/{sample}"))).unwrap());
        set.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        set.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.as_user(&set, &command.split(' ').collect::<Vec<_>>()).start()
    }
}

/// A coordinator and two workers of these units, a run on them, and their end.
fn works_together(units: &str, config: &str, data_dir: &[&str]) {
    let network = Network::new(["machine"]);
    let host = network.host("machine");
    let programs = binary("worker").parent().unwrap().display().to_string();
    let prepare = host.types(&format!("set -e\n{PREPARE}")).env("PATH", PATH);
    prepare.env("PROGRAMS", &programs).env("OWNER", USER).env("HOME_DIR", HOME).run().expect(0);
    let machine = Machine { host };
    let play = std::fs::read_to_string(Playbook::new().write(&host.path("play.json"))).unwrap();
    let texts = BTreeMap::from([("TASKS".to_owned(), SpecText::parallel("fresh", 4).tasks), ("PLAY".to_owned(), play)]);
    let none = BTreeMap::new();
    let empty = machine.as_user(&none, &["ls", "-A"]).run().expect(0);
    assert_eq!(empty.stdout, "", "a clean home");
    machine.as_user(&texts, &["/bin/sh", "-ec", PROJECT]).run().expect(0);

    let mut served = machine.start(&format!("{units}/roundtable-coordinator.service"), config, &[]);
    served.wait_for_stderr("ready");
    // The sample serves codex, which is played.
    let played = [("ROUNDTABLE_JOIN_BACKEND_PATH", "codex=scripted:/home/user/play.json")];
    let workers: Vec<Process> = (0..2)
        .map(|_| {
            let mut worker = machine.start(&format!("{units}/roundtable-worker.service"), config, &played);
            worker.wait_for_stderr("joined");
            worker
        })
        .collect();
    let orchctl = |words: &str| {
        let line = format!("cd repo && exec orchctl {words} \"$@\"");
        let command = ["/bin/sh", "-c", line.as_str(), "sh"];
        machine.as_user(&none, &command.iter().chain(data_dir).copied().collect::<Vec<_>>()).run()
    };
    let done = orchctl("run --mode deterministic --json --spec .specs/fresh").expect(0).json();
    assert_eq!((done["status"].as_str(), &done["counts"]["completed"]), (Some("complete"), &4.into()), "{done:#}");
    let known = orchctl("workers --json").expect(0).json();
    assert_eq!(known.as_array().map(Vec::len), Some(2), "{known:#}");
    for process in workers.into_iter().chain([served]) {
        host.signal(&process, Signal::TERM);
        process.wait().expect(0);
    }
    // Nothing of it is anybody else's, or to be read by them.
    let kept = data_dir.last().copied().unwrap_or("/home/user/.local/state/roundtable");
    let open =
        machine.as_user(&none, &["find", kept, "(", "!", "-user", USER, "-o", "-perm", "/077", "!", "-type", "l", ")"]).run().expect(0);
    assert_eq!(open.stdout, "", "open to others");
}

#[test]
#[ignore = "needs root and namespaces: .ci/run test runs it where it may"]
fn the_machines_units_serve_a_user_who_has_just_been_made() {
    works_together("deploy/systemd", "/etc", &["--data-dir", "/var/lib/roundtable"]);
}

#[test]
#[ignore = "needs root and namespaces: .ci/run test runs it where it may"]
fn a_users_own_units_do_too() {
    works_together("deploy/systemd/user", "/home/user/.config", &[]);
}
