//! Single objects: whether they exist, what they hold, and new ones.

use super::scan::{check_path, octal_of, oid_of, path_text, records, text_of};
use super::{EntryMode, Git, GitError, Oid, Signature};

/// A file's, link's or submodule's entry in a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeEntry {
    /// What it is.
    pub mode: EntryMode,
    /// Its object.
    pub oid: Oid,
    /// Its path from the root of the tree.
    pub path: String,
}

/// The files of a commit, at most so many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TreeListing {
    /// Their entries in git's order. Files whose names are not UTF-8 are left out.
    pub entries: Vec<TreeEntry>,
    /// Whether there are more.
    pub truncated: bool,
}

impl Git {
    /// The commit a person's words mean (`main`, `HEAD~2`, a tag, an abbreviated id).
    pub async fn resolve_commit(&self, rev: &str) -> Result<Oid, GitError> {
        let unknown = || GitError::UnknownRevision { rev: rev.chars().take(200).collect(), repository: self.git_dir.clone() };
        if rev.is_empty() || rev.contains(['\0', '\n']) {
            return Err(unknown());
        }
        let spec = format!("{rev}^{{commit}}");
        let answer = self.invoke("rev-parse").args(["--verify", "--quiet", "--end-of-options", &spec]).codes_ok(&[0, 1, 128]).run().await?;
        if answer.code != 0 {
            return Err(unknown());
        }
        oid_of("rev-parse", answer.line("rev-parse")?.as_bytes())
    }

    /// The tree of a commit (or of a tree: itself).
    pub async fn tree_of(&self, commit: &Oid) -> Result<Oid, GitError> {
        let answer =
            self.invoke("rev-parse").args(["--verify", "--quiet", &format!("{commit}^{{tree}}")]).codes_ok(&[0, 1, 128]).run().await?;
        if answer.code != 0 {
            return Err(GitError::Missing { oid: commit.clone(), repository: self.git_dir.clone() });
        }
        oid_of("rev-parse", answer.line("rev-parse")?.as_bytes())
    }

    /// For each id the kind of the object (`commit`, `tree`, `blob`, `tag`), or `None` if it is absent.
    pub async fn kinds(&self, oids: &[Oid]) -> Result<Vec<Option<String>>, GitError> {
        if oids.is_empty() {
            return Ok(Vec::new());
        }
        let mut input = String::with_capacity(oids.len() * 41);
        for oid in oids {
            input.push_str(oid.as_str());
            input.push('\n');
        }
        let answer = self.invoke("cat-file").args(["--batch-check=%(objecttype)", "--buffer"]).input(input).run().await?;
        let text = answer.text("cat-file")?;
        let kinds: Vec<_> = text.lines().map(|line| (!line.ends_with(" missing")).then(|| line.to_owned())).collect();
        if kinds.len() == oids.len() {
            Ok(kinds)
        } else {
            Err(GitError::unexpected("cat-file", "another number of answers than questions"))
        }
    }

    /// Those of the ids that name commits present here, in the order given.
    pub async fn commits_present(&self, oids: &[Oid]) -> Result<Vec<Oid>, GitError> {
        let kinds = self.kinds(oids).await?;
        Ok(oids.iter().zip(kinds).filter(|(_, kind)| kind.as_deref() == Some("commit")).map(|(oid, _)| oid.clone()).collect())
    }

    /// A blob's bytes, refused if more than `bytes_max`.
    pub async fn read_blob(&self, oid: &Oid, bytes_max: u64) -> Result<Vec<u8>, GitError> {
        let answer = self.invoke("cat-file").args(["blob", oid.as_str()]).output_bytes_max(bytes_max).run().await?;
        Ok(answer.stdout)
    }

