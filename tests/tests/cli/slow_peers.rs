//! Connections that never come to anything: thousands that say nothing, or half a word. Who has business here is served all the while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roundtable_runtime::identity::ClientFile;
use roundtable_runtime::tls::{ConnectError, probe};
use roundtable_tests::harness::{Process, Sandbox};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connections.
const IDLE: usize = 2_000;
/// How soon somebody who has business here is served as a rule: it may have to wait a moment until one of the idle makes way, and that takes a second. Where nobody
/// made way it would be the five seconds after which a handshake is given up.
const AS_A_RULE_WITHIN: Duration = Duration::from_secs(3);
/// Longest wait at all, on a busy machine, where it may have been the one to make way, and comes again.
const SERVED_WITHIN: Duration = Duration::from_secs(20);
/// Pause before it comes again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Longest life of a connection that comes to nothing: its handshake has 5 s.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// A record of TLS that announces five hundred bytes, and two of them.
const HALF_A_WORD: [u8; 7] = [0x16, 0x03, 0x01, 0x01, 0xf4, 0x01, 0x00];

/// As many files as this process may have open at all; how many connections that leaves. A coordinator takes as many, and half of them for connections.
fn make_room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("up to the maximum anybody may");
    let room = limit.maximum.map_or(usize::MAX, |maximum| usize::try_from(maximum).unwrap_or(usize::MAX));
    (room / 2).saturating_sub(100).min(IDLE)
}

/// How long it takes until somebody who has business here is served.
async fn served_after(known: &ClientFile, beside: usize, served: &Process) -> Duration {
    let began = Instant::now();
    loop {
        match probe(&known.address, &known.credentials).await {
            Ok(()) => return began.elapsed(),
            Err(ConnectError::Unreachable { .. }) if began.elapsed() < SERVED_WITHIN => tokio::time::sleep(AGAIN_AFTER).await,
            Err(error) => panic!("beside {beside}, after {:?}: {error}\n{}", began.elapsed(), served.said()),
        }
    }
}

#[test]
fn thousands_that_say_nothing_or_half_a_word_keep_nobody_waiting_and_do_not_last() {
    let count = make_room();
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let known = ClientFile::read(sandbox.data_dir()).expect("client.json").expect("it is served");
    let address: SocketAddr = known.address.parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut idle, mut waits) = (Vec::with_capacity(count), Vec::new());
        for nth in 0..count {
            let mut stream = TcpStream::connect(address).await.expect("whoever comes is let into the hall");
            if nth % 2 == 0 {
                // It may have had to make way already.
                let _ = stream.write_all(&HALF_A_WORD).await;
            }
            idle.push(stream);
            if nth % 250 == 249 {
                waits.push(served_after(&known, nth, &served).await);
            }
        }
        waits.sort();
        assert!(waits[waits.len() / 2] < AS_A_RULE_WITHIN, "{waits:?}\n{}", served.said());
        let began = Instant::now();
        for mut stream in idle {
            let mut buffer = [0_u8; 64];
            // An alert may come before the end.
            let ends = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
            let left = ENDED_WITHIN.saturating_sub(began.elapsed());
            assert!(tokio::time::timeout(left, ends).await.is_ok(), "one is still open after {ENDED_WITHIN:?}");
        }
    });
    sandbox.orchctl(&sandbox.path("home"), ["runs"]).run().expect(0);
}
