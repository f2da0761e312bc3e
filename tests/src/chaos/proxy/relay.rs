//! One connection through the proxy: bytes on their way in both directions, each with the moment at which it may arrive, and what strikes them meanwhile.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Pass, Rules, Trouble};
use crate::plans::Dice;

/// Most connections at once; what comes beyond waits in the kernel.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks of a direction on their way at once.
const CHUNKS_MAX: usize = 64;
/// Pause after an accept that failed, as when descriptors run out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What ends a connection from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strike {
    Reset,
    HalfOpen,
}

/// Accepts and relays until it is to end.
pub(super) async fn serve(listener: TcpListener, to: SocketAddr, rules: watch::Receiver<Rules>, mut ends: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            _ = ends.wait_for(|ends| *ends) => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((near, peer)) => {
                    number += 1;
                    connections.spawn(relay(near, peer.ip(), to, rules.clone(), Dice::new(number)));
                }
                Err(_) => sleep(ACCEPT_AGAIN).await,
            }
        }
    }
}

async fn relay(mut near: TcpStream, peer: IpAddr, to: SocketAddr, rules: watch::Receiver<Rules>, mut dice: Dice) {
    let resets = rules.borrow().resets(peer);
    if rules.borrow().of(peer).pass == Pass::HalfOpen {
        return half_open(near, None, peer, rules).await;
    }
    let Ok(mut far) = TcpStream::connect(to).await else { return reset(near) };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ended = {
        let (from_near, to_near) = near.split();
        let (from_far, to_far) = far.split();
        let there = pump(from_near, to_far, peer, rules.clone(), Dice::new(dice.roll()));
        let back = pump(from_far, to_near, peer, rules.clone(), Dice::new(dice.roll()));
        tokio::select! {
            strike = struck(rules.clone(), peer, resets) => Some(strike),
            ended = async { tokio::try_join!(there, back) } => ended.is_err().then_some(Strike::Reset),
        }
    };
    match ended {
        None => {}
        Some(Strike::Reset) => {
            reset(near);
            reset(far);
        }
        Some(Strike::HalfOpen) => half_open(near, Some(far), peer, rules).await,
    }
}

/// Waits for what ends a connection.
async fn struck(mut rules: watch::Receiver<Rules>, peer: IpAddr, resets: u64) -> Strike {
    let strikes = |rules: &Rules| rules.resets(peer) != resets || rules.of(peer).pass == Pass::HalfOpen;
    match rules.wait_for(strikes).await {
        Ok(rules) if rules.resets(peer) == resets => Strike::HalfOpen,
        _ => Strike::Reset,
    }
}

/// Closes with a reset rather than an end.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

/// The far side is gone at once, the near side hears of it when this is over.
async fn half_open(near: TcpStream, far: Option<TcpStream>, peer: IpAddr, mut rules: watch::Receiver<Rules>) {
    if let Some(far) = far {
        reset(far);
    }
    let _ = rules.wait_for(|rules| rules.of(peer).pass != Pass::HalfOpen).await;
    reset(near);
}

/// One direction. Its end is passed on, an error ends both.
async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, peer: IpAddr, rules: watch::Receiver<Rules>, dice: Dice) -> io::Result<()> {
    let (sends, arrives) = mpsc::channel(CHUNKS_MAX);
    tokio::try_join!(takes(from, sends, peer, rules, dice), gives(to, arrives)).map(drop)
}

async fn takes(
    mut from: ReadHalf<'_>,
    sends: mpsc::Sender<(Instant, Vec<u8>)>,
    peer: IpAddr,
    mut rules: watch::Receiver<Rules>,
    mut dice: Dice,
) -> io::Result<()> {
    let mut latest = Instant::now();
    let mut to_garble = 0;
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = from.read(&mut chunk).await?;
        // What was read while nothing passes waits here; the rest in the kernel.
        let trouble = match rules.wait_for(|rules| rules.of(peer).pass == Pass::All).await {
            Ok(rules) => rules.of(peer),
            Err(_) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        chunk.truncate(read);
        garble(&mut chunk, trouble, &mut to_garble, &mut dice);
        latest = latest.max(Instant::now() + delay(trouble, &mut dice));
        if sends.send((latest, chunk)).await.is_err() {
            return Ok(());
        }
    }
}

async fn gives(mut to: WriteHalf<'_>, mut arrives: mpsc::Receiver<(Instant, Vec<u8>)>) -> io::Result<()> {
    while let Some((at, chunk)) = arrives.recv().await {
        sleep_until(at).await;
        to.write_all(&chunk).await?;
    }
    to.shutdown().await
}

fn delay(trouble: Trouble, dice: &mut Dice) -> Duration {
    let jitter = if trouble.jitter_ms == 0 { 0 } else { dice.within(&(0..=trouble.jitter_ms)) };
    Duration::from_millis(trouble.late_ms + jitter)
}

/// Changes one byte in so many. `left` is how many go by before the next.
fn garble(chunk: &mut [u8], trouble: Trouble, left: &mut usize, dice: &mut Dice) {
    let Ok(every @ 1..) = usize::try_from(trouble.garble_every) else { return };
    *left = (*left).min(every - 1);
    while let Some(byte) = chunk.get_mut(*left) {
        // Never the same byte again.
        *byte ^= 1 + u8::try_from(dice.roll() % 255).unwrap_or(0);
        *left += every;
    }
    *left -= chunk.len();
}
