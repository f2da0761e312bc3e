//! The command line of `coordinator`. Parsing only.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use roundtable_runtime::tls;
use roundtable_shared::{AccessRole, text};
use rustls::pki_types::ServerName;

/// Owns the state of runs: plans, grants, reviews, integrates.
#[derive(Parser, Debug)]
#[command(name = "coordinator", version = crate::VERSION_LONG, about, long_about = None, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 80)]
pub struct Cli {
    /// Form of log lines on stderr, text or json [default: text]
    #[arg(long, value_enum, value_name = "FORM", hide_possible_values = true, global = true, help_heading = "Global options")]
    pub log_format: Option<LogFormat>,
    /// Configuration file that goes before the user's
    #[arg(long, value_name = "FILE", global = true, help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  coordinator serve                      on 127.0.0.1:7420; workers and orchctl
                                         of this user find it by themselves
  coordinator serve --data-dir /srv/rt   keep everything in /srv/rt
  coordinator token create --role worker one line to paste on another host
  coordinator revoke build-7             cut a worker or a person off
  coordinator audit                      who did what, and who was refused
  coordinator verify                     check log, events and repositories
  coordinator backup /mnt/monday.tar     all of it in one file, also while it
                                         is served

Every flag can also come from the environment as ROUNDTABLE_<COMMAND>_<FLAG>
(ROUNDTABLE_DATA_DIR, ROUNDTABLE_CONFIG and ROUNDTABLE_LOG_FORMAT for all
commands), or from the command's table in a configuration file.

Exit codes: 0 ended as asked, 1 failed, 3 usage, 5 refused, 6 data dir held by
another.";

const SERVE_EXAMPLES: &str = "\
Examples:
  coordinator serve
  coordinator serve --listen 127.0.0.1:0          a free port
  coordinator serve --data-dir /srv/roundtable    keep everything there
  coordinator serve --listen 0.0.0.0:7420         for other hosts too
  coordinator serve --listen 0.0.0.0:7420 --advertise rt.example:443
                                                  behind a forwarded port
  coordinator serve --http 127.0.0.1:7421         /healthz, /readyz, /metrics
  ROUNDTABLE_SERVE_LISTEN=127.0.0.1:7500 coordinator serve

In a configuration file:
  data_dir = \"/srv/roundtable\"
  [serve]
  listen = \"127.0.0.1:7500\"
  keep-runs = \"30d\"";

const VERIFY_EXAMPLES: &str = "\
Examples:
  coordinator verify                              exit 1 names what is bad
  coordinator verify --data-dir /srv/roundtable --json
  coordinator verify /mnt/monday.tar              a backup: every byte of it

Every row of the log, every event, and every object of the repositories is read;
nothing is changed. Beside one who serves it, what is being written may show as missing.";

const TOKEN_EXAMPLES: &str = "\
Examples:
  coordinator token create --role worker
  coordinator token create --role worker --uses 20 --ttl 24h --ephemeral
  coordinator token create --role operator --json
  coordinator token list
  coordinator token revoke 4f2a91c07d

`create` prints one line to paste on another host: the token lets in as many
hosts as it has uses, within its time. It is a secret until then.";

const WORKER_EXAMPLES: &str = "\
Examples:
  coordinator worker add --key 9b74c989…          as `worker keygen` prints it
  coordinator worker add --key 9b74c989… --name build-7 --label zone=a";

const REVOKE_EXAMPLES: &str = "\
Examples:
  coordinator revoke build-7                      a worker
  coordinator revoke operator/ada                 where the name alone is not clear

Its connections are cut within a second, what it holds is given to others, and
its certificates are refused.";

const ROOT_EXAMPLES: &str = "\
Examples:
  coordinator root show                           the digest tokens and --pin name
  coordinator root next                           make the next one known
  coordinator root switch                         a day later: let it sign
  coordinator root drop                           a month later: forget the former

Whoever has renewed in between notices nothing; nothing is started again.";

const AUDIT_EXAMPLES: &str = "\
Examples:
  coordinator audit                               oldest first
  coordinator audit --follow                      and what comes from now on
  coordinator audit --json | jq '.[] | select(.kind != \"command\")'

Each command of a person is recorded before it is done, each refusal before it
is told. Looks are not. Every record bears the hash of all before it.";

const BACKUP_EXAMPLES: &str = "\
Examples:
  coordinator backup /mnt/monday.tar
  coordinator backup /mnt/monday.tar --data-dir /srv/roundtable
  coordinator verify /mnt/monday.tar

The file must not be there yet; it is made in a folder FILE.making beside it. It
holds the log, events, prompts, repositories, files under `copy` of runs that
have not ended, and the keys by which workers and people are known: keep it as
safe as the data directory. What was copied is verified before it is packed, and
read again afterwards; exit 1 names what is bad, and leaves no file.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  coordinator restore /mnt/monday.tar --data-dir /srv/roundtable
  coordinator restore /mnt/monday.tar --replace     put aside what is there

The restored log goes on under a new name, by which workers notice: they offer
again what they delivered after the backup was made, and stop what it does not
know of. It does not know of revocations since then either: what to do about
that is printed.";

const INSTALL_EXAMPLES: &str = "\
Examples:
  sudo coordinator install --user roundtable    from the boot on, as that user
  coordinator install                           your own, while you are logged
                                                in (or: loginctl enable-linger)
  coordinator install --print                   only show the unit

Its flags stand in coordinator.env, in /etc/roundtable or ~/.config/roundtable.";

/// Log formats.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve until stopped (SIGTERM drains)
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Make, list and revoke join tokens
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(TokenArgs),
    /// Admit workers by their key
    #[command(after_help = WORKER_EXAMPLES)]
    Worker(WorkerArgs),
    /// Refuse a worker or a person from now on
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke(RevokeArgs),
    /// Change the root that all certificates come from
    #[command(after_help = ROOT_EXAMPLES)]
    Root(RootArgs),
    /// Show what people did, and what was refused to whom
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(AuditArgs),
    /// Check the integrity of a data directory
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Copy a data directory into one file, also while it is served
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Make a data directory of a backup
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Write a systemd unit that keeps `serve` running, and enable it
    #[command(after_help = INSTALL_EXAMPLES)]
    Install(InstallArgs),
}

