//! A model that does not do as it was told, while its provider works: refuses, talks, answers twice, calls tools that do not exist, for ever, or in the
//! wrong place.

use super::exchange::{Asked, Call, Reply, Stream, StreamEnd, say};

/// Lines of the huge answer, some 60 bytes each.
const HUGE_LINES: usize = 20_000;

/// Whether a scenario is one of these.
pub(super) fn is_odd(name: &str) -> bool {
    ["refusal", "prose", "fences", "two", "unknown_tool", "outside", "huge", "loop"].contains(&name)
}

/// What such a model answers; `well` is what a good one would.
pub(super) fn reply(name: &str, asked: &Asked, well: impl Fn(&Asked) -> Reply) -> Reply {
    match name {
        "refusal" => say("I am sorry, but I cannot help with that request.".to_owned()),
        "prose" => say("All of it is done: the file is written, the tests are green, and nothing else was touched.".to_owned()),
        "loop" => call(Call::Shell("true".to_owned())),
        // What follows the odd call is played as if it had not been.
        "unknown_tool" if asked.step == 0 => call(Call::Unknown),
        "outside" if asked.step == 0 => call(Call::Write { path: "../outside.txt".to_owned(), text: "outside\n".to_owned() }),
        "unknown_tool" | "outside" => well(&Asked { step: asked.step - 1, ..asked.clone() }),
        _ => match well(asked) {
            Reply::Stream(stream) if stream.call.is_none() => say(told(name, &stream.text)),
            other => other,
        },
    }
}

fn call(call: Call) -> Reply {
    Reply::Stream(Stream { text: String::new(), call: Some(call), end: StreamEnd::Well, pause_ms: 0 })
}

/// A good answer, told oddly.
fn told(name: &str, answer: &str) -> String {
    match name {
        "fences" => format!("Here is what I did, as wanted:\n\n```json\n{answer}\n```\n\nTell me if anything is missing."),
        "two" => format!("{{\"status\": \"failed\", \"error\": \"a first thought\"}}\n\nNo, this is it:\n\n{answer}"),
        // No line twice: repetition is a fault of its own to some CLIs.
        _ => {
            let line =
                |n: usize| format!("{n}: {:016x}{:016x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n.wrapping_mul(0xd134_2543_de82_ef95));
            (0..HUGE_LINES).map(line).chain([answer.to_owned()]).collect()
        }
    }
}
