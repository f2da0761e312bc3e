//! The committed code of `src/generated` is what the `.proto` files give today.

use std::fs;
use std::path::Path;

#[test]
fn committed_code_is_what_the_proto_files_give() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["common", "attempt", "fleet", "control", "admission"].map(|name| here.join(format!("roundtable/v1/{name}.proto")));
    let descriptors = protox::compile(files, [here]).expect("the proto files compile");
    let out = tempfile::tempdir().expect("a temporary directory");
    tonic_prost_build::configure()
        .out_dir(out.path())
        .build_client(true)
        .build_server(true)
        // It carries a secret: its `Debug` is written by hand.
        .skip_debug([".roundtable.v1.JoinRequest"])
        .compile_fds(descriptors)
        .expect("code is generated");
    let fresh = fs::read_to_string(out.path().join("roundtable.v1.rs")).expect("generated code");
    let committed = here.join("src/generated/roundtable.v1.rs");
    if std::env::var_os("ROUNDTABLE_REGENERATE").is_some() {
        fs::write(&committed, &fresh).expect("the committed file is writable");
    }
    let present = fs::read_to_string(&committed).unwrap_or_default();
    assert!(present == fresh, "stale: run ROUNDTABLE_REGENERATE=1 cargo test -p roundtable-proto --features regenerate");
}
