//! Paths that the text of a plan names: what is there in the repository, and what could be made in it. Suggestions for whoever assigns manifests,
//! never a manifest by themselves. Pure: the repository is the list of its files.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::normalise_entry;

/// Paths found in one text at most.
const MENTIONS_MAX: usize = 40;
/// Longest word that is looked at, bytes.
const WORD_BYTES_MAX: usize = 240;
/// Endings a file may have that is in no folder of the repository yet; anything else there is rather a route, a type or a pair of words.
const ENDINGS: &[&str] = &[
    "astro",
    "bash",
    "bat",
    "bicep",
    "c",
    "cc",
    "cfg",
    "cjs",
    "clj",
    "cpp",
    "cs",
    "csproj",
    "css",
    "csv",
    "dart",
    "ex",
    "exs",
    "go",
    "gradle",
    "graphql",
    "h",
    "hcl",
    "hpp",
    "html",
    "ini",
    "ipynb",
    "java",
    "js",
    "json",
    "jsx",
    "kt",
    "kts",
    "less",
    "lua",
    "md",
    "mdx",
    "mjs",
    "php",
    "plist",
    "prisma",
    "properties",
    "proto",
    "ps1",
    "py",
    "rb",
    "rs",
    "sass",
    "scala",
    "scss",
    "sh",
    "sol",
    "sql",
    "svelte",
    "svg",
    "swift",
    "tf",
    "toml",
    "ts",
    "tsx",
    "txt",
    "vue",
    "webp",
    "xml",
    "yaml",
    "yml",
    "zig",
    "m",
    "mm",
    "ftl",
];
/// Files that stand in the top folder when only their name is said.
const TOP_FILES: &[&str] = &[
    ".env.example",
    ".gitignore",
    "Cargo.toml",
    "Dockerfile",
    "Gemfile",
    "Makefile",
    "Package.swift",
    "README.md",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "docker-compose.yaml",
    "docker-compose.yml",
    "go.mod",
    "jest.config.js",
    "next.config.js",
    "package.json",
    "playwright.config.ts",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "settings.gradle",
    "setup.py",
    "tailwind.config.js",
    "tsconfig.json",
    "vite.config.ts",
    "vitest.config.ts",
    "webpack.config.js",
];

/// How a path that a text names stands to the repository.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MentionKind {
    /// It is there.
    Existing,
    /// It is not there, but its folder is.
    NewFile,
    /// Its folder is not there either.
    NewFolder,
}

/// A path that a text names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mention {
    /// How it stands to the repository.
    pub kind: MentionKind,
    /// Repository-relative; a folder ends with `/`.
    pub path: String,
}

/// A repository's files and folders, for looking up what texts name.
#[derive(Debug, Default)]
pub struct PathIndex {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    /// Files and folders by their last part.
    by_name: BTreeMap<String, Vec<String>>,
    folders_by_name: BTreeMap<String, Vec<String>>,
    /// Texts about the plan, not parts of what it plans.
    ignored: BTreeSet<String>,
}

impl PathIndex {
    /// Of these files; `ignored` are never named (the spec's own).
    pub fn new(files: &[String], ignored: &[String]) -> Self {
        let mut index = Self { ignored: ignored.iter().cloned().collect(), ..Self::default() };
        for file in files.iter().filter(|file| !ignored.contains(file)) {
            let mut folder = file.as_str();
            while let Some((above, _)) = folder.rsplit_once('/') {
                if !index.folders.insert(above.to_owned()) {
                    break;
                }
                index.folders_by_name.entry(last_part(above).to_owned()).or_default().push(above.to_owned());
                folder = above;
            }
            index.by_name.entry(last_part(file).to_owned()).or_default().push(file.clone());
            index.files.insert(file.clone());
        }
        index
    }

