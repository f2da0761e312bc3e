//! A coordinator that listens for others on a host that no network reaches: a network namespace of its own.

use roundtable_tests::harness::{Program, Sandbox, Signal, binary};

/// `coordinator serve` for others, without any network.
fn serve(sandbox: &Sandbox, args: &[&str]) -> Program {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let unshare = std::env::split_paths(&path).map(|dir| dir.join("unshare")).find(|file| file.is_file());
    let alone = sandbox.foreign(&unshare.expect("this test needs unshare")).args(["--net", "--"]).path(&binary("coordinator"));
    alone.args(["serve", "--listen", "0.0.0.0:0"]).args(args.iter().copied())
}

#[test]
#[ignore = "needs a network namespace: .ci/run test runs it where it may"]
fn a_host_without_a_network_says_how_others_could_come_and_believes_who_knows() {
    let sandbox = Sandbox::new();
    let refused = serve(&sandbox, &[]).run().expect(3);
    refused.err_has(&["--listen 0.0.0.0", "only loopback", "--advertise HOST:PORT", "--listen 127.0.0.1"]);
    let mut served = serve(&sandbox, &["--advertise", "rt.example:443"]).start();
    served.wait_for_stderr("ready");
    assert!(served.stderr().contains("others reach it at https://rt.example:443"), "{}", served.said());
    served.signal(Signal::TERM);
    served.wait().expect(0);
}
