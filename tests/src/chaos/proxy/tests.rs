//! The proxy on loopback, before something that echoes.
#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::*;

/// Far beyond what anything here takes.
const WITHIN: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(150);

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

async fn proxy() -> Proxy {
    Proxy::start(None, "127.0.0.1:0".parse().unwrap(), echo().await).unwrap()
}

async fn connected(proxy: &Proxy) -> TcpStream {
    timeout(WITHIN, TcpStream::connect(proxy.address())).await.unwrap().unwrap()
}

/// What comes back for this.
async fn answer(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut back = vec![0; text.len()];
    timeout(WITHIN, stream.read_exact(&mut back)).await.unwrap()?;
    Ok(back)
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(WITHIN, stream.read(&mut byte)).await.unwrap().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

async fn hears_nothing(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(A_WHILE, stream.read(&mut byte)).await.is_err()
}

#[tokio::test]
async fn bytes_and_their_end_are_passed_on() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    let much: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = stream.split();
    let mut back = Vec::new();
    let (read, wrote) = tokio::join!(timeout(WITHIN, from.read_to_end(&mut back)), async {
        to.write_all(&much).await?;
        to.shutdown().await
    });
    wrote.unwrap();
    read.unwrap().unwrap();
    assert!(back == much);
}

#[tokio::test]
async fn what_is_late_is_late_each_way_and_stays_in_order() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    answer(&mut stream, b"warm").await.unwrap();
    proxy.treat(None, Trouble { late_ms: 60, jitter_ms: 30, ..Trouble::default() });
    let began = Instant::now();
    for text in [b"one", b"two", b"six"] {
        assert_eq!(answer(&mut stream, text).await.unwrap(), text);
    }
    assert!(began.elapsed() >= Duration::from_millis(3 * 120));
    proxy.heal(None);
    let began = Instant::now();
    answer(&mut stream, b"well").await.unwrap();
    assert!(began.elapsed() < WITHIN / 2);
}

#[tokio::test]
async fn one_byte_in_so_many_is_another() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    proxy.treat(None, Trouble { garble_every: 100, ..Trouble::default() });
    let sent = vec![7; 1000];
    let back = answer(&mut stream, &sent).await.unwrap();
    let changed = back.iter().filter(|byte| **byte != 7).count();
    // Both ways are garbled, now and then at the same place.
    assert!((5..=20).contains(&changed), "{changed}");
    proxy.heal(None);
    assert_eq!(answer(&mut stream, &sent).await.unwrap(), sent);
}

#[tokio::test]
async fn what_is_stalled_arrives_afterwards() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    answer(&mut stream, b"warm").await.unwrap();
    proxy.treat(None, Trouble { pass: Pass::Nothing, ..Trouble::default() });
    stream.write_all(b"held").await.unwrap();
    assert!(hears_nothing(&mut stream).await);
    let mut another = connected(&proxy).await;
    another.write_all(b"held").await.unwrap();
    assert!(hears_nothing(&mut another).await);
    proxy.heal(None);
    for stream in [&mut stream, &mut another] {
        let mut back = [0; 4];
        timeout(WITHIN, stream.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, b"held");
    }
}

#[tokio::test]
async fn what_is_reset_is_gone_and_the_next_is_well() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    answer(&mut stream, b"warm").await.unwrap();
    proxy.reset(None);
    assert!(is_reset(&mut stream).await);
    assert_eq!(answer(&mut connected(&proxy).await, b"next").await.unwrap(), b"next");
}

#[tokio::test]
async fn a_half_open_connection_is_silent_until_it_is_over() {
    let proxy = proxy().await;
    let mut stream = connected(&proxy).await;
    answer(&mut stream, b"warm").await.unwrap();
    proxy.treat(None, Trouble { pass: Pass::HalfOpen, ..Trouble::default() });
    let mut later = connected(&proxy).await;
    for stream in [&mut stream, &mut later] {
        stream.write_all(b"lost").await.unwrap();
        assert!(hears_nothing(stream).await);
    }
    proxy.heal(None);
    assert!(is_reset(&mut stream).await && is_reset(&mut later).await);
    assert_eq!(answer(&mut connected(&proxy).await, b"next").await.unwrap(), b"next");
}

#[tokio::test]
async fn a_peers_trouble_is_nobody_elses() {
    let proxy = proxy().await;
    let from = |last: u8| {
        let address = proxy.address();
        async move {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
            timeout(WITHIN, socket.connect(address)).await.unwrap().unwrap()
        }
    };
    let (mut struck, mut spared) = (from(8).await, from(9).await);
    answer(&mut struck, b"warm").await.unwrap();
    answer(&mut spared, b"warm").await.unwrap();
    let peer = Some(IpAddr::from(Ipv4Addr::new(127, 0, 0, 8)));
    proxy.treat(peer, Trouble { pass: Pass::Nothing, ..Trouble::default() });
    struck.write_all(b"held").await.unwrap();
    assert!(hears_nothing(&mut struck).await);
    assert_eq!(answer(&mut spared, b"fine").await.unwrap(), b"fine");
    proxy.reset(peer);
    assert!(is_reset(&mut struck).await);
    assert_eq!(answer(&mut spared, b"fine").await.unwrap(), b"fine");
}

#[tokio::test]
async fn what_leads_nowhere_is_reset() {
    let nowhere = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let proxy = Proxy::start(None, "127.0.0.1:0".parse().unwrap(), nowhere).unwrap();
    // The reset may be here before the connection has been seen to be made.
    match timeout(WITHIN, TcpStream::connect(proxy.address())).await.unwrap() {
        Ok(mut stream) => assert!(is_reset(&mut stream).await),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    assert!(Proxy::start(None, proxy.address(), nowhere).is_err(), "a port that is taken");
}
