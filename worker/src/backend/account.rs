//! Naming the account a CLI works with, so that a limit met by one worker holds back the others that share it. Only digests leave this file.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::Value;

use super::host::{BackendConfig, Host};
use super::transcript::text_at;

/// Largest login or configuration file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Host {
    /// codex's `config.toml`; empty if there is none or it cannot be read (codex itself will say so).
    pub(super) fn codex_config(&self) -> toml::Table {
        self.codex_home().and_then(|home| read(home.join("config.toml"))).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    pub(super) fn codex_account(&self, config: &BackendConfig) -> String {
        let user = if config.is_isolated() { toml::Table::new() } else { self.codex_config() };
        let provider = user.get("model_provider").and_then(toml::Value::as_str).unwrap_or("openai");
        let own = user.get("model_providers").and_then(|all| all.get(provider)?.get("env_key")?.as_str());
        if let Some(key) = own {
            return account(provider, self.key(&[key]));
        }
        let login = || {
            let login: Value = serde_json::from_str(&read(self.codex_home()?.join("auth.json"))?).ok()?;
            let texts = [text_at(&login, &["tokens", "account_id"]), text_at(&login, &["OPENAI_API_KEY"])];
            texts.iter().find(|text| !text.is_empty()).map(|text| (*text).to_owned())
        };
        account(provider, self.key(&["CODEX_API_KEY"]).or_else(login))
    }

    pub(super) fn gemini_account(&self, _config: &BackendConfig) -> String {
        let login = || {
            let home = self.var("GEMINI_CLI_HOME").map(PathBuf::from).or_else(|| self.home())?;
            let login: Value = serde_json::from_str(&read(home.join(".gemini/google_accounts.json"))?).ok()?;
            Some(text_at(&login, &["active"]).to_owned()).filter(|active| !active.is_empty())
        };
        account("google", self.key(&["GEMINI_API_KEY", "GOOGLE_API_KEY"]).or_else(login))
    }

    pub(super) fn opencode_account(&self, _config: &BackendConfig) -> String {
        let login = || {
            let login: Value = serde_json::from_str(&read(self.opencode_data()?.join("opencode/auth.json"))?).ok()?;
            // Tokens change as they are refreshed; keys and account ids do not.
            let mut parts: Vec<String> = Vec::new();
            for (provider, entry) in login.as_object()? {
                parts.push(format!("{provider}:{}{}", text_at(entry, &["key"]), text_at(entry, &["accountId"])));
            }
            Some(parts.join("\n")).filter(|parts| !parts.is_empty())
        };
        account("opencode", self.key(&["OPENCODE_API_KEY"]).or_else(login))
    }

    /// The files in which the CLIs of this host keep their logins: what is in them is no agent's to tell.
    pub fn login_files(&self) -> Vec<PathBuf> {
        let gemini = self.var("GEMINI_CLI_HOME").map(PathBuf::from).or_else(|| self.home());
        let files = [
            self.codex_home().map(|home| home.join("auth.json")),
            gemini.map(|home| home.join(".gemini/oauth_creds.json")),
            self.opencode_data().map(|data| data.join("opencode/auth.json")),
        ];
        files.into_iter().flatten().collect()
    }

    fn opencode_data(&self) -> Option<PathBuf> {
        let data = self.var("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        data.or_else(|| Some(self.home()?.join(".local/share")))
    }

    fn codex_home(&self) -> Option<PathBuf> {
        self.var("CODEX_HOME").filter(|home| !home.is_empty()).map(PathBuf::from).or_else(|| Some(self.home()?.join(".codex")))
    }

    fn key(&self, names: &[&str]) -> Option<String> {
        names.iter().filter_map(|name| self.var(name).and_then(OsStr::to_str)).find(|key| !key.is_empty()).map(str::to_owned)
    }
}

/// `<provider>:<digest>`, or `<provider>:default` where nothing tells accounts apart.
fn account(provider: &str, identity: Option<String>) -> String {
    match identity {
        Some(identity) => {
            let digest = blake3::derive_key("roundtable 1 account of an agent CLI", identity.as_bytes());
            let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            format!("{provider}:{short}")
        }
        None => format!("{provider}:default"),
    }
}

fn read(path: PathBuf) -> Option<String> {
    let small = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_BYTES_MAX);
    small.then(|| std::fs::read_to_string(path).ok()).flatten()
}
