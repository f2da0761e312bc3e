//! A connection of which the first byte was read already, to see whether the other side speaks: it comes first again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// One that nobody has used for so long may have been given up by the other side.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// The connection.
#[derive(Debug)]
pub(super) struct Begun<S> {
    first: Option<u8>,
    stream: TlsStream<S>,
    since: Instant,
}

impl<S> Begun<S> {
    /// Nothing was read of it yet.
    pub(super) fn new(stream: TlsStream<S>) -> Self {
        Self { first: None, stream, since: Instant::now() }
    }

    /// That was read of it.
    pub(super) fn after(first: u8, stream: TlsStream<S>) -> Self {
        Self { first: Some(first), ..Self::new(stream) }
    }

    /// Whether it can be counted on.
    pub(super) fn is_fresh(&self) -> bool {
        self.since.elapsed() < FRESH_FOR
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
