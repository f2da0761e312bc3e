//! The reader against pipes and files of our own, without any processes.
#![allow(clippy::unwrap_used)]
use super::*;
use std::io::Write;

/// Collects; sleeps on lines that say so.
#[derive(Default)]
struct Collect {
    lines: Vec<(Stream, Vec<u8>, bool)>,
    elided: u64,
}

impl LineSink for Collect {
    fn line(&mut self, stream: Stream, line: &[u8], truncated: bool) {
        if let Some(ms) = line.strip_prefix(b"sleep ") {
            std::thread::sleep(Duration::from_millis(std::str::from_utf8(ms).unwrap().parse().unwrap()));
        }
        assert_ne!(line, b"panic", "as the test asked");
        self.lines.push((stream, line.to_vec(), truncated));
    }

    fn elided(&mut self, _: Stream, bytes: u64) {
        self.elided += bytes;
    }
}

struct Rig {
    stdout: Option<std::io::PipeWriter>,
    stderr: Option<std::io::PipeWriter>,
    reader: Reader,
    sink: tokio::sync::oneshot::Receiver<Collect>,
    progress: Arc<Progress>,
}

fn pipe() -> (File, std::io::PipeWriter) {
    let (read, write) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&read, true).unwrap();
    (File::from(OwnedFd::from(read)), write)
}

fn rig(follow: Option<File>) -> Rig {
    let (out_read, out_write) = pipe();
    let (err_read, err_write) = pipe();
    let progress = Arc::new(Progress::default());
    let stdout = follow.map_or(Source::Pipe(out_read), Source::Follow);
    let (reader, sink) = Reader::start(stdout, Source::Pipe(err_read), Collect::default(), Arc::clone(&progress)).unwrap();
    Rig { stdout: Some(out_write), stderr: Some(err_write), reader, sink, progress }
}

fn text(line: &(Stream, Vec<u8>, bool)) -> &str {
    std::str::from_utf8(&line.1).unwrap()
}

#[tokio::test]
async fn both_streams_arrive_whole_with_their_unfinished_ends() {
    let mut rig = rig(None);
    rig.stdout.as_mut().unwrap().write_all(b"one\ntwo").unwrap();
    rig.stderr.as_mut().unwrap().write_all(b"\xff\0bad\n").unwrap();
    rig.stdout = None;
    rig.stderr = None;
    assert_eq!(rig.reader.finish().await, Drained { held_open: false });
    let sink = rig.sink.await.unwrap();
    let of = |stream| sink.lines.iter().filter(|line| line.0 == stream).map(|line| line.1.clone()).collect::<Vec<_>>();
    assert_eq!(of(Stream::Stdout), vec![b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(of(Stream::Stderr), vec![b"\xff\0bad".to_vec()]);
    assert_eq!((rig.progress.stdout_bytes(), rig.progress.stderr_bytes()), (7, 6));
}

#[tokio::test]
async fn a_pipe_that_somebody_holds_is_given_up() {
    let mut rig = rig(None);
    rig.stdout.as_mut().unwrap().write_all(b"last\nwords").unwrap();
    let began = Instant::now();
    assert_eq!(rig.reader.finish().await, Drained { held_open: true });
    assert!(began.elapsed() < HELD_OPEN_WAIT + Duration::from_secs(5));
    assert_eq!(rig.sink.await.unwrap().lines.iter().map(text).collect::<Vec<_>>(), ["last", "words"]);
}

#[tokio::test]
async fn a_file_is_followed_to_its_end_and_given_back_to_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let mut writer = File::options().create(true).append(true).open(&path).unwrap();
    let rig = rig(Some(File::options().read(true).write(true).open(&path).unwrap()));
    let line = [b"x".repeat((1 << 20) - 1), b"\n".to_vec()].concat();
    for _ in 0..12 {
        writer.write_all(&line).unwrap();
    }
    writer.write_all(b"end").unwrap();
    drop((rig.stdout, rig.stderr));
    assert_eq!(rig.reader.finish().await, Drained { held_open: false });
    let sink = rig.sink.await.unwrap();
    assert_eq!(sink.lines.len(), 13);
    assert_eq!(text(sink.lines.last().unwrap()), "end");
    let kept = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap()) * 512;
    assert!(kept <= 2 * PUNCH_BYTES, "{kept} bytes are still on the disk");
}

#[tokio::test]
async fn a_slow_sink_costs_the_oldest_lines_never_the_last() {
    let mut rig = rig(None);
    let mut out = rig.stdout.take().unwrap();
    let began = Instant::now();
    let written = std::thread::spawn(move || {
        out.write_all(b"sleep 4000\n").unwrap();
        let line = [b"x".repeat((1 << 20) - 1), b"\n".to_vec()].concat();
        for _ in 0..20 {
            out.write_all(&line).unwrap();
        }
        out.write_all(b"terminal\n").unwrap();
    });
    drop(rig.stderr.take());
    written.join().unwrap();
    assert!(began.elapsed() < Duration::from_millis(3500), "the agent was kept waiting for the sink");
    rig.reader.finish().await;
    let sink = rig.sink.await.unwrap();
    assert_eq!(text(&sink.lines[0]), "sleep 4000");
    assert_eq!(text(sink.lines.last().unwrap()), "terminal");
    assert!(sink.elided >= 11 << 20, "{} bytes elided", sink.elided);
    let kept: u64 = sink.lines.iter().map(|line| line.1.len() as u64 + 1).sum();
    assert_eq!(kept + sink.elided, rig.progress.stdout_bytes());
    assert_eq!(sink.elided, rig.progress.elided_bytes());
}

#[tokio::test]
async fn a_panicking_sink_does_not_stop_the_reader() {
    let mut rig = rig(None);
    let mut out = rig.stdout.take().unwrap();
    drop(rig.stderr.take());
    out.write_all(b"panic\n").unwrap();
    for _ in 0..20 {
        out.write_all(&b"x\n".repeat(512 << 10)).unwrap();
    }
    drop(out);
    assert_eq!(rig.reader.finish().await, Drained { held_open: false });
    assert!(rig.sink.await.is_err());
    assert_eq!(rig.progress.stdout_bytes(), 6 + (20 << 20));
}

#[tokio::test]
async fn a_file_that_outruns_its_reader_keeps_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let line = [b"x".repeat((1 << 20) - 1), b"\n".to_vec()].concat();
    let mut content = line.repeat(usize::try_from(BEHIND_BYTES_MAX >> 20).unwrap() + 6);
    content.extend_from_slice(b"terminal\n");
    std::fs::write(&path, &content).unwrap();
    let rig = rig(Some(File::options().read(true).write(true).open(&path).unwrap()));
    drop((rig.stdout, rig.stderr));
    rig.reader.finish().await;
    let sink = rig.sink.await.unwrap();
    assert_eq!(text(sink.lines.last().unwrap()), "terminal");
    assert!(sink.elided >= BEHIND_BYTES_MAX - CATCH_UP_BYTES);
    assert!(sink.lines.iter().all(|line| line.1.len() == (1 << 20) - 1 || line.1 == b"terminal"), "half a line was handed over");
    assert_eq!(rig.progress.stdout_bytes(), content.len() as u64);
}