    /// The paths these lines name: those that are there first, each kind in the order of first mention.
    pub fn mentions<'t>(&self, lines: impl IntoIterator<Item = &'t str>) -> Vec<Mention> {
        let mut found: Vec<Mention> = Vec::new();
        let named = lines.into_iter().flat_map(words).filter_map(|(word, quoted)| self.look_up(word, quoted));
        for mention in named {
            if !found.contains(&mention) {
                found.push(mention);
            }
            if found.len() >= MENTIONS_MAX {
                break;
            }
        }
        found.sort_by_key(|mention| mention.kind);
        found
    }

    fn look_up(&self, word: &str, quoted: bool) -> Option<Mention> {
        let is_rooted = word.starts_with('/');
        let path = spelled(word.trim_start_matches('/'))?;
        let is_folder = path.ends_with('/');
        let bare = path.trim_end_matches('/');
        if self.ignored.contains(bare) || self.ignored.iter().any(|own| is_below(own, bare) && last_part(own) == bare) {
            return None;
        }
        if let Some(there) = self.find(bare, is_folder, quoted) {
            return Some(there);
        }
        // `/api/users` is a route; what is there was found above.
        if is_rooted || bare.contains(['*', '?']) {
            return None;
        }
        self.could_be(bare, is_folder, quoted)
    }

    /// What is there under that name, or as the only one that ends with it.
    fn find(&self, bare: &str, is_folder: bool, quoted: bool) -> Option<Mention> {
        let there = |path: String| Some(Mention { kind: MentionKind::Existing, path });
        if !is_folder && self.files.contains(bare) {
            return there(bare.to_owned());
        }
        let says_folder = is_folder || bare.contains('/') || quoted;
        if says_folder && self.folders.contains(bare) {
            return there(format!("{bare}/"));
        }
        if let Some((folder, pattern)) = bare.rsplit_once('/').filter(|(_, last)| last.contains('*')) {
            let folder = folder.split('/').take_while(|part| !part.contains('*')).collect::<Vec<_>>().join("/");
            return (self.folders.contains(&folder) && !pattern.is_empty()).then(|| bare.to_owned()).and_then(there);
        }
        let has_form = bare.contains('/') || has_ending(bare);
        if !is_folder && has_form {
            return only(self.by_name.get(last_part(bare)), bare).and_then(there);
        }
        None
    }

    /// What could be made under that name.
    fn could_be(&self, bare: &str, is_folder: bool, quoted: bool) -> Option<Mention> {
        let Some((folder, last)) = bare.rsplit_once('/') else {
            let is_top = !is_folder && TOP_FILES.contains(&bare);
            return is_top.then(|| Mention { kind: MentionKind::NewFile, path: bare.to_owned() });
        };
        let end = if is_folder { "/" } else { "" };
        let could_be_made = is_folder || has_ending(last) || (quoted && TOP_FILES.contains(&last));
        if !could_be_made {
            return None;
        }
        if self.folders.contains(folder) {
            return Some(Mention { kind: MentionKind::NewFile, path: format!("{bare}{end}") });
        }
        if let Some(full) = only(self.folders_by_name.get(last_part(folder)), folder) {
            return Some(Mention { kind: MentionKind::NewFile, path: format!("{full}/{last}{end}") });
        }
        let is_known = last.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()));
        let is_host = bare.split('/').next().is_some_and(|first| first.trim_start_matches('.').matches('.').count() > 1);
        (!is_folder && is_known && !is_host).then(|| Mention { kind: MentionKind::NewFolder, path: bare.to_owned() })
    }
}

/// The one entry that is `path` or ends with `/path`; two are none.
fn only(known: Option<&Vec<String>>, path: &str) -> Option<String> {
    let mut fitting = known?.iter().filter(|full| *full == path || is_below(full, path));
    let first = fitting.next()?;
    fitting.next().is_none().then(|| first.clone())
}

