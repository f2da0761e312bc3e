//! Packs of outcomes: whatever a worker sends as the objects of its commit is refused without a trace, or whole and well-formed; and no path of it leaves the
//! repository or touches git's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use roundtable_runtime::git::{
    EntryMode, Git, GitError, GitProgram, ObjectFormat, Oid, ReceiveLimits, RefName, Sender, Signature, TreeEdit,
};
use tokio::runtime::Runtime;

/// Objects of one input.
const OBJECTS_MAX: usize = 12;
/// Problems that are listed.
const PROBLEMS_MAX: usize = 10;

/// Reads the bytes as a pack, as objects to be packed, or as objects whose pack is damaged.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = crate::chosen(data, 4) else { return };
    let place = place();
    match kind {
        0 => place.receives(bytes, &place.base),
        1 => {
            let Some((at, bytes)) = bytes.split_first_chunk::<2>() else { return };
            let (mut pack, tip) = Objects::of(bytes, place).pack();
            let at = usize::from(u16::from_le_bytes(*at)) % pack.len();
            pack[at] ^= 0x10;
            place.receives(&pack, &tip);
        }
        _ => {
            let (pack, tip) = Objects::of(bytes, place).pack();
            place.receives(&pack, &tip);
        }
    }
}

struct Place {
    runtime: Runtime,
    git: Git,
    base: Oid,
    base_tree: Oid,
    blob: Oid,
    _dir: tempfile::TempDir,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        // Nobody takes it away at the end: `.ci/run` names a place that goes.
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (git, base, base_tree, blob) = runtime.block_on(repository(dir.path()));
        Place { runtime, git, base, base_tree, blob, _dir: dir }
    })
}

