//! A small file system of a host's own: an image that is mounted through a loop device, so that it can be filled to its last block.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::tools::{attempt, is_gone, run, text};

/// Room for everything that hours of runs keep, and for what programs hold in reserve. It is taken only as it is written to.
const BYTES: u64 = 1 << 30;
/// Room for as many files: each attempt has about five, so that what is usual for so small a disk is taken up within an hour.
const FILES: &str = "524288";
/// The file that fills it.
const FILLER: &str = "filler";
/// Filling goes in steps down to this size.
const STEP_MIN: u64 = 4096;

/// What an image is called after, so that it is known whose it was.
const MARK: &str = "rtc-";

/// A mounted image; dropped, it is unmounted.
#[derive(Debug)]
pub(super) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts a new one there. The image lies beside it.
    pub(super) fn mount(at: &Path) -> Self {
        let image = at.with_extension(format!("{MARK}{}.img", std::process::id()));
        let made = File::create(&image).and_then(|file| file.set_len(BYTES)).and_then(|()| std::fs::create_dir_all(at));
        made.unwrap_or_else(|error| panic!("{}: {error}", image.display()));
        run("mkfs.ext4", &["-q", "-m", "0", "-N", FILES, "-E", "lazy_itable_init=1,lazy_journal_init=1", text(&image)]);
        run("mount", &["-o", "loop", text(&image), text(at)]);
        Self { at: at.to_owned() }
    }

    /// Takes all the room there is.
    pub(super) fn fill(&self) {
        let file = OpenOptions::new().create(true).append(true).open(self.at.join(FILLER));
        let Ok(file) = file else { return };
        let mut length = file.metadata().map_or(0, |meta| meta.len());
        let mut step = statvfs(&self.at).map_or(BYTES, |found| (found.f_bavail * found.f_frsize).max(STEP_MIN));
        while step >= STEP_MIN {
            match fallocate(&file, FallocateFlags::empty(), length, step) {
                Ok(()) => length += step,
                Err(_) => step /= 2,
            }
        }
    }

    /// Gives it back.
    pub(super) fn free(&self) {
        let _ = std::fs::remove_file(self.at.join(FILLER));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = attempt("umount", &["-l", text(&self.at)], "");
    }
}

/// Unmounts the disks that a killed maker has left.
pub(super) fn sweep() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for device in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let Ok(image) = std::fs::read_to_string(device.path().join("loop/backing_file")) else { continue };
        if !maker_of(image.trim()).is_some_and(is_gone) {
            continue;
        }
        let name = format!("/dev/{}", device.file_name().to_string_lossy());
        let places = mounts.lines().filter_map(|line| line.strip_prefix(&name)?.strip_prefix(' ')?.split(' ').next());
        places.for_each(|at| drop(attempt("umount", &["-l", at], "")));
    }
}

/// Who made an image, by the kernel's word on it.
fn maker_of(image: &str) -> Option<&str> {
    image.trim_end_matches(" (deleted)").strip_suffix(".img")?.rsplit_once(&format!(".{MARK}")).map(|(_, maker)| maker)
}

#[test]
fn an_image_tells_who_made_it() {
    assert_eq!(maker_of("/tmp/rt-x/first/data.rtc-4711.img"), Some("4711"));
    assert_eq!(maker_of("/tmp/rt-x/first/data.rtc-4711.img (deleted)"), Some("4711"));
    assert_eq!(maker_of("/var/lib/disk.img"), None);
    assert!(!is_gone(&std::process::id().to_string()) && !is_gone("disk"), "neither may be swept");
}
