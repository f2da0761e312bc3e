//! What the model does next, whichever dialect it is asked in: from the scenario of the address, the tag of the prompt, and how many tool
//! results have come back.

use roundtable_shared::{AttemptNo, Role, TurnData};
use roundtable_worker::backend::scripted::{Fault, Step, default_answer, default_steps};
use serde_json::Value;

use super::exchange::{Asked, Call, Refusal, Reply, Stream, StreamEnd, say};
use super::{State, odd, prompt};

/// What a prompt ends with, before the tag.
const TAG_MARK: &str = "Roundtable-Turn: ";

/// How a prompt begins that asks for nothing but the final answer.
const REPORT_ONLY: &str = "Your turn is over, but its final answer cannot be used";

/// The tag in the last text that has one; prompts of resumed conversations come later than those before.
pub(super) fn tag_in(text: &str) -> Option<String> {
    let at = text.rfind(TAG_MARK)? + TAG_MARK.len();
    let tag = text[at..].lines().next()?.trim();
    Some(tag.trim_matches(['"', '`', '<', '>']).to_owned()).filter(|tag| tag.split('/').count() == 4)
}

/// What is answered to a request.
pub(super) fn reply(state: &State, scenario: &str, asked: &Asked) -> Reply {
    // `first2.500`: the first two requests of a tag meet the scenario, later ones do not.
    let scenario = match scenario.strip_prefix("first").and_then(|rest| rest.split_once('.')) {
        Some((count, first)) => {
            // Titles are asked for beside the turn.
            let before = state.count(&format!("{scenario} {} {}", asked.tag, asked.tools.is_empty()));
            if before < count.parse().unwrap_or(1) { first } else { "" }
        }
        None => scenario,
    };
    let scenario = trouble(state, asked).unwrap_or(scenario);
    let (name, argument) = scenario.split_once(':').unwrap_or((scenario, ""));
    match name {
        "quota" => refuse(429, None, "quota"),
        "context" => refuse(400, None, "context"),
        "hang" => Reply::Hang,
        "midhang" => partial(StreamEnd::Hang),
        "cut" => partial(StreamEnd::Cut),
        "garbage" => partial(StreamEnd::Garbage),
        "failed" => partial(StreamEnd::Failed),
        "length" => partial(StreamEnd::Length),
        "unfinished" => partial(StreamEnd::Unfinished),
        "empty" => say(String::new()),
        _ if odd::is_odd(name) && !asked.tools.is_empty() => odd::reply(name, asked, |asked| turn(state, asked)),
        "slow" => match turn(state, asked) {
            Reply::Stream(stream) => Reply::Stream(Stream { pause_ms: argument.parse().unwrap_or(100), ..stream }),
            other => other,
        },
        "" | "play" => turn(state, asked),
        status => match status.parse() {
            Ok(status) => refuse(status, argument.parse().ok(), ""),
            Err(_) => say(format!("there is no scenario {name}")),
        },
    }
}

/// What the script has in store for this request of a turn, beside its playbook.
fn trouble<'s>(state: &'s State, asked: &Asked) -> Option<&'s str> {
    let tag = asked.tag.as_str();
    let (_, turn) = tag.split_once('/').filter(|_| !asked.tools.is_empty())?;
    let trouble = state.script.trouble.get(turn)?;
    (state.count(&format!("trouble {tag}")) < trouble.times).then_some(trouble.scenario.as_str())
}

