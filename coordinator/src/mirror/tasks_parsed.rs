//! `TASKS_PARSED.json`: the tasks with what the fix loop knows of them, without attempts and results.

use super::form::{AgentState, ParsedTask, TasksParsed};

/// The file's content; the same tasks as `AGENT_STATE.json`, so that the two never differ.
pub fn tasks_parsed(state: &AgentState) -> TasksParsed {
    TasksParsed { spec_path: state.spec_path.clone(), tasks: state.tasks.iter().map(ParsedTask::from).collect() }
}
