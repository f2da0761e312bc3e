//! How connections to the coordinator are made: asked of whoever joins, which knows addresses and certificates. When one is needed is for `link` and `bulk`.

use tonic::transport::Channel;

/// Makes connections; asked again before each try, because a restarted coordinator may listen elsewhere.
pub trait Dial: Send + Sync {
    /// A connection with this worker's identity.
    fn dial(&self) -> impl Future<Output = Result<Channel, DialError>> + Send;

    /// Another connection to where one stands.
    fn another(&self) -> impl Future<Output = Result<Channel, DialError>> + Send {
        self.dial()
    }

    /// Returns when the connections made so far are to be made anew, because there is a younger certificate than theirs: they end with the one they have shown.
    fn outlived(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Returns when there is news of where the coordinator is since the last try: the pause before the next one need not be waited out.
    fn news(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answers there (yet).
    #[error("the coordinator cannot be reached: {0}")]
    Unreachable(String),
    /// Its certificate, or ours, is not accepted.
    #[error("the coordinator refused this worker: {0}")]
    Refused(String),
}
