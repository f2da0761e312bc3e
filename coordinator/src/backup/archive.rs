//! The one file that a backup is: a tar whose first entry lists all others, so that each byte is held to the list while it is read. Every program for tars
//! takes one apart too. Nothing but the list is held in memory, whoever made the file.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IntoInnerError, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use tar::{Archive, Builder, Entries, Entry, EntryType, Header};

use super::copy::{PIECE_BYTES, pump};
use super::unpacked::{expect_plain, make, make_refs};
use super::{BackupError, Checked, DIFFERENCES_MAX, MANIFEST, Manifest, folder};

/// The BLAKE3 of the list, hex: the entry after it.
const DIGEST: &str = "backup.json.blake3";
/// Largest list.
const LIST_BYTES_MAX: u64 = 512 << 20;
/// Largest digest; one has 64 bytes.
const DIGEST_BYTES_MAX: u64 = 128;
/// Longest name of a file, bytes: longer than any file system's.
const NAME_BYTES_MAX: u64 = 64 << 10;

/// Packs a folder into a new file, durably. Each file of the folder goes as soon as it is in, so that there is never all of it twice on the disk.
pub(super) fn pack(folder: &Path, manifest: &Manifest, to: &Path) -> Result<(), BackupError> {
    write(folder, manifest, to).map_err(BackupError::io(to))
}

fn write(folder: &Path, manifest: &Manifest, to: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut builder = Builder::new(BufWriter::with_capacity(PIECE_BYTES, file));
    let list = std::fs::read(folder.join(MANIFEST))?;
    add(&mut builder, MANIFEST, (list.len() as u64, 0o600, 0), list.as_slice())?;
    let digest = blake3::hash(&list).to_hex();
    add(&mut builder, DIGEST, (digest.len() as u64, 0o600, 0), digest.as_bytes())?;
    for (name, listed) in &manifest.files {
        let path = folder.join(name);
        let source = File::open(&path)?;
        let found = source.metadata()?;
        if found.len() != listed.bytes {
            return Err(io::Error::other(format!("{name} changed while the backup was made")));
        }
        let modified = u64::try_from(found.mtime()).unwrap_or(0);
        add(&mut builder, name, (listed.bytes, found.mode() & 0o777, modified), source)?;
        std::fs::remove_file(&path)?;
    }
    builder.into_inner()?.into_inner().map_err(IntoInnerError::into_error)?.sync_all()
}

fn add(builder: &mut Builder<BufWriter<File>>, name: &str, facts: (u64, u32, u64), content: impl Read) -> io::Result<()> {
    let (bytes, mode, modified) = facts;
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(bytes);
    header.set_mode(mode);
    header.set_mtime(modified);
    builder.append_data(&mut header, name, content)
}

/// What a backup says of itself; the rest of it is not read.
pub(super) fn list(file: &Path) -> Result<Manifest, BackupError> {
    if file.is_dir() {
        return folder::list(file);
    }
    let mut archive = open(file)?;
    read_list(&mut Members::of(&mut archive).map_err(BackupError::io(file))?, file)
}

/// Reads all of a backup and holds each file to the list. With a folder, which is made, takes it apart into that.
pub(super) fn walk(file: &Path, into: Option<&Path>) -> Result<Checked, BackupError> {
    if file.is_dir() {
        return folder::walk(file, into);
    }
    let mut archive = open(file)?;
    let mut members = Members::of(&mut archive).map_err(BackupError::io(file))?;
    let manifest = read_list(&mut members, file)?;
    let mut walk = Walk { manifest: &manifest, into, seen: BTreeSet::new(), differences: Vec::new() };
    for member in members {
        match member {
            Ok(member) => walk.take(member)?,
            Err(error) => {
                walk.differ(format!("the file cannot be read to its end: {error}"));
                break;
            }
        }
    }
    let mut differences = walk.differences;
    let lacks = manifest.files.keys().filter(|name| !walk.seen.contains(name.as_str()));
    differences.extend(lacks.map(|name| format!("{name} is not in it")).take(DIFFERENCES_MAX.saturating_sub(differences.len())));
    if let Some(folder) = into {
        make_refs(&manifest, folder)?;
    }
    Ok(Checked { manifest, differences })
}

fn open(file: &Path) -> Result<Archive<BufReader<File>>, BackupError> {
    let opened = File::open(file).map_err(BackupError::io(file))?;
    Ok(Archive::new(BufReader::with_capacity(PIECE_BYTES, opened)))
}

/// The first two entries.
fn read_list<R: Read>(members: &mut Members<'_, R>, file: &Path) -> Result<Manifest, BackupError> {
    let shown = file.display();
    let none = || BackupError::Unfit(format!("{shown} is no backup, or its beginning is lost; `coordinator backup FILE` makes one"));
    let text = bounded(members, MANIFEST, LIST_BYTES_MAX).ok_or_else(none)?;
    let digest = bounded(members, DIGEST, DIGEST_BYTES_MAX).ok_or_else(none)?;
    // A later form says so itself, and may be sealed in another way.
    let manifest = Manifest::parse(&text, file)?;
    if digest != blake3::hash(&text).to_hex().as_bytes() {
        return Err(BackupError::Unfit(format!("the list in {shown} is damaged, so nothing in it can be relied on; use another backup")));
    }
    expect_plain(&manifest, file)?;
    Ok(manifest)
}