/// `coordinator serve`.
#[derive(Args, Debug, Clone)]
pub struct ServeArgs {
    /// Address to listen on; always TLS
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7420")]
    pub listen: SocketAddr,
    /// How others reach it; again for more [default: the names of --hostname and
    /// this host's own addresses, where it listens for others]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = advertised)]
    pub advertise: Vec<String>,
    /// Name or address of this host, for the certificate; again for more
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = hostname)]
    pub hostname: Vec<String>,
    /// Address for /healthz, /readyz and /metrics; plain HTTP on loopback, else
    /// TLS, with /metrics for viewers' certificates [default: none]
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<SocketAddr>,
    /// Certificate chain for --http, PEM
    #[arg(long, value_name = "FILE", requires = "http")]
    pub http_cert: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "http")]
    pub http_key: Option<PathBuf>,
    /// Everything it keeps [default: $XDG_STATE_HOME/roundtable, else
    /// ~/.local/state/roundtable]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Remove the files of runs that ended longer ago, e.g. 30d; never of a complete one
    /// that nobody has accepted [default: keep them]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub keep_runs: Option<Duration>,
    /// Remove the files of the oldest ended runs while events and prompts take more,
    /// e.g. 20GiB [default: keep them]
    #[arg(long, value_name = "SIZE", value_parser = text::parse_bytes)]
    pub keep_bytes: Option<u64>,
    /// Largest pack taken from a worker or a person [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = text::parse_bytes)]
    pub pack_bytes: Option<u64>,
    /// Keep at most so much of large packs that are on their way [default: 16GiB]
    #[arg(long, value_name = "SIZE", value_parser = text::parse_bytes)]
    pub incoming_bytes: Option<u64>,
    /// What runs on a drained worker may go on so long [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub drain_limit: Option<Duration>,
    /// Most connections at once; each takes a file of this process's limit, of which
    /// half are for connections [default: 4096]
    #[arg(long, value_name = "N")]
    pub connections: Option<usize>,
    /// Of those, from one address other than loopback [default: 64]
    #[arg(long, value_name = "N")]
    pub connections_per_address: Option<usize>,
    /// Most units of a plan that is submitted; each takes memory here, also while it
    /// waits [default: 100000]
    #[arg(long, value_name = "N")]
    pub units_max: Option<usize>,
}

