//! OpenAI chat completions, as opencode speaks them.

use serde_json::{Value, json};

use super::Dialect;
use super::exchange::{Asked, Call, Refusal, Stream, StreamEnd};
use super::mind::{event, pieces, tag_in};
use super::responses::openai_refusal;

/// The dialect.
pub(super) struct Chat;

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn read(&self, body: &Value) -> Asked {
        let mut asked = Asked { schema: body["response_format"]["type"] == "json_schema", ..Asked::default() };
        for tool in body["tools"].as_array().into_iter().flatten() {
            asked.tools.extend(tool["function"]["name"].as_str().map(str::to_owned));
        }
        let mut in_results = false;
        for message in body["messages"].as_array().into_iter().flatten() {
            let text = text_of(&message["content"]);
            let result = message["role"] == "tool";
            if result && !in_results {
                asked.step += 1;
            }
            in_results = result;
            if message["role"] == "user" {
                if let Some(tag) = tag_in(&text) {
                    (asked.tag, asked.prompt) = (tag, text);
                    asked.step = 0;
                }
            } else if let Some((_, rest)) = text.split_once("Working directory: ") {
                asked.cwd = rest.lines().next().unwrap_or_default().trim().to_owned();
            }
        }
        asked
    }

    fn refusal(&self, refusal: &Refusal) -> Value {
        openai_refusal(refusal)
    }

    fn stream(&self, body: &Value, asked: &Asked, stream: &Stream) -> Vec<String> {
        let chunk = |delta: Value, finish: Option<&str>| {
            event(
                None,
                &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}),
            )
        };
        let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
        events.extend(pieces(&stream.text).into_iter().map(|piece| chunk(json!({"content": piece}), None)));
        if let Some(call) = &stream.call {
            let (name, arguments) = match call {
                Call::Write { path, text } => ("write", json!({"filePath": format!("{}/{path}", asked.cwd), "content": text})),
                Call::Unknown => ("no_such_tool", json!({})),
                Call::Shell(command) => ("bash", json!({"command": command, "description": "a step of the playbook"})),
            };
            let id = format!("call_{}", asked.step);
            events.push(chunk(
                json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]}),
                None,
            ));
            events.push(chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments.to_string()}}]}), None));
        }
        let finish = match stream.end {
            StreamEnd::Well if stream.call.is_some() => "tool_calls",
            StreamEnd::Well => "stop",
            StreamEnd::Length => "length",
            StreamEnd::Failed => {
                events
                    .push(event(None, &json!({"error": {"message": "the model failed", "type": "server_error", "code": "server_error"}})));
                return events;
            }
            StreamEnd::Garbage => {
                events.push("data: {not json\n\n".to_owned());
                return events;
            }
            StreamEnd::Hang | StreamEnd::Cut | StreamEnd::Unfinished => return events,
        };
        events.push(chunk(json!({}), Some(finish)));
        let tokens = 100 + 10 * asked.step;
        events.push(event(None, &json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": [],
            "usage": {"prompt_tokens": tokens, "completion_tokens": 30, "total_tokens": tokens + 30, "prompt_tokens_details": {"cached_tokens": 20}}})));
        events.push("data: [DONE]\n\n".to_owned());
        events
    }
}

/// The text of a message's content: a string, or parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}
