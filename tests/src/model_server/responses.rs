//! OpenAI responses, as codex speaks them.

use serde_json::{Value, json};

use super::Dialect;
use super::exchange::{Asked, Call, Refusal, Stream, StreamEnd};
use super::mind::{event, pieces, quote, tag_in, words};

/// The dialect.
pub(super) struct Responses;

impl Dialect for Responses {
    fn name(&self) -> &'static str {
        "responses"
    }

    fn read(&self, body: &Value) -> Asked {
        let mut asked = Asked { schema: body["text"]["format"]["type"] == "json_schema", ..Asked::default() };
        for tool in body["tools"].as_array().into_iter().flatten() {
            asked.tools.extend(tool["name"].as_str().or(tool["type"].as_str()).map(str::to_owned));
        }
        let mut in_results = false;
        for item in body["input"].as_array().into_iter().flatten() {
            let result = matches!(item["type"].as_str(), Some("function_call_output" | "custom_tool_call_output"));
            if result && !in_results {
                asked.step += 1;
            }
            in_results = result;
            if item["type"] == "message" && item["role"] == "user" {
                let texts = item["content"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
                if let Some((tag, text)) = texts.filter_map(|text| Some((tag_in(text)?, text))).next_back() {
                    (asked.tag, asked.prompt) = (tag, text.to_owned());
                    asked.step = 0;
                }
            }
        }
        asked
    }

    fn refusal(&self, refusal: &Refusal) -> Value {
        openai_refusal(refusal)
    }

    fn stream(&self, body: &Value, asked: &Asked, stream: &Stream) -> Vec<String> {
        let id = format!("resp_{}", asked.step);
        let mut events = Vec::new();
        let mut push = |kind: &str, mut data: Value| {
            data["type"] = kind.into();
            events.push(event(Some(kind), &data));
        };
        push(
            "response.created",
            json!({"response": {"id": id, "object": "response", "status": "in_progress", "model": body["model"], "output": []}}),
        );
        let mut output = Vec::new();
        if !stream.text.is_empty() || stream.call.is_none() {
            let message = format!("msg_{}", asked.step);
            push(
                "response.output_item.added",
                json!({"output_index": 0, "item": {"type": "message", "id": message, "role": "assistant", "status": "in_progress", "content": []}}),
            );
            for piece in pieces(&stream.text) {
                push("response.output_text.delta", json!({"item_id": message, "output_index": 0, "content_index": 0, "delta": piece}));
            }
            if matches!(stream.end, StreamEnd::Well | StreamEnd::Length) {
                let item = json!({"type": "message", "id": message, "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": stream.text, "annotations": []}]});
                push("response.output_item.done", json!({"output_index": 0, "item": item}));
                output.push(item);
            }
        }
        if let Some(call) = &stream.call {
            let item = call_item(call, asked);
            push("response.output_item.done", json!({"output_index": output.len(), "item": item}));
            output.push(item);
        }
        let tokens = 100 + 10 * asked.step;
        let usage = json!({"input_tokens": tokens, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": tokens + 30});
        match stream.end {
            StreamEnd::Well => push(
                "response.completed",
                json!({"response": {"id": id, "object": "response", "status": "completed", "output": output, "usage": usage}}),
            ),
            StreamEnd::Length => push(
                "response.incomplete",
                json!({"response": {"id": id, "object": "response", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [], "usage": usage}}),
            ),
            StreamEnd::Failed => push(
                "response.failed",
                json!({"response": {"id": id, "object": "response", "status": "failed", "output": [], "error": {"code": "server_error", "message": "the model failed"}}}),
            ),
            StreamEnd::Garbage => events.push("data: {not json\n\n".to_owned()),
            StreamEnd::Hang | StreamEnd::Cut | StreamEnd::Unfinished => {}
        }
        events
    }
}

/// codex has one tool for everything: a shell, in which `apply_patch` is understood and shown as a file change.
fn call_item(call: &Call, asked: &Asked) -> Value {
    let (id, name) = (
        format!("{}_{}", asked.tag.replace(['/', '.'], "_"), asked.step),
        if matches!(call, Call::Unknown) { "no_such_tool" } else { "exec_command" },
    );
    let command = match call {
        Call::Unknown => String::new(),
        Call::Shell(command) => command.clone(),
        Call::Write { path, text } if text.ends_with('\n') && !text.contains("\nEOF\n") => {
            let lines: String = text.lines().map(|line| format!("+{line}\n")).collect();
            format!("apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\nEOF\n")
        }
        Call::Write { path, text } => format!("mkdir -p \"$(dirname {0})\" && printf %s {1} > {0}", quote(path), quote(text)),
    };
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": format!("call_{id}"), "name": name,
        "arguments": json!({"cmd": command, "yield_time_ms": 30_000}).to_string()})
}

/// The error body of both OpenAI dialects.
pub(super) fn openai_refusal(refusal: &Refusal) -> Value {
    let code = match (refusal.kind, refusal.status) {
        ("quota", _) => "insufficient_quota",
        ("context", _) => "context_length_exceeded",
        (_, 401) => "invalid_api_key",
        (_, 404) => "model_not_found",
        (_, 429) => "rate_limit_exceeded",
        (_, 500..) => "server_error",
        _ => "invalid_request_error",
    };
    json!({"error": {"message": words(refusal), "type": code, "code": code, "param": null}})
}