/// `coordinator audit`.
#[derive(Args, Debug, Clone)]
pub struct AuditArgs {
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Go on with what comes
    #[arg(long)]
    pub follow: bool,
    /// One JSON value; with --follow one a line
    #[arg(long)]
    pub json: bool,
}

/// `coordinator verify`.
#[derive(Args, Debug, Clone)]
pub struct VerifyArgs {
    /// A backup, instead of a data directory
    #[arg(value_name = "FILE")]
    pub backup: Option<PathBuf>,
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long)]
    pub json: bool,
}

/// `coordinator token`.
#[derive(Args, Debug, Clone)]
#[command(disable_help_subcommand = true)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long, global = true)]
    pub json: bool,
}

/// Its commands.
#[derive(Subcommand, Debug, Clone)]
pub enum TokenCommand {
    /// Make one and print the line to paste
    Create(CreateArgs),
    /// Show all, also for a day after their end
    List,
    /// Let nobody in by it any more
    Revoke {
        /// Its id
        id: String,
    },
}

/// `coordinator token create`.
#[derive(Args, Debug, Clone)]
pub struct CreateArgs {
    /// What its bearers come in as: worker, operator, viewer or admin
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    pub role: AccessRole,
    /// How long it may be used, at most 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub ttl: Duration,
    /// How many hosts it lets in
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub uses: u32,
    /// Label of workers that come in by it, any number of them
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    pub labels: Vec<(String, String)>,
    /// A worker's identity ends when it leaves or is lost
    #[arg(long)]
    pub ephemeral: bool,
}

/// `coordinator worker`.
#[derive(Args, Debug, Clone)]
#[command(disable_help_subcommand = true)]
pub struct WorkerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: WorkerCommand,
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long, global = true)]
    pub json: bool,
}

/// Its commands.
#[derive(Subcommand, Debug, Clone)]
pub enum WorkerCommand {
    /// Admit the worker with this key, without a secret on the way
    Add {
        /// SHA-256 of its public key, as `worker keygen` prints it
        #[arg(long, value_name = "FINGERPRINT")]
        key: String,
        /// Its name [default: the one it asks for]
        #[arg(long)]
        name: Option<String>,
        /// Label it gets, any number of them
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
        labels: Vec<(String, String)>,
    },
}

/// `coordinator revoke`.
#[derive(Args, Debug, Clone)]
pub struct RevokeArgs {
    /// Its id, or role/ID
    pub id: String,
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long)]
    pub json: bool,
}

/// `coordinator root`.
#[derive(Args, Debug, Clone)]
#[command(disable_help_subcommand = true)]
pub struct RootArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RootCommand,
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long, global = true)]
    pub json: bool,
}

/// Its commands.
#[derive(Subcommand, Debug, Clone)]
pub enum RootCommand {
    /// Show the digest of the root that signs, and of the next
    Show,
    /// Make the next root; it is handed out with each certificate
    Next,
    /// Let the next root sign
    Switch {
        /// Also within a day of `next`: whoever has not renewed has to join anew
        #[arg(long)]
        early: bool,
    },
    /// Believe in the former root no more
    Drop {
        /// Also within a month of `switch`: whoever has not renewed since has to
        /// join anew
        #[arg(long)]
        early: bool,
    },
}

fn parse_role(text: &str) -> Result<AccessRole, String> {
    AccessRole::parse(text).ok_or_else(|| "write worker, operator, viewer or admin".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write e.g. 30m, 24h or 30d"))
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not of the form KEY=VALUE")),
    }
}

