//! Files that are whole or not there: written beside, synced, renamed. Blocking; async callers use `spawn_blocking`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Readable and writable by the owner alone.
pub const PRIVATE: u32 = 0o600;
/// Readable by everyone.
pub const PUBLIC: u32 = 0o644;

/// Replaces (or makes) a file with these bytes and this mode. After it returns, a power cut leaves the new content; before, the old one.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(dir)
        .map_err(|error| unnamed(error, dir))?;
    file.write_all(bytes)?;
    // The mode given at creation was cut by the umask.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(dir)
}

/// Whether an error means that there is no room, for this user or at all: what failed so may succeed later.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What is short where a disk that has bytes left takes no more files.
pub fn short_of_files(dir: &Path) -> Option<&'static str> {
    let facts = rustix::fs::statvfs(dir).ok()?;
    // File systems that know no such number say that they have none at all.
    (facts.f_files > 0 && facts.f_favail == 0).then_some("no more files can be made there: its inodes are used up (`df -i`)")
}

/// The error without the temporary file's name: nobody can find that file, and a message that differs each time cannot be said once.
fn unnamed(error: io::Error, dir: &Path) -> io::Error {
    if let Some(short) = short_of_files(dir).filter(|_| is_full(&error)) {
        return io::Error::new(error.kind(), short);
    }
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// Makes a new file with these bytes; fails if there is one already.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_dir(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Makes a directory (and those above it) that only the owner may enter. An existing one is closed to others.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    create_dir_unless_there(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The same, but an existing one stays as it is: who made it may want others to enter.
pub fn create_dir_unless_there(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Waits until a directory's entries are on disk.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Waits until all that was written to the file system of a directory is on disk: where many files were written, one wait for all of them.
pub fn sync_file_system(dir: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

/// Reads a file of at most `bytes_max`, or `None` if it is absent.
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, bytes_max.saturating_add(1)), &mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_are_made_for_their_owner_and_one_that_is_there_stays_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o777;
        let (above, made) = (home.path().join("a"), home.path().join("a/b"));
        create_dir_unless_there(&made).unwrap();
        assert_eq!((mode(&above), mode(&made)), (0o700, 0o700));
        fs::set_permissions(&made, fs::Permissions::from_mode(0o750)).unwrap();
        create_dir_unless_there(&made).unwrap();
        assert_eq!(mode(&made), 0o750);
        create_private_dir(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"one", PUBLIC).unwrap();
        write_atomic(&path, b"two", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(write_new(&path, b"three", PRIVATE).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let absent = dir.path().join("absent/f");
        let said = || write_atomic(&absent, b"x", PUBLIC).unwrap_err().to_string();
        assert_eq!(said(), said());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn reading_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(read_bounded(&path, 3).unwrap(), None);
        write_atomic(&path, b"1234", PUBLIC).unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap().unwrap(), b"1234");
        assert_eq!(read_bounded(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
