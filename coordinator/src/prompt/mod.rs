//! What agents are told. [`PromptInput`] is plain data; [`compose`] turns it into text by the templates beside this file. Reading the state and the
//! repository is the caller's; how a backend is given its prompt is the worker's.

mod bounds;
mod facts;
mod gather;
mod input;
mod input_of_run;
mod input_of_unit;
mod render;
mod text;

pub use bounds::PROMPT_BYTES_MAX;
pub use facts::{LAST_TRANSITIONS, PromptFacts};
pub use input::*;
pub use input_of_run::*;
pub use input_of_unit::*;
use roundtable_shared::TurnData;
use roundtable_shared::answer::{ASSIGN_SCHEMA, ORCHESTRATE_SCHEMA, REVIEW_SCHEMA};

/// The line every prompt ends with, before the turn's tag.
const TURN_MARK: &str = "Roundtable-Turn: ";

/// What a turn's agent gets.
#[derive(Clone, PartialEq, Debug)]
pub struct Prompt {
    /// The text; empty for checks.
    pub text: String,
    /// JSON schema of the final answer, for backends that take one. None for work turns: a schema binds all an agent says in a turn, and these report
    /// their steps while they go on.
    pub schema: Option<&'static str>,
    /// The structured half.
    pub turn_data: TurnData,
}

/// Writes the prompt of a turn.
pub fn compose(input: &PromptInput) -> Prompt {
    let (body, schema) = match &input.body {
        PromptBody::Implement(work) => (render::render("implement.md.j2", "work", work), None),
        PromptBody::Fix(work) => (render::render("fix.md.j2", "work", work), None),
        PromptBody::Review(review) => (render::render("review.md.j2", "review", review), Some(REVIEW_SCHEMA)),
        PromptBody::Assign(assign) => (render::render("assign.md.j2", "assign", assign), Some(ASSIGN_SCHEMA)),
        PromptBody::Orchestrate(orchestrate) => (render::render("orchestrate.md.j2", "orchestrate", orchestrate), Some(ORCHESTRATE_SCHEMA)),
        PromptBody::Check => (String::new(), None),
    };
    let text = match &input.body {
        PromptBody::Check => body,
        _ => format!("{body}\n{TURN_MARK}{}\n", text::line(&input.turn.tag(), 1024)),
    };
    Prompt { text, schema, turn_data: input.turn.clone() }
}

#[cfg(test)]
mod tests;