/// `HOST:PORT` that others can go to.
fn advertised(text: &str) -> Result<String, String> {
    let place = tls::authority(text).map_err(|_| "write HOST:PORT, for example rt.example:7420 or [2001:db8::1]:7420".to_owned())?;
    let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host).trim_matches(['[', ']']);
    hostname(host)?;
    Ok(place)
}

/// A name or address of a host that others can go to, as a certificate can bear it.
fn hostname(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(ServerName::IpAddress(address)) if IpAddr::from(address).is_unspecified() => {
            Err("that stands for every address and is none that others can go to; name one".to_owned())
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("that is no name of a host, nor an address".to_owned()),
    }
}

/// `coordinator backup`.
#[derive(Args, Debug, Clone)]
pub struct BackupArgs {
    /// File for the backup, a tar
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long)]
    pub json: bool,
}

/// `coordinator restore`.
#[derive(Args, Debug, Clone)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
    /// The data directory to be made [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Put aside what the data directory holds, in a folder `replaced-N` of it
    #[arg(long)]
    pub replace: bool,
    /// One JSON value
    #[arg(long)]
    pub json: bool,
}

/// `coordinator install`.
#[derive(Args, Debug, Clone)]
pub struct InstallArgs {
    /// User it runs as; needed by root, and for root only
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Everything it keeps [default: /var/lib/roundtable, or that of `serve`
    /// for a unit of your own]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Write the unit to standard output, and nothing else
    #[arg(long)]
    pub print: bool,
}

impl From<LogFormat> for roundtable_runtime::telemetry::LogFormat {
    fn from(form: LogFormat) -> Self {
        match form {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_help_fits_a_terminal() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let mut all = Cli::command();
        all.build();
        let mut texts = vec![all.render_long_help().to_string()];
        texts.extend(all.get_subcommands_mut().map(|sub| sub.render_long_help().to_string()));
        let nested = all.get_subcommands_mut().flat_map(|sub| sub.get_subcommands_mut()).map(|sub| sub.render_long_help().to_string());
        let nested: Vec<String> = nested.collect();
        assert!(nested.len() >= 4 && nested.iter().flat_map(|text| text.lines()).all(|line| line.chars().count() <= 80), "{nested:?}");
        for text in texts {
            assert!(text.contains("Examples:"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
        assert!(Cli::try_parse_from(["coordinator", "serve", "--store", "sqlite:x"]).is_err(), "not built yet");
        let made =
            Cli::try_parse_from(["coordinator", "token", "create", "--role", "worker", "--label", "a=b", "--data-dir", "/x", "--json"]);
        let Command::Token(TokenArgs { command: TokenCommand::Create(create), data_dir, json }) = made.unwrap().command else {
            panic!("token")
        };
        assert_eq!(
            (create.uses, create.ttl, create.labels.len(), data_dir, json),
            (1, Duration::from_secs(3600), 1, Some("/x".into()), true)
        );
        let refused = Cli::try_parse_from(["coordinator", "token", "create", "--role", "king"]).unwrap_err().to_string();
        assert!(refused.contains("worker, operator, viewer or admin"), "{refused}");
    }

    #[test]
    fn places_for_others_are_checked_where_they_are_typed() {
        let parse = |args: &[&str]| Cli::try_parse_from(["coordinator", "serve"].iter().chain(args));
        let typed = ["--advertise", "rt.example:443,https://[2001:db8::1]:7420", "--hostname", "rt.internal", "--hostname", "10.1.2.3"];
        let Command::Serve(serve) = parse(&typed).unwrap().command else { panic!("serve") };
        assert_eq!(serve.advertise, ["rt.example:443", "[2001:db8::1]:7420"]);
        assert_eq!(serve.hostname, ["rt.internal", "10.1.2.3"]);
        for bad in ["rt.example", "rt.example:0", "0.0.0.0:7420", "[::]:7420", "", "u@h:1", "a b:1", "h:1/path", "*:7420"] {
            assert!(parse(&["--advertise", bad]).is_err(), "{bad:?}");
        }
        for bad in ["0.0.0.0", "::", "", "a b", "h:1", "-h-", "*.example"] {
            assert!(parse(&[&format!("--hostname={bad}")]).is_err(), "{bad:?}");
        }
    }
}