    /// A file of a commit, or `None` if there is none at that path (or it is a directory or submodule).
    pub async fn read_file(&self, commit: &Oid, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, GitError> {
        match self.entry(commit, path).await? {
            Some(entry) if entry.mode != EntryMode::Submodule => self.read_blob(&entry.oid, bytes_max).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The entry of a file, link or submodule in a commit or tree.
    pub async fn entry(&self, commit: &Oid, path: &str) -> Result<Option<TreeEntry>, GitError> {
        check_path(path)?;
        let answer = self.invoke("ls-tree").args(["-z", "--full-tree", commit.as_str(), "--", path]).run().await?;
        let mut found = None;
        for record in records(&answer.stdout) {
            found = parse_entry(record)?.filter(|entry| entry.path == path);
        }
        Ok(found)
    }

    /// The entries of those of the paths that are files, links or submodules in a commit or tree, by one look.
    pub async fn entries(&self, commit: &Oid, paths: &[String]) -> Result<Vec<TreeEntry>, GitError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        paths.iter().try_for_each(|path| check_path(path))?;
        let answer = self.invoke("ls-tree").args(["-z", "--full-tree", commit.as_str(), "--"]).args(paths).run().await?;
        let mut found = Vec::new();
        for record in records(&answer.stdout) {
            found.extend(parse_entry(record)?.filter(|entry| paths.contains(&entry.path)));
        }
        Ok(found)
    }

    /// The entries of a commit's files below `under` (a directory without a trailing `/`; `None` = all), at most `entries_max`.
    pub async fn list_tree(&self, commit: &Oid, under: Option<&str>, entries_max: usize) -> Result<TreeListing, GitError> {
        let mut command = self.invoke("ls-tree").args(["-r", "-z", "--full-tree", commit.as_str()]);
        if let Some(under) = under {
            check_path(under)?;
            command = command.args(["--", under]);
        }
        let answer = command.run().await?;
        let mut listing = TreeListing::default();
        for record in records(&answer.stdout) {
            if listing.entries.len() == entries_max {
                listing.truncated = true;
                break;
            }
            match parse_entry(record) {
                Ok(entry) => listing.entries.extend(entry),
                Err(GitError::BadPath { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listing)
    }

    /// Stores bytes as a blob, as they are.
    pub async fn write_blob(&self, bytes: impl Into<Vec<u8>>) -> Result<Oid, GitError> {
        let answer = self.invoke("hash-object").args(["-w", "--stdin", "--no-filters"]).input(bytes).run().await?;
        oid_of("hash-object", answer.line("hash-object")?.as_bytes())
    }

    /// Makes a commit. The same arguments always give the same id.
    pub async fn commit_tree(&self, tree: &Oid, parents: &[Oid], by: &Signature, message: &str) -> Result<Oid, GitError> {
        let date = format!("@{} +0000", by.at_s);
        let mut command = self.invoke("commit-tree").arg(tree.as_str());
        for parent in parents {
            command = command.args(["-p", parent.as_str()]);
        }
        let command = command
            .env("GIT_AUTHOR_NAME", &by.name)
            .env("GIT_AUTHOR_EMAIL", &by.email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", &by.name)
            .env("GIT_COMMITTER_EMAIL", &by.email)
            .env("GIT_COMMITTER_DATE", &date)
            .config("i18n.commitEncoding=UTF-8")
            .input(message.replace('\0', "\u{fffd}"));
        let answer = command.run().await?;
        oid_of("commit-tree", answer.line("commit-tree")?.as_bytes())
    }
}

/// `<mode> <type> <oid>\t<path>`; trees are `None`.
fn parse_entry(record: &[u8]) -> Result<Option<TreeEntry>, GitError> {
    let unknown = || GitError::unexpected("ls-tree", String::from_utf8_lossy(record));
    let tab = record.iter().position(|b| *b == b'\t').ok_or_else(unknown)?;
    let head = text_of("ls-tree", &record[..tab])?;
    let mut words = head.split(' ');
    let (Some(mode), Some(kind), Some(oid)) = (words.next(), words.next(), words.next()) else { return Err(unknown()) };
    if kind == "tree" {
        return Ok(None);
    }
    let mode = EntryMode::from_bits(octal_of("ls-tree", mode.as_bytes())?).ok_or_else(unknown)?;
    Ok(Some(TreeEntry { mode, oid: oid_of("ls-tree", oid.as_bytes())?, path: path_text(&record[tab + 1..])? }))
}