/// The playbook's turn.
fn turn(state: &State, asked: &Asked) -> Reply {
    if asked.tools.is_empty() {
        return say("A title".to_owned());
    }
    let Some(data) = turn_data(state, asked) else { return say("Hello.".to_owned()) };
    let turn = state.script.playbook.turn(&data);
    let turn = if asked.prompt.trim_start().starts_with(REPORT_ONLY) { turn.report_only() } else { turn };
    let steps = turn.steps.clone().unwrap_or_else(|| default_steps(&data, |_| false));
    let mut text = String::new();
    let mut calls = 0;
    let mut files = Vec::new();
    let (mut completed, mut failed) = (Vec::new(), None);
    for step in &steps {
        let call = match step {
            Step::Say(said) => {
                push_line(&mut text, &fill(said, &data));
                continue;
            }
            Step::Subtask { id, status } => {
                let id = fill(id, &data);
                push_line(&mut text, &format!("Roundtable-Subtask: {id} {status}"));
                if status == "completed" {
                    completed.push(id)
                } else {
                    failed = failed.or(Some(id))
                }
                continue;
            }
            Step::Fault(fault) => match fault_reply(*fault) {
                // Earlier calls come first.
                Some(reply) if asked.step <= calls => return reply,
                _ => continue,
            },
            step => call_of(step, &data),
        };
        files.extend(path_of(step).map(|path| fill(path, &data)));
        if calls == asked.step {
            return Reply::Stream(Stream { text, call: Some(call), end: StreamEnd::Well, pause_ms: 0 });
        }
        calls += 1;
        text.clear();
    }
    let mut answer = default_answer(&data, &completed, failed.as_deref(), &files);
    let owners = prompt::owners(&asked.prompt);
    for unit in answer["dispatch_units"].as_array_mut().into_iter().flatten() {
        if let Some(owner) = unit["task_id"].as_str().and_then(|id| owners.get(id)) {
            unit["owner_agent"] = owner.as_str().into();
        }
    }
    if let (Value::Object(answer), Some(result)) = (&mut answer, &turn.result) {
        answer.extend(result.clone());
    }
    let answer = fill(&answer.to_string(), &data);
    say(if text.is_empty() { answer } else { format!("{text}\n\n```json\n{answer}\n```") })
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// What the playbook needs to know of a turn, out of its tag and its prompt.
fn turn_data(state: &State, asked: &Asked) -> Option<TurnData> {
    let [run, unit, role, index] = asked.tag.split('/').collect::<Vec<_>>().try_into().ok()?;
    let index = index.parse().ok()?;
    let mut data = TurnData {
        unit: (unit != "-").then(|| unit.into()),
        attempt: AttemptNo(index),
        turn_index: index,
        round: index,
        reviewer: 1,
        ..TurnData::new(run, Role::parse(role)?)
    };
    prompt::read(&asked.prompt, &mut data);
    if state.script.lays_out_folders {
        for unit in data.units.iter_mut().filter(|unit| unit.writes.is_empty()) {
            unit.writes.extend(folder_for(&unit.title));
        }
    }
    if let Some(writes) = state.script.writes.get(unit) {
        data.writes.clone_from(writes);
    }
    Some(data)
}

/// `src/user-service/` for "User service". Nothing for a checkpoint, which changes nothing of its own.
fn folder_for(title: &str) -> Option<String> {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(4);
    let name = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
    let changes_something = !name.is_empty() && !name.split('-').any(|word| word == "checkpoint");
    changes_something.then(|| format!("src/{name}/"))
}

fn call_of(step: &Step, data: &TurnData) -> Call {
    let f = |text: &str| fill(text, data);
    match step {
        Step::Write { path, text } => Call::Write { path: f(path), text: f(text) },
        Step::Append { path, text } => Call::Shell(format!("printf %s {} >> {}", quote(&f(text)), quote(&f(path)))),
        Step::Delete(path) => Call::Shell(format!("rm -r {}", quote(&f(path)))),
        Step::Rename(from, to) => Call::Shell(format!("mv {} {}", quote(&f(from)), quote(&f(to)))),
        Step::Symlink(target, link) => Call::Shell(format!("ln -s {} {}", quote(&f(target)), quote(&f(link)))),
        Step::SleepMs(ms) => Call::Shell(format!("sleep {}.{:03}", ms / 1000, ms % 1000)),
        Step::Run(text) => Call::Shell(f(text)),
        Step::Say(_) | Step::Subtask { .. } | Step::Fault(_) => Call::Shell("true".to_owned()),
    }
}

fn path_of(step: &Step) -> Option<&str> {
    match step {
        Step::Write { path, .. } | Step::Append { path, .. } | Step::Delete(path) | Step::Rename(_, path) | Step::Symlink(_, path) => {
            Some(path)
        }
        _ => None,
    }
}

/// A fault as a provider has it.
fn fault_reply(fault: Fault) -> Option<Reply> {
    Some(match fault {
        Fault::Hang => Reply::Hang,
        Fault::Crash => partial(StreamEnd::Cut),
        Fault::Exit(_) => refuse(500, None, ""),
        Fault::RateLimit(seconds) => refuse(429, Some(seconds), ""),
        Fault::Auth => refuse(401, None, ""),
        Fault::Model => refuse(404, None, ""),
        Fault::Garbage => say("}{ this is no answer".to_owned()),
        Fault::Spew(_) | Fault::Daemonize | Fault::IgnoreTerm => return None,
    })
}

fn refuse(status: u16, retry_after_s: Option<u64>, kind: &'static str) -> Reply {
    Reply::Refuse(Refusal { status, retry_after_s, kind })
}

fn partial(end: StreamEnd) -> Reply {
    Reply::Stream(Stream { text: "Partial ".to_owned(), call: None, end, pause_ms: 0 })
}

fn fill(text: &str, data: &TurnData) -> String {
    let unit = data.unit.as_ref().map_or("-", |unit| unit.as_str());
    text.replace("{unit}", unit).replace("{attempt}", &data.attempt.to_string()).replace("{title}", &data.title)
}

/// A word for the shell.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What an error status says, for dialects that put words to it.
pub(super) fn words(refusal: &Refusal) -> &'static str {
    match (refusal.kind, refusal.status) {
        ("quota", _) => "You exceeded your current quota, please check your plan and billing details.",
        ("context", _) => "Your input exceeds the context window of this model.",
        (_, 401) => "Incorrect API key provided",
        (_, 403) => "You do not have access",
        (_, 404) => "The model does not exist",
        (_, 429) => "Rate limit reached for this model",
        (_, 503) => "Service overloaded",
        (_, 500..) => "The server had an error",
        _ => "Invalid request",
    }
}

/// Pieces of a text small enough for one event each.
pub(super) fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(200).map(|piece| piece.iter().collect()).collect()
}

/// A server-sent event.
pub(super) fn event(name: Option<&str>, data: &Value) -> String {
    let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
    format!("{name}data: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tag_counts() {
        assert_eq!(tag_in("x\nRoundtable-Turn: r-1/2/implement/1\nmore\nRoundtable-Turn: r-1/2/fix/1\n").as_deref(), Some("r-1/2/fix/1"));
        assert_eq!(tag_in("Roundtable-Turn: <run>/<unit>"), None);
        assert_eq!(tag_in("nothing"), None);
    }

    #[test]
    fn a_folder_is_called_by_its_units_title() {
        assert_eq!(folder_for("Build the user-service (part 1)").as_deref(), Some("src/build-the-user-service/"));
        assert_eq!(folder_for("Final checkpoint - all tests pass"), None);
        assert_eq!(folder_for("…"), None);
    }

    #[test]
    fn words_for_the_shell_are_quoted() {
        assert_eq!(quote("it's"), "'it'\\''s'");
    }
}