/// A repository with one commit, which is always the same.
async fn repository(dir: &Path) -> (Git, Oid, Oid, Oid) {
    let program = GitProgram::find().await.unwrap();
    let git = program.init_bare(dir.join("store.git"), ObjectFormat::Sha1).await.unwrap().without_sync();
    let blob = git.write_blob("a file\n").await.unwrap();
    let nothing = Oid::parse("4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap();
    let put = |path: &str, mode| TreeEdit::Put { path: path.to_owned(), mode, oid: blob.clone() };
    let tree = git.edit_tree(&nothing, &[put("a.txt", EntryMode::File), put("src/b.sh", EntryMode::Executable)]).await.unwrap();
    let base = git.commit_tree(&tree, &[], &Signature::roundtable(1), "base\n").await.unwrap();
    git.move_ref(&RefName::branch("main").unwrap(), None, &base).await.unwrap();
    (git, base, tree, blob)
}

impl Place {
    fn receives(&self, pack: &[u8], tip: &Oid) {
        let before = files_below(&self.git.git_dir().join("objects"));
        self.runtime.block_on(self.receive(pack, tip));
        assert_eq!(files_below(&self.git.git_dir().join("objects")), before, "something stays behind");
    }

    async fn receive(&self, mut pack: &[u8], tip: &Oid) {
        let received = self.git.receive_pack(&mut pack, std::slice::from_ref(tip), Sender::Peer, ReceiveLimits::default()).await;
        let received = match received {
            Ok(received) => received,
            Err(GitError::PackRefused { why }) => return assert!(!why.is_empty()),
            Err(error) => panic!("neither taken nor refused: {error}"),
        };
        let git = received.git().clone();
        assert_eq!(git.fsck(PROBLEMS_MAX).await.unwrap(), Vec::<String>::new(), "what is taken is whole");
        assert_eq!(git.kinds(std::slice::from_ref(tip)).await.unwrap(), [Some("commit".to_owned())]);
        // What is judged of it: a name that cannot be told is refused here, as a whole.
        match git.changed_paths(&self.base, tip).await {
            Ok(changes) => changes.iter().for_each(|change| is_inside(&change.path)),
            Err(GitError::BadPath { why, .. }) => assert!(!why.is_empty()),
            Err(error) => panic!("it cannot be judged: {error}"),
        }
        for entry in git.list_tree(tip, None, 1_000).await.unwrap().entries {
            is_inside(&entry.path);
        }
    }
}

/// Odd names are files like others; those that mean another place are not.
fn is_inside(path: &str) {
    let is_git_dir = |part: &str| part.trim_end_matches([' ', '.']).eq_ignore_ascii_case(".git");
    assert!(!path.split('/').any(|part| matches!(part, "" | "." | "..")) && !path.contains('\0'), "{path:?} was taken");
    assert!(!path.split(['/', '\\']).any(is_git_dir), "{path:?} was taken");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let folder = entry.file_type().unwrap().is_dir();
            found.push(entry.path());
            if folder {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Objects as the input describes them, each of which may name those before it.
struct Objects {
    objects: Vec<(u8, Vec<u8>)>,
    oids: Vec<Oid>,
    tip: Oid,
}

const COMMIT: u8 = 1;
const TREE: u8 = 2;
const BLOB: u8 = 3;

impl Objects {
    fn of(mut bytes: &[u8], place: &Place) -> Self {
        let oids = vec![place.blob.clone(), place.base_tree.clone(), place.base.clone()];
        let mut made = Self { objects: Vec::new(), oids, tip: place.base.clone() };
        while let Some(kind) = take(&mut bytes)
            && made.objects.len() < OBJECTS_MAX
        {
            match kind % 4 {
                0 => made.add(BLOB, text(&mut bytes)),
                1 | 2 => {
                    let tree = made.tree(&mut bytes);
                    made.add(TREE, tree);
                }
                _ => {
                    let commit = made.commit(&mut bytes);
                    made.add(COMMIT, commit);
                }
            }
        }
        made
    }

    fn add(&mut self, kind: u8, content: Vec<u8>) {
        let word = ["", "commit", "tree", "blob"][usize::from(kind)];
        let named = [format!("{word} {}\0", content.len()).as_bytes(), &content].concat();
        let oid = Oid::parse(&hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &named).as_ref())).unwrap();
        if kind == COMMIT {
            self.tip = oid.clone();
        }
        self.oids.push(oid);
        self.objects.push((kind, content));
    }

    /// Entries of any name and mode, in the order given: git asks for another.
    fn tree(&self, bytes: &mut &[u8]) -> Vec<u8> {
        const MODES: [&str; 8] = ["100644", "100755", "120000", "40000", "160000", "100664", "040000", "100600"];
        let mut tree = Vec::new();
        for _ in 0..take(bytes).unwrap_or(0) % 6 {
            let mode = MODES[usize::from(take(bytes).unwrap_or(0) % 8)];
            let name = text(bytes);
            let oid = self.earlier(bytes);
            tree.extend([mode.as_bytes(), b" ", &name, b"\0", &oid].concat());
        }
        tree
    }

    fn commit(&self, bytes: &mut &[u8]) -> Vec<u8> {
        let tree = hex(&self.earlier(bytes));
        let parents = (0..take(bytes).unwrap_or(1) % 3).map(|_| format!("parent {}\n", hex(&self.earlier(bytes)))).collect::<String>();
        let who = "a <a@b.c> 1700000000 +0000";
        let head = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n");
        [head.as_bytes(), b"\n", &text(bytes)].concat()
    }

    /// An object that was there before, or one that is nowhere.
    fn earlier(&self, bytes: &mut &[u8]) -> Vec<u8> {
        let at = usize::from(take(bytes).unwrap_or(0)) % (self.oids.len() + 1);
        self.oids.get(at).map_or_else(|| vec![0xee; 20], |oid| unhex(oid.as_str()))
    }

    /// The pack, with its sum; objects are packed without being compressed.
    fn pack(&self) -> (Vec<u8>, Oid) {
        let count = u32::try_from(self.objects.len()).unwrap();
        let mut pack = [&b"PACK"[..], &2_u32.to_be_bytes(), &count.to_be_bytes()].concat();
        for (kind, content) in &self.objects {
            let mut size = content.len();
            let mut byte = kind << 4 | u8::try_from(size & 15).unwrap();
            size >>= 4;
            while size > 0 {
                pack.push(byte | 0x80);
                byte = u8::try_from(size & 0x7f).unwrap();
                size >>= 7;
            }
            pack.push(byte);
            pack.extend(stored(content));
        }
        pack.extend_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &pack.clone()).as_ref());
        (pack, self.tip.clone())
    }
}

/// A zlib stream of one block that is stored as it is: contents here are shorter than a block may be.
fn stored(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in content {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    [&[0x78, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes(), content, &(b << 16 | a).to_be_bytes()].concat()
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// A length, and so many bytes.
fn text(bytes: &mut &[u8]) -> Vec<u8> {
    let length = usize::from(take(bytes).unwrap_or(0)).min(bytes.len());
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    text.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
