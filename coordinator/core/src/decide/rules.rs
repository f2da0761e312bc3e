//! Keyword rules: what kind of work a unit is, how carefully it is reviewed and who owns it where nobody says otherwise (SEMANTICS §2).

use roundtable_shared::spec::Unit as Outline;
use roundtable_shared::{BackendName, Criticality, Mode, RunOptions, UnitType};

use crate::state::Unit;

const UI: [&str; 14] = [
    "ui",
    "ux",
    "frontend",
    "component",
    "components",
    "css",
    "html",
    "react",
    "vue",
    "layout",
    "styling",
    "stylesheet",
    "responsive",
    "page",
];
const REVIEW: [&str; 3] = ["review", "audit", "inspect"];
const SECURITY: [&str; 16] = [
    "security",
    "auth",
    "authentication",
    "authorization",
    "authorisation",
    "password",
    "passwords",
    "credential",
    "credentials",
    "encryption",
    "crypto",
    "token",
    "tokens",
    "permission",
    "permissions",
    "oauth",
];
const COMPLEX: [&str; 11] = [
    "complex",
    "migration",
    "migrations",
    "concurrency",
    "concurrent",
    "distributed",
    "transaction",
    "transactions",
    "refactor",
    "architecture",
    "consensus",
];

/// What the rules say of a unit.
pub(super) struct Rules {
    pub unit_type: UnitType,
    pub criticality: Criticality,
    pub owner: BackendName,
}

/// Judges title and details, word by word: "author" is not "auth".
pub(super) fn by_rules(unit: &Unit, outline: Option<&Outline>, options: &RunOptions) -> Rules {
    let mut text = unit.title.to_lowercase();
    for task in outline.iter().flat_map(|outline| &outline.tasks) {
        text.push('\n');
        text.push_str(&task.title.to_lowercase());
        for line in &task.details {
            text.push('\n');
            text.push_str(&line.to_lowercase());
        }
    }
    let words: Vec<&str> = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let title = unit.title.to_lowercase();
    let title: Vec<&str> = title.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let has = |words: &[&str], keys: &[&str]| words.iter().any(|word| keys.contains(word));
    let unit_type = if has(&title, &REVIEW) {
        UnitType::Review
    } else if has(&title, &UI) {
        UnitType::Ui
    } else {
        UnitType::Code
    };
    let criticality = if has(&words, &SECURITY) {
        Criticality::SecuritySensitive
    } else if has(&words, &COMPLEX) {
        Criticality::Complex
    } else {
        Criticality::Standard
    };
    let owner = match unit_type {
        _ if options.mode == Mode::Legacy => "codex",
        UnitType::Ui => "gemini",
        UnitType::Review => "codex-review",
        UnitType::Code => "codex",
    };
    Rules { unit_type, criticality, owner: owner.into() }
}
