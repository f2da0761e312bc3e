//! What a command has put into a fresh checkout beside the commit's files.

use super::index::copy_index;
use super::scan::{path_text, records};
use super::{Checkout, Git, GitError};

/// Output of the listings.
const LIST_BYTES_MAX: u64 = 64 << 20;

impl Git {
    /// The ignored files that are in a fresh checkout now, whole directories by their name with `/` behind. `None` if anything else was changed or
    /// added: then the commit and these do not make up what is there. `beside`: added files that do not count.
    pub async fn produced(&self, checkout: &Checkout, beside: &[String]) -> Result<Option<Vec<String>>, GitError> {
        let index_file = checkout.private.join("produced-index");
        if !copy_index("ls-files", &checkout.index_file(), &index_file).await? {
            return Ok(None);
        }
        let git = self.clone().with_work_tree(&checkout.dir, &index_file);
        let list = async |args: &'static [&'static str], verb: &'static str| {
            let answer = git.invoke(verb).args(args).output_bytes_max(LIST_BYTES_MAX).long().run().await?;
            records(&answer.stdout).map(path_text).collect::<Result<Vec<String>, GitError>>()
        };
        let changed = list(&["-z", "--name-only", "--ignore-submodules=all"], "diff-files").await?;
        let added = list(&["-z", "--others", "--exclude-standard"], "ls-files").await?;
        if !changed.is_empty() || added.iter().any(|path| !beside.contains(path)) {
            return Ok(None);
        }
        let mut ignored = list(&["-z", "--others", "--ignored", "--exclude-standard", "--directory"], "ls-files").await?;
        ignored.retain(|path| !beside.contains(path));
        // A brought file within an ignored directory is part of it.
        let mixed = |dir: &String| dir.ends_with('/') && beside.iter().any(|path| path.starts_with(dir.as_str()));
        Ok((!ignored.iter().any(mixed)).then_some(ignored))
    }
}
