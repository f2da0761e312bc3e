//! What a call may take: how long until it is answered, and how many may knock at once. Both are decided before anything is read of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use roundtable_proto::convert::status_of;
use roundtable_runtime::addresses::source_of;
use roundtable_shared::error::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::http::Response;

/// Joins that are read or decided at once.
const JOINS_MAX: usize = 64;
/// Joins from one source, those that wait included. Loopback is exempt: a whole fleet may live on this host.
const JOINS_PER_SOURCE_MAX: usize = 16;

/// Longest join, its way in included: whoever sends it has not come in yet.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// Longest call that asks for little.
const UNARY_WITHIN: Duration = Duration::from_secs(10);
/// Longest call for which git looks at a repository, or files are removed.
const WORK_WITHIN: Duration = Duration::from_secs(60);

/// How long a call may last from its first byte to its answer; `None`: one of its sides is a stream, which lasts as long as it goes on.
pub(super) fn deadline(method: &str) -> Option<Duration> {
    match method.strip_prefix("/roundtable.v1.")? {
        "Admission/Join" => Some(JOIN_WITHIN),
        "Admission/Renew" | "Admission/Manage" | "Fleet/PackReceived" | "Control/Info" | "Control/EnrolWorker" | "Control/Shutdown" => {
            Some(UNARY_WITHIN)
        }
        "Fleet/Report" | "Control/OpenRepository" | "Control/Operate" => Some(WORK_WITHIN),
        _ => None,
    }
}

/// Has a call answered in time, once it has come in where it has to wait for that. Nothing of its body is read before.
pub(super) async fn answered<E>(
    call: impl Future<Output = Result<Response<Body>, E>>,
    within: Option<Duration>,
    joins: Option<(Joins, IpAddr)>,
) -> Result<Response<Body>, E> {
    let heard = async {
        let _entered = match &joins {
            None => None,
            Some((joins, from)) => match joins.enter(*from).await {
                Some(entered) => Some(entered),
                None => {
                    let text = format!("too many want to join from {from} at once; come again in a moment");
                    return Ok(status_of(ErrorCode::Exhausted, text).into_http());
                }
            },
        };
        call.await
    };
    let Some(within) = within else { return heard.await };
    match tokio::time::timeout(within, heard).await {
        Ok(answer) => answer,
        Err(_) => {
            let text = format!("this could not be heard and answered within {} s; come again", within.as_secs());
            Ok(status_of(ErrorCode::Unreachable, text).into_http())
        }
    }
}

/// The joins under way. Cheap to clone.
#[derive(Clone)]
pub(super) struct Joins {
    all: Arc<Semaphore>,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them; over when this is dropped.
pub(super) struct Entered {
    _permit: OwnedSemaphorePermit,
    _of_source: OfSource,
}

impl Default for Joins {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(JOINS_MAX)), sources: Arc::default() }
    }
}

impl Joins {
    /// Waits until it may be read; `None`: there are too many from there already.
    async fn enter(&self, from: IpAddr) -> Option<Entered> {
        let of_source = OfSource::take(&self.sources, from)?;
        let permit = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Entered { _permit: permit, _of_source: of_source })
    }
}

/// A place among those of one source.
struct OfSource {
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: IpAddr,
}

impl OfSource {
    fn take(sources: &Arc<Mutex<HashMap<IpAddr, usize>>>, from: IpAddr) -> Option<Self> {
        let source = source_of(from);
        let mut counts = sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&source).copied().unwrap_or(0);
        if count >= JOINS_PER_SOURCE_MAX && !source.is_loopback() {
            return None;
        }
        counts.insert(source, count + 1);
        Some(Self { sources: Arc::clone(sources), source })
    }
}

impl Drop for OfSource {
    fn drop(&mut self) {
        let mut counts = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get(&self.source).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.source);
        } else {
            counts.insert(self.source, left);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_call_has_a_deadline_and_no_stream_has() {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
        let files = std::fs::read_dir(proto.join("roundtable/v1")).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|extension| extension == "proto")).collect();
        for file in protox::compile(files, [proto]).unwrap().file {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let is_stream = method.client_streaming() || method.server_streaming();
                    assert_eq!(deadline(&name).is_none(), is_stream, "{name}");
                }
            }
        }
        assert_eq!(deadline("/roundtable.v1.Control/Nothing"), None);
    }

    #[tokio::test]
    async fn few_joins_are_read_at_once_and_few_of_one_source_even_wait() {
        let joins = Joins::default();
        let far = |host: u8| IpAddr::from([10, 0, 0, host]);
        let mut entered = Vec::new();
        for host in 0..4 {
            for _ in 0..JOINS_PER_SOURCE_MAX {
                entered.push(joins.enter(far(host)).await.unwrap());
            }
        }
        assert!(joins.enter(far(0)).await.is_none(), "the others get their turn");
        let read = Arc::new(AtomicUsize::new(0));
        let call = |from: IpAddr| {
            let (joins, read) = (joins.clone(), Arc::clone(&read));
            let call = async move {
                read.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Response::new(Body::empty()))
            };
            answered(call, Some(Duration::from_millis(50)), Some((joins, from)))
        };
        let status = |answer: Result<Response<Body>, Infallible>| {
            let answer = answer.unwrap();
            answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
        };
        assert_eq!(status(call(far(9)).await).as_deref(), Some("14"), "it waits, and not for ever");
        assert_eq!(status(call(far(1)).await).as_deref(), Some("8"), "told at once");
        assert_eq!(read.load(Ordering::SeqCst), 0, "nothing was read of them");
        entered.pop();
        assert_eq!(status(call(far(9)).await), None);
        assert_eq!(read.load(Ordering::SeqCst), 1);
        drop(entered);
        assert!(joins.sources.lock().unwrap().is_empty());
    }
}
