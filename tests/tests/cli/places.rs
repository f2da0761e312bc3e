//! `coordinator serve` for other hosts: what it prints, what `client.json` says and where it answers agree.

use roundtable_runtime::addresses::of_this_host;
use roundtable_tests::harness::{Process, Sandbox};
use serde_json::Value;

fn serve(sandbox: &Sandbox, args: &[&str]) -> Process {
    let mut served = sandbox.program("coordinator").args(["serve"]).args(args.iter().copied()).start();
    served.wait_for_stderr("ready");
    served
}

fn client_file(sandbox: &Sandbox) -> Value {
    let text = std::fs::read_to_string(sandbox.data_dir().join("client.json")).expect("client.json");
    serde_json::from_str(&text).expect("JSON")
}

/// The URLs that were printed for others.
fn told(served: &Process) -> Vec<String> {
    let stderr = served.stderr();
    let line = stderr.lines().find_map(|line| line.split_once("others reach it at ")).map(|(_, urls)| urls.to_owned());
    line.map(|urls| urls.split(", ").map(str::to_owned).collect()).unwrap_or_default()
}

#[test]
fn one_that_listens_for_others_names_addresses_that_reach_it() {
    let sandbox = Sandbox::new();
    let own = of_this_host().expect("the kernel's tables");
    if own.iter().any(std::net::IpAddr::is_ipv4) {
        let served = serve(&sandbox, &["--listen", "0.0.0.0:0"]);
        let (told, file) = (told(&served), client_file(&sandbox));
        assert!(!told.is_empty() && !told.iter().any(|url| url.contains("0.0.0.0") || url.contains("127.0.0.1")), "{}", served.said());
        let written: Vec<String> = file["advertised"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|place| format!("https://{}", place.as_str().unwrap_or_default()))
            .collect();
        assert_eq!(written, told);
        for url in told.iter().map(String::as_str).chain([format!("https://{}", file["address"].as_str().unwrap_or_default()).as_str()]) {
            sandbox.program("orchctl").args(["runs", "--coordinator", url]).run().expect(0);
        }
        assert!(file["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{file}");
    } else {
        let refused = sandbox.program("coordinator").args(["serve", "--listen", "0.0.0.0:0"]).run().expect(3);
        refused.err_has(&["--listen 0.0.0.0", "--advertise HOST:PORT"]);
    }
}

#[test]
fn what_is_advertised_is_what_is_told() {
    let sandbox = Sandbox::new();
    let args = ["--listen", "0.0.0.0:0", "--advertise", "rt.example:443", "--advertise", "10.1.2.3:7420", "--hostname", "rt.internal"];
    let served = serve(&sandbox, &args);
    assert_eq!(told(&served), ["https://rt.example:443", "https://10.1.2.3:7420"]);
    assert_eq!(client_file(&sandbox)["advertised"], serde_json::json!(["rt.example:443", "10.1.2.3:7420"]));
    sandbox.program("orchctl").args(["runs"]).run().expect(0);
    drop(served);
    // For this host alone: nothing is told to others.
    let served = serve(&sandbox, &["--listen", "127.0.0.1:0"]);
    assert!(told(&served).is_empty() && client_file(&sandbox)["advertised"].is_null(), "{}", served.said());
}

#[test]
fn places_nobody_can_go_to_are_refused_when_typed() {
    let sandbox = Sandbox::new();
    for (flag, value) in [("--advertise", "rt.example"), ("--advertise", "0.0.0.0:7420"), ("--hostname", "0.0.0.0"), ("--hostname", "a b")]
    {
        sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0", flag, value]).run().expect(3).err_has(&[flag]);
    }
}
