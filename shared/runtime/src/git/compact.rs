//! Keeping a repository that receives a pack per attempt fast and small: few packs, few loose refs, nothing that no ref reaches. When to do it is the caller's.

use super::{Git, GitError};

impl Git {
    /// How many packs there are.
    pub async fn pack_count(&self) -> Result<usize, GitError> {
        let mut entries = match tokio::fs::read_dir(self.objects().join("pack")).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            other => other.map_err(GitError::io("repack"))?,
        };
        let mut count = 0;
        while let Some(entry) = entries.next_entry().await.map_err(GitError::io("repack"))? {
            count += usize::from(entry.path().extension().is_some_and(|extension| extension == "pack"));
        }
        Ok(count)
    }

    /// Rolls small packs and loose objects up into few and packs refs. Nothing is thrown away, reached by a ref or not, and other commands may run
    /// meanwhile. Its cost is that of the small packs, not of the whole.
    pub async fn compact(&self) -> Result<(), GitError> {
        self.invoke("repack").args(["-d", "-l", "-q", "--geometric=2"]).config("repack.writeBitmaps=false").long().run().await?;
        self.pack_refs().await
    }

    async fn pack_refs(&self) -> Result<(), GitError> {
        let _moving = self.moving.read().await;
        self.invoke("pack-refs").arg("--all").long().run().await?;
        Ok(())
    }

    /// Throws away what no ref reaches, and packs the rest anew. The caller sees to it that nobody counts on an object without a ref, or is about to give it
    /// one; only loose objects of the last minutes are spared.
    pub async fn collect(&self) -> Result<(), GitError> {
        self.pack_refs().await?;
        self.invoke("repack").args(["-a", "-d", "-l", "-q"]).config("repack.writeBitmaps=false").long().run().await?;
        self.invoke("prune").arg("--expire=10.minutes.ago").long().run().await?;
        Ok(())
    }
}
