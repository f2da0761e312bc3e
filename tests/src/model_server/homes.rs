//! Home directories for real agent CLIs in which their provider is the model server and nothing else is spoken to.

use std::path::{Path, PathBuf};

use serde_json::json;

/// A home directory and the variables that go with it.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    env: Vec<(String, String)>,
}

impl Home {
    /// Makes a home in `dir` (which must not lie in the system's temporary directory: codex refuses to work there) whose CLIs all talk to `url`
    /// (`ModelServer::url` or `scenario_url`).
    pub fn create(dir: &Path, url: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir = std::fs::canonicalize(dir)?;
        for below in [".codex", ".gemini", ".config/roundtable", ".local/share", ".local/state", ".cache"] {
            std::fs::create_dir_all(dir.join(below))?;
        }
        std::fs::write(dir.join(".codex/config.toml"), codex_config(url))?;
        std::fs::write(dir.join(".gemini/settings.json"), gemini_settings().to_string())?;
        std::fs::write(dir.join(".config/roundtable/config.toml"), OUR_CONFIG)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut env: Vec<(String, String)> = vec![
            ("HOME".into(), text(&dir)),
            ("CODEX_HOME".into(), text(&dir.join(".codex"))),
            ("CODEX_MODEL_SERVER_KEY".into(), "codex-test-key".into()),
            ("GEMINI_API_KEY".into(), "gemini-test-key".into()),
            ("GOOGLE_GEMINI_BASE_URL".into(), url.to_owned()),
            ("OPENCODE_CONFIG_CONTENT".into(), opencode_config(url).to_string()),
            ("OPENCODE_MODEL_SERVER_KEY".into(), "opencode-test-key".into()),
            ("OPENCODE_DISABLE_AUTOUPDATE".into(), "1".into()),
            ("OPENCODE_DISABLE_MODELS_FETCH".into(), "1".into()),
            // Else a fresh home fetches plugins from the registry.
            ("npm_config_registry".into(), "http://127.0.0.1:9/".into()),
        ];
        for (name, below) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_DATA_HOME", ".local/share"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CACHE_HOME", ".cache"),
        ] {
            env.push((name.into(), text(&dir.join(below))));
        }
        Ok(Self { dir, env })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The variables, to be set over a worker's own.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// The variables a worker must be told to pass on, beside those it passes anyway (`env` of `[backend.opencode]`).
    pub fn listed(&self) -> Vec<String> {
        vec!["npm_config_registry".to_owned()]
    }
}

/// Our own configuration in such a home: gemini needs its model named, or it asks elsewhere which to take; opencode must not fetch from npm's registry.
const OUR_CONFIG: &str = r#"[backend.gemini]
model = "gemini-2.5-flash"

[backend.opencode]
env = ["npm_config_registry"]
"#;

fn codex_config(url: &str) -> String {
    format!(
        r#"model = "scripted-model"
model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "CODEX_MODEL_SERVER_KEY"
stream_idle_timeout_ms = 5000
[analytics]
enabled = false
"#
    )
}

fn gemini_settings() -> serde_json::Value {
    json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
        "privacy": {"usageStatisticsEnabled": false},
        "model": {"name": "gemini-2.5-flash"},
    })
}

fn opencode_config(url: &str) -> serde_json::Value {
    json!({
        "autoupdate": false,
        "share": "disabled",
        "compaction": {"auto": false},
        "model": "scripted/scripted-model",
        "small_model": "scripted/scripted-model",
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Scripted",
            "options": {"baseURL": format!("{url}/v1"), "apiKey": "{env:OPENCODE_MODEL_SERVER_KEY}"},
            "models": {"scripted-model": {"name": "Scripted", "limit": {"context": 200_000, "output": 32_000}, "cost": {"input": 1, "output": 2}}},
        }},
    })
}
