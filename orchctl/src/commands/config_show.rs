//! `orchctl config show`: what holds here, and where each value comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use roundtable_runtime::config::{Config, Home, Sources, other_names};
use roundtable_runtime::git::GitProgram;
use roundtable_runtime::identity::Profiles;
use roundtable_runtime::telemetry::LogFormat;
use serde::Serialize;

use super::{answer, warn};
use crate::args::{ConfigShowArgs, command, variables};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::paint::{Paint, Style};
use crate::output::table::{Cell, Table};
use crate::output::text::duration;
use crate::settings::load;

/// The flag whose value lets its bearer in.
const SECRET: &str = "token";

/// The configuration as a whole.
#[derive(Serialize)]
struct ConfigView {
    files: Vec<FileView>,
    values: Vec<ValueView>,
}

/// A file that is read.
#[derive(Serialize)]
struct FileView {
    layer: &'static str,
    path: PathBuf,
    exists: bool,
}

/// A value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct ValueView {
    key: String,
    value: String,
    from: &'static str,
}

pub(super) async fn run(context: &Context, args: &ConfigShowArgs) -> Result<Exit> {
    let repository = match GitProgram::find().await {
        Ok(program) => program.discover(&args.workdir).await.ok().map(|repository| repository.top().to_owned()),
        Err(_) => None,
    };
    let all = Sources { repository: repository.clone(), ..context.sources.clone() };
    let mut layers = Vec::new();
    for (name, sources) in layers_of(&all) {
        layers.push((name, flatten(&load(&sources)?)));
    }
    let merged = load(&all)?;
    for warning in &merged.warnings {
        warn(warning);
    }
    let mut values = values(&layers, &environment());
    if !values.iter().any(|value| value.key == "data_dir") {
        values.insert(0, ValueView { key: "data_dir".into(), value: context.data_dir.to_string_lossy().into_owned(), from: "default" });
    }
    if !values.iter().any(|value| value.key == "profile")
        && let Ok(Some(last)) = Profiles::of(&context.data_dir).last()
    {
        values.insert(0, ValueView { key: "profile".into(), value: format!("{} ({})", last.name, last.url), from: "last login" });
    }
    let view = ConfigView { files: files(&all), values };
    answer(args.json, &view, text)?;
    Ok(Exit::Complete)
}

/// Each layer alone, the one that wins first.
fn layers_of(all: &Sources) -> [(&'static str, Sources); 3] {
    [
        ("--config", Sources { explicit: all.explicit.clone(), ..Sources::default() }),
        ("repository", Sources { repository: all.repository.clone(), ..Sources::default() }),
        ("user", Sources { user: all.user.clone(), ..Sources::default() }),
    ]
}

fn files(all: &Sources) -> Vec<FileView> {
    let file = |layer, path: Option<PathBuf>| path.map(|path| FileView { layer, exists: path.is_file(), path });
    let repository = all.repository.as_ref().map(|top| top.join("roundtable.toml"));
    [file("--config", all.explicit.clone()), file("repository", repository), file("user", all.user.clone())].into_iter().flatten().collect()
}

/// The value of each key with the layer it comes from; the environment goes before all files.
fn values(layers: &[(&'static str, BTreeMap<String, String>)], environment: &BTreeMap<String, String>) -> Vec<ValueView> {
    let mut found: BTreeMap<String, ValueView> = BTreeMap::new();
    for (from, values) in layers.iter().rev() {
        for (key, value) in values {
            other_names(key).filter(|other| !values.contains_key(*other)).for_each(|other| drop(found.remove(other)));
            found.insert(key.clone(), ValueView { key: key.clone(), value: value.clone(), from });
        }
    }
    for (key, value) in environment {
        other_names(key).for_each(|other| drop(found.remove(other)));
        found.insert(key.clone(), ValueView { key: key.clone(), value: value.clone(), from: "environment" });
    }
    found.into_values().collect()
}

/// Variables that are set, under the keys files would use.
fn environment() -> BTreeMap<String, String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    variables(&command()).into_iter().filter_map(|(key, name)| set(&name).map(|value| (key, value))).collect()
}

fn flatten(config: &Config) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let mut put = |key: String, value: Option<String>| {
        if let Some(value) = value {
            values.insert(key, value);
        }
    };
    put("coordinator".into(), config.coordinator.clone());
    put("profile".into(), config.profile.clone());
    put("data_dir".into(), config.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()));
    put("log_format".into(), config.log_format.map(|format| if format == LogFormat::Json { "json".into() } else { "text".into() }));
    put("setup".into(), config.setup.clone());
    put("copy".into(), config.copy.as_ref().map(|paths| paths.join(", ")));
    put("check".into(), config.check.clone());
    for key in roundtable_runtime::config::Limits::KEYS {
        put(format!("limits.{key}"), config.limits.get(key).map(duration));
    }
    for (name, backend) in &config.backends {
        let key = |key: &str| format!("backend.{name}.{key}");
        put(key("command"), backend.command.clone());
        put(key("args"), backend.args.as_ref().map(|args| args.join(" ")));
        put(key("model"), backend.model.clone());
        put(key("effort"), backend.effort.clone());
        put(key("env"), backend.env.as_ref().map(|names| names.join(", ")));
        put(key("home"), backend.home.map(|home| if home == Home::Isolated { "isolated".into() } else { "in-place".into() }));
    }
    for (command, flags) in &config.flags {
        for (flag, given) in flags {
            let shown = if flag == SECRET { "(not shown)".to_owned() } else { given.join(",") };
            put(format!("{command}.{flag}"), Some(shown));
        }
    }
    values
}

fn text(view: &ConfigView, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.style(Style::Dim, "files, the first that says something wins"));
    for file in &view.files {
        let absent = if file.exists { "" } else { "  (absent)" };
        text.push_str(&format!("  {:<11} {}{}\n", file.layer, file.path.display(), paint.style(Style::Dim, absent)));
    }
    let mut table = Table::new(["key", "value", "from"], 1);
    for value in &view.values {
        table.row([Cell::new(Style::Strong, value.key.clone()), value.value.clone().into(), Cell::new(Style::Dim, value.from)]);
    }
    text.push('\n');
    text.push_str(&table.render(paint));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_file_is_named_and_not_shown() {
        let mut config = Config::default();
        config.flags.entry("join".to_owned()).or_default().insert("token".to_owned(), vec!["hush".to_owned()]);
        assert_eq!(flatten(&config), BTreeMap::from([("join.token".to_owned(), "(not shown)".to_owned())]));
    }

    #[test]
    fn each_value_says_where_it_comes_from() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
        let layers = [
            ("--config", map(&[("check", "a")])),
            ("repository", map(&[("check", "b"), ("setup", "s")])),
            ("user", map(&[("run.mode", "llm"), ("setup", "u"), ("run.check", "c")])),
        ];
        let found = values(&layers, &map(&[("run.mode", "legacy")]));
        let of = |key: &str| found.iter().find(|value| value.key == key).map(|value| (value.value.as_str(), value.from));
        assert_eq!(of("check"), Some(("a", "--config")));
        assert_eq!(of("run.check"), None, "the same option, said with more weight");
        assert_eq!(of("setup"), Some(("s", "repository")));
        assert_eq!(of("run.mode"), Some(("legacy", "environment")));
    }
}
