//! As much HTTP/1.1 as agent CLIs need from a server on loopback: one request after another, a JSON or an event-stream answer. Connections
//! stay open: with `connection: close` some clients take a connection cut in the middle for the answer's end.

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longest request head, bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest request body, bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// `/s/<scenario>/rest` as its two parts; the scenario is empty elsewhere.
    pub(super) fn scenario_and_path(&self) -> (String, String) {
        let path = self.target.split('?').next().unwrap_or_default();
        match path.strip_prefix("/s/").and_then(|rest| rest.split_once('/')) {
            Some((scenario, rest)) => (scenario.to_owned(), format!("/{rest}")),
            None => (String::new(), path.to_owned()),
        }
    }

    /// The key it brought, whichever way.
    pub(super) fn key(&self) -> String {
        let bearer = self.header("authorization").map(|value| value.trim_start_matches("Bearer ").to_owned());
        bearer.or_else(|| self.header("x-goog-api-key").map(str::to_owned)).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One connection.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The request; `None` if the peer left without one.
    pub(super) async fn read_request(&mut self) -> std::io::Result<Option<Request>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.stream.read(&mut byte).await? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
            if head.len() > HEAD_BYTES_MAX {
                return Err(invalid("the head is too long"));
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut request = Request { method, target, headers, body: Vec::new() };
        if request.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            request.body = self.read_chunks().await?;
        } else if let Some(length) = request.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            if length > BODY_BYTES_MAX {
                return Err(invalid("the body is too long"));
            }
            request.body = vec![0; length];
            self.stream.read_exact(&mut request.body).await?;
        }
        Ok(Some(request))
    }

    async fn read_chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line().await?;
            let size =
                usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| invalid("no chunk size"))?;
            if body.len() + size > BODY_BYTES_MAX {
                return Err(invalid("the body is too long"));
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..]).await?;
            self.read_line().await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn read_line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await?);
            if line.len() > 1024 {
                return Err(invalid("a chunk line is too long"));
            }
        }
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }

    pub(super) async fn send_json(&mut self, status: u16, headers: &[(&str, String)], body: &serde_json::Value) -> std::io::Result<()> {
        let body = body.to_string();
        let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}\r\n",
            reason(status),
            body.len()
        );
        self.send(head.as_bytes()).await?;
        self.send(body.as_bytes()).await
    }

    pub(super) async fn begin_stream(&mut self) -> std::io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
        self.send(head.as_bytes()).await
    }

    pub(super) async fn send_chunk(&mut self, text: &str) -> std::io::Result<()> {
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        self.send(chunk.as_bytes()).await
    }

    pub(super) async fn end_stream(&mut self) -> std::io::Result<()> {
        self.send(b"0\r\n\r\n").await
    }

    /// Goes away in the middle, so that the peer cannot take it for an end.
    pub(super) fn reset(self) -> std::io::Result<()> {
        self.stream.into_inner().set_zero_linger()
    }

    /// Says nothing more until the peer goes away.
    pub(super) async fn hang(&mut self) -> std::io::Result<()> {
        let mut rest = [0; 1024];
        while self.stream.read(&mut rest).await? > 0 {}
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await?;
        self.stream.get_mut().flush().await
    }
}

fn invalid(why: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