fn is_below(full: &str, end: &str) -> bool {
    full.strip_suffix(end).is_some_and(|before| before.ends_with('/'))
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `name.ext`, also with a leading dot; not `24.5` and not a sentence's end.
fn has_ending(name: &str) -> bool {
    let name = last_part(name);
    let Some((stem, ending)) = name.rsplit_once('.') else { return false };
    let is_word = !ending.is_empty() && ending.len() <= 12 && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word && ending.starts_with(|c: char| c.is_ascii_alphabetic()) && (!stem.is_empty() || ending.len() > 1)
}

/// The words of a line that may be paths, and whether they stand between backticks.
fn words(line: &str) -> impl Iterator<Item = (&str, bool)> {
    line.split('`').enumerate().flat_map(|(at, part)| {
        let quoted = at % 2 == 1;
        let ends = move |c: char| c.is_whitespace() || ",;|\"'<>、。，；：（）「」".contains(c) || (!quoted && c == '(');
        let fits = move |word: &&str| !word.is_empty() && word.len() <= WORD_BYTES_MAX && (quoted || word.contains(['/', '.', '\\']));
        part.split(ends).map(trimmed).filter(fits).map(move |word| (word, quoted))
    })
}

/// Without the punctuation around it; brackets that belong to it stay.
fn trimmed(word: &str) -> &str {
    let mut word =
        word.trim_start_matches(['*', '_', '~', '"', '\'', '[', '{']).trim_end_matches(['.', ':', '!', '?', '*', '~', '"', '\'']);
    for (open, close) in [('(', ')'), ('[', ']'), ('{', '}')] {
        while word.ends_with(close) && word.matches(close).count() > word.matches(open).count() {
            word = word[..word.len() - close.len_utf8()].trim_end_matches(['.', ':', ',', '*']);
        }
    }
    if word.starts_with("__") { word } else { word.trim_end_matches('_') }
}

/// The word as an entry of a manifest, if it can be one.
fn spelled(word: &str) -> Option<String> {
    let word = word.strip_suffix("()").map_or(word, |_| "");
    // `src/a.rs:12` and `src/a.rs#L12` name a line of a file.
    let word = word.split_once('#').map_or(word, |(path, _)| path);
    let word = match word.rsplit_once(':') {
        Some((path, line)) if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => path,
        _ => word,
    };
    let is_path = |c: char| c.is_alphanumeric() || "/\\._-+@*?()[]$~ ".contains(c);
    if word.is_empty() || !word.chars().all(is_path) || word.starts_with(['@', '$', '~', '-']) || word.contains("://") {
        return None;
    }
    let has_words = word.split(['/', '\\']).any(|part| part.chars().any(char::is_alphabetic));
    if !has_words || word.len() > WORD_BYTES_MAX {
        return None;
    }
    normalise_entry(word).ok().filter(|entry| entry != "**")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 16] = [
        ".github/workflows/test.yml",
        ".kiro/specs/shop/tasks.md",
        ".kiro/specs/shop/design.md",
        "README.md",
        "backend/src/routes/auth.routes.ts",
        "backend/src/services/user.service.ts",
        "backend/tests/user.test.ts",
        "frontend/index.html",
        "frontend/src/app/[id]/page.tsx",
        "frontend/src/components/Button.tsx",
        "frontend/src/components/index.ts",
        "frontend/src/pages/index.ts",
        "infra/core.py",
        "package.json",
        "site/css/style.css",
        "site/js/app.js",
    ];

    fn named(line: &str) -> Vec<(MentionKind, String)> {
        let files: Vec<String> = FILES.iter().map(|file| (*file).to_owned()).collect();
        let own = [".kiro/specs/shop/tasks.md".to_owned(), ".kiro/specs/shop/design.md".to_owned()];
        PathIndex::new(&files, &own).mentions([line]).into_iter().map(|mention| (mention.kind, mention.path)).collect()
    }

    #[test]
    fn texts_of_plans_name_what_is_there_and_what_could_be() {
        use MentionKind::{Existing, NewFile, NewFolder};
        let table: &[(&str, &[(MentionKind, &str)])] = &[
            ("- Mount the router in `backend/src/routes/auth.routes.ts`", &[(Existing, "backend/src/routes/auth.routes.ts")]),
            ("- Update site/js/app.js, site/css/style.css.", &[(Existing, "site/js/app.js"), (Existing, "site/css/style.css")]),
            ("- Edit ./frontend/index.html (line 12)", &[(Existing, "frontend/index.html")]),
            ("- Fix `backend/src/services/user.service.ts:41`", &[(Existing, "backend/src/services/user.service.ts")]),
            ("- Windows: backend\\tests\\user.test.ts", &[(Existing, "backend/tests/user.test.ts")]),
            ("- Rewrite `frontend/src/app/[id]/page.tsx`", &[(Existing, "frontend/src/app/[id]/page.tsx")]),
            ("- Restyle `Button.tsx`", &[(Existing, "frontend/src/components/Button.tsx")]),
            ("- Extend services/user.service.ts", &[(Existing, "backend/src/services/user.service.ts")]),
            ("- Two of that name: `index.ts`", &[]),
            ("- Put them under `infra/` and site/css/", &[(Existing, "infra/"), (Existing, "site/css/")]),
            ("- Everything in `backend/tests/*.test.ts`", &[(Existing, "backend/tests/*.test.ts")]),
            ("- Create backend/src/services/role.service.ts", &[(NewFile, "backend/src/services/role.service.ts")]),
            ("- New `components/Card.tsx`", &[(NewFile, "frontend/src/components/Card.tsx")]),
            ("- Add a `.github/workflows/deploy.yml` workflow", &[(NewFile, ".github/workflows/deploy.yml")]),
            ("- Add dependencies to `package.json` and a `Dockerfile`", &[(Existing, "package.json"), (NewFile, "Dockerfile")]),
            ("- Stack in `infra/cdk/stacks/core_stack.py`", &[(NewFolder, "infra/cdk/stacks/core_stack.py")]),
            ("- Make `infra/environments/`", &[(NewFile, "infra/environments/")]),
            ("- `lib/types.ts` is made before `lib/db.ts`", &[(NewFolder, "lib/types.ts"), (NewFolder, "lib/db.ts")]),
            ("- 创建 `lib/类型.ts`，然后", &[(NewFolder, "lib/类型.ts")]),
            ("- **frontend/src/pages/login.ts**: the form", &[(NewFile, "frontend/src/pages/login.ts")]),
            ("- [the app](site/js/app.js)", &[(Existing, "site/js/app.js")]),
        ];
        for (line, wanted) in table {
            let wanted: Vec<(MentionKind, String)> = wanted.iter().map(|(kind, path)| (*kind, (*path).to_owned())).collect();
            assert_eq!(named(line), wanted, "{line}");
        }
    }

    #[test]
    fn prose_routes_and_packages_name_nothing() {
        for line in [
            "- Handle GET /api/v1/users/:id and POST `/api/auth/login`",
            "- CI/CD, request/response, and/or, 24/7, before/after, dd/MM/yyyy",
            "- `@nestjs/common`, `next/image`, `UserService.create()`, `fc.string()`",
            "- See design.md and `.kiro/specs/shop/tasks.md`",
            "- https://example.com/docs/index.html and example.execute-api.eu.amazonaws.com/prod/",
            "- e.g. version 1.2.3, i.e. v18.19.x of node.js",
            "- `../secrets.txt`, `~/notes.md`, `$HOME/a.md`, `.git/config`",
            "- `npm run test:unit` then `git add .`",
            "- the tests and the site folder",
        ] {
            assert_eq!(named(line), [], "{line}");
        }
    }

    #[test]
    fn what_is_there_comes_first_and_nothing_grows_without_bound() {
        let kinds: Vec<MentionKind> = named("`new/a.ts` `infra/b.py` `infra/core.py`").into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [MentionKind::Existing, MentionKind::NewFile, MentionKind::NewFolder]);
        let long: String = (0..500).map(|n| format!("`x/{n}.ts` ")).collect();
        assert_eq!(named(&long).len(), MENTIONS_MAX);
        assert_eq!(named(&format!("`{}.ts`", "a/".repeat(4000))), []);
    }

    #[test]
    fn any_text_is_taken() {
        for line in ["", "`", "``", "`/`", "`.`", "`..`", "[](", "((((", "a/`b", "/", "...", "/.", "`)`", "`]]`", "é/é.é"] {
            let _ = named(line);
        }
    }
}
