//! Gemini generateContent, as gemini-cli speaks it.

use serde_json::{Value, json};

use super::Dialect;
use super::exchange::{Asked, Call, Refusal, Stream, StreamEnd};
use super::mind::{event, pieces, tag_in, words};

/// The dialect.
pub(super) struct Gemini;

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn read(&self, body: &Value) -> Asked {
        let mut asked = Asked { schema: body["generationConfig"].get("responseJsonSchema").is_some(), ..Asked::default() };
        for tools in body["tools"].as_array().into_iter().flatten() {
            let declared = tools["functionDeclarations"].as_array().into_iter().flatten();
            asked.tools.extend(declared.filter_map(|tool| tool["name"].as_str()).map(str::to_owned));
        }
        for content in body["contents"].as_array().into_iter().flatten().filter(|content| content["role"] == "user") {
            let parts = content["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
            if parts.iter().any(|part| part.get("functionResponse").is_some()) {
                asked.step += 1;
            }
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            if let Some((tag, text)) = texts.filter_map(|text| Some((tag_in(text)?, text))).next_back() {
                (asked.tag, asked.prompt) = (tag, text.to_owned());
                asked.step = 0;
            }
        }
        asked
    }

    fn refusal(&self, refusal: &Refusal) -> Value {
        let status = match refusal.status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            500.. => "INTERNAL",
            _ => "INVALID_ARGUMENT",
        };
        let message = match refusal.kind {
            "context" => "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            _ => words(refusal),
        };
        let mut error = json!({"code": refusal.status, "message": message, "status": status});
        if refusal.kind == "quota" {
            error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_requests", "quotaId": "GenerateRequestsPerDayPerProjectPerModel", "quotaValue": "50"}]}]);
        } else if let Some(seconds) = refusal.retry_after_s {
            error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s")}]);
        }
        json!({"error": error})
    }

    fn stream(&self, _body: &Value, asked: &Asked, stream: &Stream) -> Vec<String> {
        let tokens = 100 + 10 * asked.step;
        let chunk = |parts: Value, finish: Option<&str>| {
            let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
            if let Some(finish) = finish {
                candidate["finishReason"] = finish.into();
            }
            let usage = json!({"promptTokenCount": tokens, "candidatesTokenCount": 30, "totalTokenCount": tokens + 35, "cachedContentTokenCount": 20, "thoughtsTokenCount": 5});
            event(None, &json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted", "responseId": "r1"}))
        };
        let mut events: Vec<String> = pieces(&stream.text).into_iter().map(|piece| chunk(json!([{"text": piece}]), None)).collect();
        if let Some(call) = &stream.call {
            let (name, args) = match call {
                Call::Write { path, text } => ("write_file", json!({"file_path": path, "content": text})),
                Call::Unknown => ("no_such_tool", json!({})),
                Call::Shell(command) => ("run_shell_command", json!({"command": command, "description": "a step of the playbook"})),
            };
            events.push(chunk(json!([{"functionCall": {"name": name, "args": args}}]), None));
        }
        match stream.end {
            StreamEnd::Well => events.push(chunk(json!([{"text": ""}]), Some("STOP"))),
            StreamEnd::Length => events.push(chunk(json!([{"text": ""}]), Some("MAX_TOKENS"))),
            StreamEnd::Failed => {
                events.push(event(None, &json!({"error": {"code": 500, "message": "the model failed", "status": "INTERNAL"}})))
            }
            StreamEnd::Garbage => events.push("data: {not json\n\n".to_owned()),
            StreamEnd::Hang | StreamEnd::Cut | StreamEnd::Unfinished => {}
        }
        events
    }
}