/// The next entry, if it is that one.
fn bounded<R: Read>(members: &mut Members<'_, R>, wanted: &str, bytes_max: u64) -> Option<Vec<u8>> {
    let Member { name, entry } = members.next()?.ok()?;
    let is_it = entry.header().entry_type().is_file() && name.as_deref() == Some(wanted) && entry.size() <= bytes_max;
    let mut bytes = Vec::new();
    entry.take(if is_it { bytes_max } else { 0 }).read_to_end(&mut bytes).ok()?;
    is_it.then_some(bytes)
}

/// The entries of a tar as they stand there. The library would put together what other programs say of one beforehand, and read all of that at once; of it
/// backups have names that are too long for a header, and nothing else.
struct Members<'a, R: Read>(Entries<'a, R>);

/// An entry.
struct Member<'a, R: Read> {
    /// `None` if it cannot be read.
    name: Option<String>,
    entry: Entry<'a, R>,
}

impl<'a, R: Read + 'a> Members<'a, R> {
    fn of(archive: &'a mut Archive<R>) -> io::Result<Self> {
        Ok(Self(archive.entries()?.raw(true)))
    }

    /// The entry whose name that one holds.
    fn named_by(&mut self, mut name: Entry<'a, R>) -> io::Result<Member<'a, R>> {
        if name.size() > NAME_BYTES_MAX {
            return Err(io::Error::other(format!("a name in it has {} bytes; {NAME_BYTES_MAX} is the most", name.size())));
        }
        let mut bytes = Vec::new();
        name.read_to_end(&mut bytes)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        let entry = self.0.next().ok_or_else(|| io::Error::other("a name in it is nobody's"))??;
        Ok(Member { name: String::from_utf8(bytes).ok(), entry })
    }
}

impl<'a, R: Read + 'a> Iterator for Members<'a, R> {
    type Item = io::Result<Member<'a, R>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.0.next()? {
            Ok(entry) if entry.header().entry_type().is_gnu_longname() => self.named_by(entry),
            Ok(entry) => {
                let name = entry.path().ok().and_then(|path| Some(path.to_str()?.to_owned()));
                Ok(Member { name, entry })
            }
            Err(error) => Err(error),
        })
    }
}

struct Walk<'a> {
    manifest: &'a Manifest,
    into: Option<&'a Path>,
    seen: BTreeSet<String>,
    differences: Vec<String>,
}

impl Walk<'_> {
    fn differ(&mut self, what: String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(what);
        }
    }

    fn take<R: Read>(&mut self, member: Member<'_, R>) -> Result<(), BackupError> {
        let Member { name, mut entry } = member;
        let Some(name) = name else {
            self.differ("it has an entry whose name cannot be read".to_owned());
            return Ok(());
        };
        let Some(listed) = self.manifest.files.get(&name) else {
            self.differ(format!("{name} is in it, and not in its list"));
            return Ok(());
        };
        if !self.seen.insert(name.clone()) || !entry.header().entry_type().is_file() {
            self.differ(format!("{name} is in it twice, or is no file"));
            return Ok(());
        }
        let mut kept = Kept { file: None, is_refused: false };
        if let Some(folder) = self.into {
            let path = folder.join(&name);
            kept.file = Some(make(&path, entry.header().mode().unwrap_or(0)).map_err(BackupError::io(&path))?);
        }
        match pump(&mut entry, &mut kept) {
            Ok(found) if found == *listed => {}
            Ok(_) => self.differ(format!("{name} is not what the list says")),
            Err(error) if kept.is_refused => return Err(BackupError::io(&self.into.unwrap_or(Path::new("")).join(&name))(error)),
            Err(error) => self.differ(format!("{name} cannot be read: {error}")),
        }
        Ok(())
    }
}

