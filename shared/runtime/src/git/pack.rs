//! Packs going out: what a peer lacks of some commits.

use tokio::io::AsyncWrite;

use super::command::Streams;
use super::{Git, GitError, Oid};

/// What to send.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PackRequest {
    /// Commits the peer shall have, with all they need.
    pub wants: Vec<Oid>,
    /// Commits the peer says it has; unknown ones are ignored.
    pub haves: Vec<Oid>,
    /// Send at most so many commits of history per want (1 = that commit alone); `None` = all there is.
    pub history_max: Option<usize>,
}

/// What was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackStats {
    /// Bytes written.
    pub bytes: u64,
}

impl Git {
    /// Writes a thin pack: deltas may rest on objects of `haves`, so only a peer that has those can use it.
    pub async fn pack(&self, request: &PackRequest, output: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<PackStats, GitError> {
        let haves = self.commits_present(&request.haves).await?;
        self.pack_known(&PackRequest { haves, ..request.clone() }, output).await
    }

    /// The same, for a caller who knows that all of `haves` are here.
    pub async fn pack_known(&self, request: &PackRequest, output: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<PackStats, GitError> {
        let haves = &request.haves;
        let mut input = String::new();
        if let Some(history_max) = request.history_max {
            for want in &request.wants {
                self.cut_history(want, haves, history_max.max(1), &mut input).await?;
            }
        }
        input.extend(request.wants.iter().map(|oid| format!("{oid}\n")));
        input.extend(haves.iter().map(|oid| format!("^{oid}\n")));
        let arguments = ["--revs", "--thin", "--shallow", "--stdout", "-q", "--delta-base-offset"];
        let mut counted = Counted { inner: output, bytes: 0 };
        let command = self.invoke("pack-objects").args(arguments).input(input).output_bytes_max(u64::MAX).long();
        command.run_with(Streams { input: None, output: Some(&mut counted) }).await.map_err(|error| match error {
            GitError::Failed { stderr, .. }
                if ["unable to read", "bad object", "corrupt", "bad tree"].iter().any(|sign| stderr.contains(sign)) =>
            {
                GitError::Damaged { repository: self.git_dir.clone(), why: stderr }
            }
            other => other,
        })?;
        Ok(PackStats { bytes: counted.bytes })
    }

    /// Writes the lines by which `pack-objects` takes the oldest commits sent for commits without parents.
    async fn cut_history(&self, want: &Oid, haves: &[Oid], history_max: usize, input: &mut String) -> Result<(), GitError> {
        let commits = self.commits_with_parents(haves, want, history_max).await?;
        let sent: std::collections::BTreeSet<&Oid> = commits.iter().map(|(commit, _)| commit).chain(haves).collect();
        for (commit, parents) in &commits {
            if parents.iter().any(|parent| !sent.contains(parent)) {
                input.push_str(&format!("--shallow {commit}\n"));
            }
        }
        Ok(())
    }
}

struct Counted<'o> {
    inner: &'o mut (dyn AsyncWrite + Send + Unpin),
    bytes: u64,
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        block: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let polled = std::pin::Pin::new(&mut *self.inner).poll_write(context, block);
        if let std::task::Poll::Ready(Ok(written)) = &polled {
            self.bytes = self.bytes.saturating_add(u64::try_from(*written).unwrap_or(u64::MAX));
        }
        polled
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.inner).poll_shutdown(context)
    }
}
