//! For tests: a coordinator that does what it is told, over a real connection.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use roundtable_proto::v1;
use roundtable_proto::v1::control_server::{Control, ControlServer};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::live::Client;

type Out<T> = Pin<Box<dyn Stream<Item = std::result::Result<T, Status>> + Send>>;
type Answer<T> = std::result::Result<Response<T>, Status>;

/// What came, and what cuts it.
#[derive(Default)]
pub struct Script {
    pub received: Vec<u8>,
    pub headers: Vec<v1::PutRepositoryHeader>,
    /// Bytes that pass over each link before it is cut; links beyond these are whole.
    pub cuts: VecDeque<usize>,
    /// What each watch tells, and whether it is cut after that.
    pub watches: VecDeque<(Vec<&'static str>, bool)>,
    /// The row behind which each watch was to begin.
    pub after: Vec<u64>,
}

/// A coordinator that is good for uploads and watches.
#[derive(Clone, Default)]
pub struct Coordinator(Arc<Mutex<Script>>);

impl Coordinator {
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

fn elsewhere<T>() -> Answer<T> {
    Err(Status::unimplemented("not here"))
}

#[tonic::async_trait]
impl Control for Coordinator {
    type QueryStream = Out<v1::Chunk>;
    type WatchStream = Out<v1::WatchFrame>;
    type FetchRunStream = Out<v1::FetchRunFrame>;

    async fn info(&self, _: Request<v1::InfoRequest>) -> Answer<v1::InfoReply> {
        elsewhere()
    }

    async fn open_repository(&self, request: Request<v1::OpenRepositoryRequest>) -> Answer<v1::OpenRepositoryReply> {
        let received = if request.into_inner().digest.is_empty() { 0 } else { self.script().received.len() as u64 };
        Ok(Response::new(v1::OpenRepositoryReply { tips: Vec::new(), received }))
    }

    async fn put_repository_pack(&self, request: Request<Streaming<v1::PutRepositoryFrame>>) -> Answer<v1::PutRepositoryReply> {
        use v1::put_repository_frame::Frame;
        let mut frames = request.into_inner();
        let Some(Frame::Header(header)) = frames.next().await.unwrap()?.frame else { panic!("no header") };
        let commit = header.commit.clone();
        let mut left = {
            let mut script = self.script();
            script.received.truncate(usize::try_from(header.offset).unwrap());
            script.headers.push(header);
            script.cuts.pop_front().unwrap_or(usize::MAX)
        };
        while let Some(frame) = frames.next().await {
            let Some(Frame::Chunk(chunk)) = frame?.frame else { panic!("no chunk") };
            let passes = chunk.data.len().min(left);
            self.script().received.extend_from_slice(&chunk.data[..passes]);
            left -= passes;
            if passes < chunk.data.len() {
                return Err(Status::unavailable("cut"));
            }
        }
        Ok(Response::new(v1::PutRepositoryReply { commit }))
    }

    async fn submit(&self, _: Request<Streaming<v1::SubmitFrame>>) -> Answer<v1::SubmitReply> {
        elsewhere()
    }

    async fn query(&self, _: Request<v1::QueryRequest>) -> Answer<Self::QueryStream> {
        elsewhere()
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let mut script = self.script();
        script.after.push(request.into_inner().after_seq);
        let (lines, is_cut) = script.watches.pop_front().expect("one watch more than there are");
        let lines = lines.into_iter().map(|line| Ok(v1::WatchFrame { line: line.as_bytes().to_vec() }));
        let all: Vec<_> = lines.chain(is_cut.then(|| Err(Status::unavailable("cut")))).collect();
        let stream: Self::WatchStream = Box::pin(tokio_stream::iter(all));
        Ok(Response::new(stream))
    }

    async fn operate(&self, _: Request<v1::OperateRequest>) -> Answer<v1::OperateReply> {
        elsewhere()
    }

    async fn fetch_run(&self, _: Request<v1::FetchRunRequest>) -> Answer<Self::FetchRunStream> {
        elsewhere()
    }

    async fn enrol_worker(&self, _: Request<v1::EnrolWorkerRequest>) -> Answer<v1::EnrolWorkerReply> {
        elsewhere()
    }

    async fn shutdown(&self, _: Request<v1::ShutdownRequest>) -> Answer<v1::ShutdownReply> {
        elsewhere()
    }
}

/// Serves it; a client of it.
pub async fn serve(coordinator: &Coordinator) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ControlServer::new(coordinator.clone()).max_decoding_message_size(4 << 20);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    Client::new(channel, "https://test:1")
}
