//! The real logrotate rotates a log that is written to and read all the while: every line is reported, and none twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use secbeat_daemon::time::{now_ms, rfc3339};
use secbeat_tests::lab::{
    executable::{Executable as _, TestProgram},
    process::Daemon,
    wait::wait_until,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const ROTATIONS: usize = 8;

/// What the writer does after a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Goes on with the old file until it is told to open the new one.
    Rename,
    /// Goes on appending to the same file.
    CopyTruncate,
}

/// A folder with a log, its rotations and the reader's state.
struct Lab {
    folder: TempDir,
    mode: Mode,
}

/// Writes numbered lines, each at once, until it is stopped.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Lab {
    fn new(mode: Mode) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-rotation-")
            .tempdir()
            .unwrap();
        let lab = Self { folder, mode };
        fs::create_dir(lab.path("logs")).unwrap();
        File::create(lab.log()).unwrap();
        let how = match mode {
            // The writer learns of it late, as a web server with open requests does.
            Mode::Rename => format!(
                "create\n sharedscripts\n postrotate\n  touch {}\n endscript",
                lab.path("reopen").display()
            ),
            Mode::CopyTruncate => "copytruncate".to_owned(),
        };
        let config = format!(
            "{} {{\n rotate 100\n nocompress\n missingok\n {how}\n}}\n",
            lab.log().display()
        );
        fs::write(lab.path("logrotate.conf"), config).unwrap();
        fs::set_permissions(lab.path("logrotate.conf"), Permissions::from_mode(0o644)).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("logs/access.log")
    }

    fn start_reader(&self) -> Daemon {
        let mut command = Path::new(env!("CARGO_BIN_EXE_log-reader")).command();
        command.arg(self.log()).arg(self.path("state"));
        let mut reader = Daemon::spawn("log-reader", &mut command);
        reader.wait_for_log("following", PATIENCE);
        reader
    }

    fn start_writer(&self) -> Writer {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (log, reopen) = (self.log(), self.path("reopen"));
        let (stopped, count) = (stop.clone(), written.clone());
        let thread = thread::spawn(move || {
            let mut file = append(&log);
            while !stopped.load(Relaxed) {
                if fs::remove_file(&reopen).is_ok() {
                    file = append(&log);
                }
                for _ in 0..20 {
                    let number = count.fetch_add(1, Relaxed);
                    file.write_all(line(number).as_bytes()).unwrap();
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Writer {
            stop,
            written,
            thread,
        }
    }

    fn rotate(&self) {
        let output = TestProgram::Logrotate
            .command()
            .args(["--force", "--state"])
            .arg(self.path("logrotate.state"))
            .arg(self.path("logrotate.conf"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        if self.mode == Mode::Rename {
            let reopen = self.path("reopen");
            wait_until("the writer has opened its new log", PATIENCE, || !reopen.exists());
        }
    }

    /// The reader's checkpoint as it is now.
    fn checkpoint(&self) -> Vec<u8> {
        let mut files = fs::read_dir(self.path("state/access_log")).unwrap().flatten();
        let file = files.find(|file| file.path().extension().is_some_and(|kind| kind == "json"));
        file.map(|file| fs::read(file.path()).unwrap())
            .unwrap_or_default()
    }

    /// The numbers of all lines that are in the log and its rotations.
    fn in_files(&self) -> BTreeSet<u64> {
        let files = fs::read_dir(self.path("logs")).unwrap();
        files
            .flat_map(|file| numbers(&fs::read_to_string(file.unwrap().path()).unwrap(), "GET /"))
            .collect()
    }
}

impl Writer {
    fn wait_for(&self, lines: u64) {
        let goal = self.written.load(Relaxed) + lines;
        wait_until("the writer has written more", PATIENCE, || {
            self.written.load(Relaxed) >= goal
        });
    }

    /// Stops it and says how many lines it wrote.
    fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap();
        self.written.load(Relaxed)
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn line(number: u64) -> String {
    let at = rfc3339(now_ms());
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months[at[5..7].parse::<usize>().unwrap() - 1];
    let (year, day, time) = (&at[..4], &at[8..10], &at[11..19]);
    format!(
        "203.0.113.7 - - [{day}/{month}/{year}:{time} +0000] \"GET /{number} HTTP/1.1\" 404 9 \"-\" \"writer\"\n"
    )
}

/// The numbers behind each `mark` in a text.
fn numbers(text: &str, mark: &str) -> Vec<u64> {
    let digits = |part: &str| {
        part.split(|char: char| !char.is_ascii_digit())
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    text.split(mark).skip(1).map(digits).collect()
}

/// What a reader has reported, by how often.
fn reported(readers: &[&Daemon]) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for reader in readers {
        let log = reader.log();
        let paths = log.lines().filter_map(|line| line.strip_prefix('/'));
        paths.for_each(|number| *times.entry(number.parse().unwrap()).or_default() += 1);
    }
    times
}

/// Waits until the reader has reported the last of `written` lines, and ends it.
fn finish(reader: &mut Daemon, written: u64) {
    reader.wait_for_log(&format!("/{}\n", written - 1), PATIENCE);
    assert!(reader.terminate(PATIENCE).success());
}

#[test]
fn every_line_is_reported_once_across_renames() {
    let lab = Lab::new(Mode::Rename);
    let mut reader = lab.start_reader();
    let writer = lab.start_writer();
    for _ in 0..ROTATIONS {
        writer.wait_for(1000);
        lab.rotate();
    }
    let written = writer.stop();
    finish(&mut reader, written);
    let reported = reported(&[&reader]);
    let expected: BTreeMap<u64, usize> = (0..written).map(|number| (number, 1)).collect();
    assert!(reported == expected, "{}", difference(&reported, written));
    reader.wait_for_log(
        &format!("read {written} rotations {ROTATIONS} truncations 0"),
        PATIENCE,
    );
}

#[test]
fn every_line_that_copytruncate_leaves_is_reported_once() {
    let lab = Lab::new(Mode::CopyTruncate);
    let mut reader = lab.start_reader();
    let writer = lab.start_writer();
    for _ in 0..ROTATIONS {
        writer.wait_for(1000);
        lab.rotate();
    }
    writer.wait_for(1000);
    let written = writer.stop();
    finish(&mut reader, written);
    let reported = reported(&[&reader]);
    assert!(
        reported.values().all(|times| *times == 1),
        "{}",
        difference(&reported, written)
    );
    // What was written between logrotate's copy and its truncation is in no file; the reader may have seen it or not.
    let unread: Vec<u64> = lab
        .in_files()
        .into_iter()
        .filter(|number| !reported.contains_key(number))
        .collect();
    assert!(
        unread.is_empty(),
        "{} lines in the files were not reported: {:?}",
        unread.len(),
        unread.first()
    );
    reader.wait_for_log(&format!("truncations {ROTATIONS}"), PATIENCE);
}

#[test]
fn every_line_is_reported_once_across_restarts_with_rotations_in_between() {
    let lab = Lab::new(Mode::Rename);
    let mut first = lab.start_reader();
    let writer = lab.start_writer();
    writer.wait_for(1000);
    lab.rotate();
    writer.wait_for(1000);
    assert!(first.terminate(PATIENCE).success());
    for _ in 0..3 {
        writer.wait_for(1000);
        lab.rotate();
    }
    writer.wait_for(1000);
    let mut second = lab.start_reader();
    writer.wait_for(1000);
    let written = writer.stop();
    finish(&mut second, written);
    let reported = reported(&[&first, &second]);
    let expected: BTreeMap<u64, usize> = (0..written).map(|number| (number, 1)).collect();
    assert!(reported == expected, "{}", difference(&reported, written));
}

#[test]
fn a_killed_reader_loses_no_line_and_repeats_only_what_its_last_checkpoint_did_not_cover() {
    let lab = Lab::new(Mode::Rename);
    let writer = lab.start_writer();
    let mut readers = vec![lab.start_reader()];
    let first = writer.written.load(Relaxed);
    let mut covered = Vec::new();
    for _ in 0..4 {
        writer.wait_for(1000);
        let reader = readers.last_mut().unwrap();
        let before = writer.written.load(Relaxed);
        reader.wait_for_log(&format!("/{before}\n"), PATIENCE);
        for _ in 0..2 {
            let checkpoint = lab.checkpoint();
            wait_until("a new checkpoint", PATIENCE, || lab.checkpoint() != checkpoint);
        }
        reader.kill9();
        covered.push(before);
        lab.rotate();
        readers.push(lab.start_reader());
    }
    let written = writer.stop();
    finish(readers.last_mut().unwrap(), written);
    let all: Vec<&Daemon> = readers.iter().collect();
    let reported = reported(&all);
    // The first reader began somewhere: at the end of what was there.
    let start = *reported.keys().next().unwrap();
    assert!(
        start <= first,
        "the first of {first} lines was not seen, but {start}"
    );
    let lost: Vec<u64> = (start..written)
        .filter(|number| !reported.contains_key(number))
        .collect();
    assert!(
        lost.is_empty(),
        "{} lines lost, the first is {:?}",
        lost.len(),
        lost.first()
    );
    for (killed, before) in covered.iter().enumerate() {
        let mut of_both = BTreeMap::new();
        for reader in &readers[killed..=killed + 1] {
            numbers(&reader.log(), "\n/")
                .into_iter()
                .for_each(|number| *of_both.entry(number).or_insert(0) += 1);
        }
        let repeated: Vec<u64> = of_both
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(number, _)| number)
            .collect();
        println!("SIGKILL {killed}: {} lines repeated", repeated.len());
        assert!(
            repeated.first().is_none_or(|first| first >= before),
            "a checkpoint covered {before}: {repeated:?}"
        );
    }
}

/// What differs from each of `written` lines once.
fn difference(reported: &BTreeMap<u64, usize>, written: u64) -> String {
    let lost: Vec<u64> = (0..written)
        .filter(|number| !reported.contains_key(number))
        .collect();
    let twice: Vec<&u64> = reported
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|(number, _)| number)
        .collect();
    format!(
        "of {written} lines {} were lost, from {:?}; {} came twice, from {:?}",
        lost.len(),
        lost.first(),
        twice.len(),
        twice.first()
    )
}