/// Where a file goes, if anywhere; tells a disk that refuses from a backup that cannot be read.
struct Kept {
    file: Option<File>,
    is_refused: bool,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(bytes.len()) };
        let written = file.write(bytes);
        self.is_refused = written.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::super::copy::Copier;
    use super::super::{FORMAT, FileFacts};
    use super::*;

    const FILES: [(&str, &str); 3] =
        [("audit/00000001.jsonl", "{\"row\":1}\n"), ("repos/x.git/HEAD", "ref: refs/heads/main\n"), ("ca/ca.pem", "pem")];

    fn manifest(files: BTreeMap<String, FileFacts>) -> Manifest {
        let text = || "x".to_owned();
        Manifest { format: FORMAT, version: text(), made_at: text(), store: text(), rows: 1, head: text(), files }
    }

    /// A backup of three files, one of them with a name longer than a header has room for.
    fn packed(home: &Path) -> (PathBuf, Vec<(String, String)>) {
        let folder = home.join("files");
        let mut copier = Copier::into(&folder).unwrap();
        let long = format!("segments/{}/1", "long-name-".repeat(15));
        let all: Vec<(String, String)> =
            FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).chain([(long, "event".repeat(400))]).collect();
        for (name, text) in &all {
            copier.bytes(text.as_bytes(), name).unwrap();
        }
        let listed = manifest(copier.files);
        std::fs::write(folder.join(MANIFEST), serde_json::to_vec_pretty(&listed).unwrap()).unwrap();
        let file = home.join("b.tar");
        pack(&folder, &listed, &file).unwrap();
        (file, all)
    }

    fn holds(folder: &Path, all: &[(String, String)]) -> bool {
        all.iter().all(|(name, text)| std::fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *text))
    }

    /// Whether it was taken apart without a word.
    fn is_taken(file: &Path, into: &Path) -> bool {
        let _ = std::fs::remove_dir_all(into);
        walk(file, Some(into)).is_ok_and(|read| read.differences.is_empty())
    }

    #[test]
    fn what_is_packed_is_taken_apart_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let (file, all) = packed(home.path());
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(all.iter().all(|(name, _)| !home.path().join("files").join(name).exists()), "it is not there twice");
        let into = home.path().join("into");
        assert!(is_taken(&file, &into) && holds(&into, &all) && into.join("repos/x.git/refs/heads").is_dir());
        let modes = ["ca", "repos/x.git/refs"].map(|folder| std::fs::metadata(into.join(folder)).unwrap().mode() & 0o777);
        assert_eq!(modes, [0o700; 2]);
        assert_eq!(list(&file).unwrap().files.len(), all.len());
        assert_eq!(walk(&file, None).unwrap().differences, Vec::<String>::new());
    }

    /// Only what counts for nothing may change: the zeros that fill a block.
    #[test]
    fn damage_anywhere_is_noticed_or_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (file, all) = packed(home.path());
        let (whole, into, other) = (std::fs::read(&file).unwrap(), home.path().join("into"), home.path().join("other.tar"));
        let mut noticed = 0;
        for at in (0..whole.len()).step_by(41) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&other, &bytes).unwrap();
            if is_taken(&other, &into) {
                assert!(holds(&into, &all), "byte {at}");
            } else {
                noticed += 1;
            }
        }
        for length in (0..whole.len()).step_by(257) {
            std::fs::write(&other, &whole[..length]).unwrap();
            assert!(!is_taken(&other, &into) || holds(&into, &all), "cut after {length} bytes");
        }
        assert!(noticed > 40, "{noticed} of {}", whole.len() / 41);
        assert!(walk(home.path(), None).unwrap_err().to_string().contains("folder"));
        std::fs::write(&other, "no tar at all").unwrap();
        assert!(list(&other).unwrap_err().to_string().contains("no backup"));
    }

    /// Whoever made it: what stands in it takes no more memory than what is ours.
    #[test]
    fn what_other_programs_say_of_an_entry_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let (file, _) = packed(home.path());
        let whole = std::fs::read(&file).unwrap();
        // Before the zeros at the end.
        let with = |kind: EntryType, bytes: usize| {
            let mut header = Header::new_gnu();
            header.set_path("before").unwrap();
            header.set_entry_type(kind);
            header.set_size(bytes as u64);
            header.set_cksum();
            let content = vec![b'a'; bytes];
            let all = [&whole[..whole.len() - 1024], header.as_bytes().as_slice(), content.as_slice(), [0; 1024].as_slice()].concat();
            std::fs::write(&file, all).unwrap();
            walk(&file, None).unwrap().differences
        };
        let unreadable = "the file cannot be read to its end: a name in it";
        assert_eq!(with(EntryType::GNULongName, 1 << 20), [format!("{unreadable} has 1048576 bytes; 65536 is the most")]);
        assert_eq!(with(EntryType::GNULongName, 512), [format!("{unreadable} is nobody's")]);
        for kind in [EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongLink, EntryType::GNUSparse] {
            assert_eq!(with(kind, 1 << 20), ["before is in it, and not in its list"]);
        }
    }

    #[test]
    fn a_list_of_a_newer_release_or_with_names_that_lead_elsewhere_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("b.tar");
        let facts = || FileFacts { bytes: 1, blake3: "x".to_owned() };
        let of = |name: &str| manifest(BTreeMap::from([(name.to_owned(), facts())]));
        let newer = Manifest { format: FORMAT + 1, ..of("a") };
        for (listed, word) in [(newer, "newer"), (of("../a"), "no backup has"), (of("/etc/a"), "no backup has"), (of(""), "no backup has")]
        {
            let text = serde_json::to_vec(&listed).unwrap();
            let mut builder = Builder::new(BufWriter::new(File::create(&file).unwrap()));
            add(&mut builder, MANIFEST, (text.len() as u64, 0o600, 0), text.as_slice()).unwrap();
            let digest = blake3::hash(&text).to_hex();
            add(&mut builder, DIGEST, (digest.len() as u64, 0o600, 0), digest.as_bytes()).unwrap();
            builder.into_inner().unwrap().into_inner().unwrap();
            let why = list(&file).unwrap_err().to_string();
            assert!(why.contains(word), "{why}");
        }
    }
}
