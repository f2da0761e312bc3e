//! `orchctl login`, profiles and roles: another user's coordinator, steered and looked at from elsewhere.

use roundtable_tests::harness::{Output, Playbook, Process, SpecText};
use serde_json::Value;

use crate::world::World;

/// A coordinator, and somewhere else a person who knows nothing of it yet.
struct Elsewhere {
    world: World,
    served: Process,
    data_dir: String,
}

impl Elsewhere {
    fn new() -> Self {
        let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
        let served = world.sandbox.serve();
        let data_dir = world.sandbox.path("elsewhere").display().to_string();
        Self { world, served, data_dir }
    }

    fn token(&self, role: &str) -> Value {
        let made = self.world.sandbox.program("coordinator").args(["token", "create", "--role", role, "--json"]).run().expect(0);
        made.json()
    }

    fn url(&self) -> String {
        let stderr = self.served.stderr();
        let after = stderr.split_once("listening on ").expect("an address").1;
        after.split(',').next().unwrap_or_default().to_owned()
    }

    /// `orchctl …` as that person.
    fn ask(&self, token: Option<&Value>, args: &[&str]) -> Output {
        let asked = self.world.orchctl(args).args(["--data-dir", &self.data_dir]);
        match token.and_then(|token| token["token"].as_str()) {
            Some(token) => asked.env("ROUNDTABLE_TOKEN", token).run(),
            None => asked.run(),
        }
    }
}

#[test]
fn who_logs_in_steers_from_elsewhere_as_far_as_the_role_goes() {
    let it = Elsewhere::new();
    let url = it.url();
    it.ask(None, &["login", &url]).expect(3).err_has(&["no token was given", "coordinator token create"]);
    let operator = it.ask(Some(&it.token("operator")), &["login", &url, "--json"]).expect(0).json();
    assert_eq!((operator["role"].as_str(), operator["url"].as_str()), (Some("operator"), Some(url.as_str())), "{operator:#}");
    let profile = operator["profile"].as_str().expect("a name").to_owned();
    // Bare commands go there, and say so.
    it.ask(None, &["runs"]).expect(0).err_has(&[&format!("profile {profile}: {url}")]);
    it.ask(None, &["pause", "--all", "--profile", &profile]).expect(0).err_has(&[&profile]);
    it.ask(None, &["down"]).expect(1);
    it.ask(None, &["config", "show"]).expect(0).out_has(&["last login"]);

    it.ask(Some(&it.token("viewer")), &["login", &url, "--profile", "looks"]).expect(0).out_has(&["as viewer", "looks"]);
    it.ask(None, &["runs", "--profile", "looks"]).expect(0);
    it.ask(None, &["resume", "--all", "--profile", "looks"]).expect(5).err_has(&["it takes the role operator or admin"]);
    it.ask(None, &["resume", "--all", "--profile", &profile]).expect(0);
    it.ask(None, &["runs", "--profile", "nobody"]).expect(3).err_has(&["there is no profile nobody", "looks"]);
    let records = it.world.sandbox.program("coordinator").args(["audit", "--json"]).run().expect(0).json();
    let kinds = |kind: &str| records.as_array().expect("a list").iter().filter(|each| each["kind"] == kind).count();
    assert_eq!((kinds("joined"), kinds("denied")), (2, 1), "{records:#}");

    it.ask(None, &["logout", "--profile", "looks"]).expect(0).out_has(&["looks", "is forgotten"]);
    it.ask(None, &["logout"]).expect(0).out_has(&[&profile]);
    it.ask(None, &["logout"]).expect(0).out_has(&["nobody is logged in"]);
    let alone = it.ask(None, &["runs"]).expect(0);
    assert!(!alone.stderr.contains("profile"), "{}", alone.said());
}

#[test]
fn a_token_goes_to_its_own_coordinator_once_and_for_people() {
    let it = Elsewhere::new();
    let url = it.url();
    let token = it.token("operator");
    let file = it.world.sandbox.path("token");
    std::fs::write(&file, format!("{}\n", token["token"].as_str().expect("a token"))).expect("written");
    let file = file.display().to_string();
    it.ask(None, &["login", &url, "--token-file", &file]).expect(0);
    // Another key: the one from before is in the profile.
    it.ask(None, &["login", &url, "--token-file", &file]).expect(5).err_has(&["lets nobody in by this token"]);
    it.ask(Some(&it.token("worker")), &["login", &url, "--profile", "w"]).expect(3).err_has(&["is for workers"]);
    it.ask(Some(&serde_json::json!({ "token": "rt1.cut" })), &["login", &url]).expect(3).err_has(&["the token cannot be used"]);
    it.ask(None, &["login", &url, "--token-file", "/nope"]).expect(3).err_has(&["/nope"]);
    // Another cluster's: nothing is told to it.
    let other = it.world.sandbox.path("other").display().to_string();
    let mut stranger = it.world.sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &other]).start();
    stranger.wait_for_stderr("ready");
    let elsewhere = Elsewhere { served: stranger, ..it };
    let refused = elsewhere.ask(Some(&token), &["login", &elsewhere.url(), "--profile", "x"]).expect(5);
    refused.err_has(&["is not the one that is meant", "nothing was sent to it"]);
}
