//! Files step by step: what a look and a reading find after each change.

mod copies;
mod doubtful;
mod lists;
mod places;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    num::NonZeroUsize,
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
    sync::Arc,
};

use secbeat_common::wire::{self, LearnedFrom};
use secbeat_daemon::time::now_ms;
use tempfile::TempDir;

use super::{checkpoint::Saved, claims::Claimant, follow::Follower, health::Health, report::Reporter, *};
use crate::{signatures::SignaturesConfig, telemetry::Queue, view::AccessLogView};

const ROOM: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// A folder with logs, and those that follow them.
struct Lab {
    folder: TempDir,
    config: AccessLogConfig,
    trusted: TrustedProxies,
    recorder: Recorder,
    queue: Queue,
    health: Arc<Health>,
}

impl Lab {
    /// Follows `pattern` in a folder of its own; `more` is more of the config.
    fn new(pattern: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(pattern);
        let config = toml::from_str(&format!("path = \"{}\"\n{more}", path.display())).unwrap();
        let (recorder, queue) = Recorder::channel(ROOM);
        Self {
            folder,
            config,
            trusted: TrustedProxies::default(),
            recorder,
            queue,
            health: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Appends lines that ask for these paths, as a server that opens its log again each time.
    fn log(&self, name: &str, paths: &[&str]) {
        write(&append(&self.path(name)), paths);
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn start(&mut self, saved: Option<Saved>) -> Follower {
        let claimant = Claimant::all(vec![self.config.place.clone()]).remove(0);
        self.start_as(claimant, saved)
    }

    fn start_as(&mut self, claimant: Claimant, saved: Option<Saved>) -> Follower {
        self.health = Arc::default();
        let Source {
            reading,
            max_age,
            zone,
            ..
        } = self.config.source(0, &self.trusted, &self.recorder);
        let in_doubt = saved.as_ref().and_then(|saved| saved.in_doubt.as_deref());
        let reporter = Reporter::new(reading, max_age, zone, self.health.clone(), in_doubt);
        let Place::Files(pattern) = self.config.place.clone() else {
            unreachable!("a path was given");
        };
        Follower::start(pattern, claimant, self.config.start, reporter, saved)
    }

    /// Looks, reads to the end, and says which paths were reported.
    fn read(&mut self, follower: &mut Follower) -> Vec<String> {
        follower.look();
        self.read_only(follower)
    }

    fn read_only(&mut self, follower: &mut Follower) -> Vec<String> {
        while follower.read().unwrap() {}
        let all = std::iter::from_fn(|| self.queue.try_next());
        all.map(|answer| answer.request.unwrap().path).collect()
    }

    fn view(&self) -> AccessLogView {
        AccessLogView::new(&self.health, now_ms())
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn line(path: &str, age_s: i64) -> String {
    use secbeat_daemon::time::rfc3339;
    let at = rfc3339(now_ms() - age_s * 1000);
    let (year, month, day, time) = (&at[..4], &at[5..7], &at[8..10], &at[11..19]);
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ][month.parse::<usize>().unwrap() - 1];
    format!("203.0.113.7 - - [{day}/{month}/{year}:{time} +0000] \"GET {path} HTTP/1.1\" 404 9 \"-\" \"t\"\n")
}

fn write(mut file: &File, paths: &[&str]) {
    let lines: String = paths.iter().map(|path| line(path, 0)).collect();
    file.write_all(lines.as_bytes()).unwrap();
}

#[test]
fn what_was_there_is_left_alone_and_what_comes_is_read_when_its_end_is_there() {
    let mut lab = Lab::new("a.log", "client = \"header\"");
    lab.log("a.log", &["/before"]);
    let mut follower = lab.start(None);
    assert_eq!(lab.read(&mut follower), [""; 0]);
    let text = line("/1?key=secret", 0);
    let (head, tail) = text.split_at(40);
    append(&lab.path("a.log")).write_all(head.as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    append(&lab.path("a.log")).write_all(tail.as_bytes()).unwrap();
    while follower.read().unwrap() {}
    let answer = lab.queue.try_next().unwrap();
    assert_eq!(answer.request.unwrap().path, "/1");
    assert_eq!((answer.status, answer.learned_from), (404, LearnedFrom::Header));
    assert!(lab.queue.is_empty());
}

#[test]
fn what_a_line_matches_is_reported_and_its_query_is_not() {
    let mut lab = Lab::new("a.log", "");
    lab.recorder.signatures().apply(&SignaturesConfig::default());
    let mut follower = lab.start(None);
    let good = |path| line(path, 0).replace("\" 404 9", "\" 200 9");
    let lines = [good("/list?id=1+union+select+password,1"), good("/list")].concat();
    append(&lab.path("a.log")).write_all(lines.as_bytes()).unwrap();
    follower.look();
    while follower.read().unwrap() {}
    let request = lab.queue.try_next().unwrap().request.unwrap();
    let ids: Vec<_> = request
        .signatures
        .iter()
        .map(|signature| signature.id.as_str())
        .collect();
    assert_eq!(
        (request.path.as_str(), &ids[..]),
        ("/list", &["sqli-union-select"][..])
    );
    assert!(lab.queue.try_next().unwrap().request.is_none());
}

#[test]
fn a_line_half_written_when_the_edge_starts_is_read_whole() {
    let mut lab = Lab::new("a.log", "");
    let text = line("/1", 0);
    let (head, tail) = text.split_at(40);
    lab.log("a.log", &["/before"]);
    append(&lab.path("a.log")).write_all(head.as_bytes()).unwrap();
    let mut follower = lab.start(None);
    append(&lab.path("a.log")).write_all(tail.as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), ["/1"]);
}

#[test]
fn a_log_that_comes_later_is_read_from_its_beginning_and_so_is_its_folder() {
    let mut lab = Lab::new("later/a.log", "");
    let mut follower = lab.start(None);
    assert_eq!(lab.read(&mut follower), [""; 0]);
    assert_eq!(lab.view().error, None);
    fs::create_dir(lab.path("later")).unwrap();
    lab.log("later/a.log", &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    fs::remove_file(lab.path("later/a.log")).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    lab.log("later/a.log", &["/2"]);
    assert_eq!(lab.read(&mut follower), ["/2"]);
}

#[test]
fn writers_that_still_have_rotated_files_are_heard() {
    let mut lab = Lab::new("a.log", "");
    let first = append(&lab.path("a.log"));
    let mut follower = lab.start(None);
    write(&first, &["/1"]);
    lab.rename("a.log", "a.log.1");
    let second = append(&lab.path("a.log"));
    write(&second, &["/3"]);
    write(&first, &["/2"]);
    assert_eq!(lab.read(&mut follower), ["/1", "/2", "/3"]);
    lab.rename("a.log.1", "a.log.2");
    lab.rename("a.log", "a.log.1");
    write(&first, &["/4"]);
    write(&second, &["/5"]);
    lab.log("a.log", &["/6"]);
    assert_eq!(lab.read(&mut follower), ["/4", "/5", "/6"]);
    fs::remove_file(lab.path("a.log.2")).unwrap();
    write(&first, &["/7"]);
    assert_eq!(lab.read_only(&mut follower), ["/7"]);
    assert_eq!((lab.view().rotations, lab.view().files), (2, 3));
}

#[test]
fn a_log_that_was_born_and_moved_away_between_two_looks_is_read() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    lab.log("a.log.9", &["/old"]);
    let mut follower = lab.start(None);
    lab.rename("a.log", "a.log.2");
    lab.log("a.log.1", &["/1"]);
    lab.log("a.log.1.gz", &["/no generation"]);
    lab.log("a.log", &["/2"]);
    assert_eq!(lab.read(&mut follower), ["/1", "/2"]);
    assert_eq!(lab.read(&mut follower), [""; 0]);
}

#[test]
fn what_was_not_read_before_a_truncation_is_read_in_the_copy() {
    for pattern in ["a.log", "a.log*"] {
        let mut lab = Lab::new(pattern, "");
        lab.log("a.log", &["/1"]);
        let mut follower = lab.start(None);
        lab.log("a.log", &["/2"]);
        assert_eq!(lab.read(&mut follower), ["/2"]);
        lab.log("a.log", &["/3"]);
        fs::copy(lab.path("a.log"), lab.path("a.log.1")).unwrap();
        if pattern == "a.log*" {
            // Between the copy and the truncation, both are there.
            assert_eq!(lab.read(&mut follower), ["/3"]);
        }
        File::create(lab.path("a.log")).unwrap();
        lab.log("a.log", &["/4"]);
        let expected: &[&str] = if pattern == "a.log" {
            &["/3", "/4"]
        } else {
            &["/4"]
        };
        assert_eq!(lab.read(&mut follower), expected, "{pattern}");
        assert_eq!(lab.view().truncations, 1);
        // As long as before, or longer: its beginning tells.
        File::create(lab.path("a.log")).unwrap();
        lab.log(
            "a.log",
            &["/5-and-so-long-that-nobody-sees-by-its-length-that-it-was-truncated"],
        );
        assert_eq!(lab.read(&mut follower).len(), 1, "{pattern}");
        assert_eq!(lab.view().truncations, 2);
    }
}

#[test]
fn copies_of_what_was_never_read_are_read() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    let copytruncate = |lab: &Lab| {
        lab.rename("a.log.1", "a.log.2");
        fs::copy(lab.path("a.log"), lab.path("a.log.1")).unwrap();
        File::create(lab.path("a.log")).unwrap();
    };
    lab.log("a.log.1", &[]);
    lab.log("a.log", &["/1"]);
    copytruncate(&lab);
    lab.log("a.log", &["/2"]);
    copytruncate(&lab);
    lab.log("a.log", &["/3"]);
    assert_eq!(lab.read(&mut follower), ["/1", "/2", "/3"]);
    // A copy that is there before the truncation is not read, unless nothing was read of the log.
    copytruncate(&lab);
    assert_eq!(lab.read(&mut follower), [""; 0]);
    lab.log("a.log", &["/4"]);
    fs::copy(lab.path("a.log"), lab.path("a.log-20261121")).unwrap();
    follower.look();
    File::create(lab.path("a.log")).unwrap();
    assert_eq!(lab.read(&mut follower), ["/4"]);
    lab.log("a.log", &["/5"]);
    fs::copy(lab.path("a.log"), lab.path("a.log-20261122")).unwrap();
    assert_eq!(lab.read(&mut follower), ["/5"]);
    File::create(lab.path("a.log")).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    assert_eq!(lab.read(&mut follower), [""; 0]);
}

#[test]
fn a_writer_that_does_not_append_leaves_a_hole_which_is_no_line() {
    let mut lab = Lab::new("a.log", "");
    let text = line("/1", 0).repeat(2000);
    let file = File::create(lab.path("a.log")).unwrap();
    let mut follower = lab.start(None);
    file.write_all_at(text.as_bytes(), 0).unwrap();
    assert_eq!(lab.read(&mut follower).len(), 2000);
    file.set_len(0).unwrap();
    file.write_all_at(line("/2", 0).as_bytes(), text.len() as u64)
        .unwrap();
    assert_eq!(lab.read(&mut follower), ["/2"]);
    assert_eq!((lab.view().unparsed, lab.view().too_long), (0, 0));
}

#[test]
fn long_lines_and_odd_bytes_are_counted_and_the_next_is_read() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    let mut file = append(&lab.path("a.log"));
    file.write_all(&vec![b'x'; 1_000_000]).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    file.write_all(b"\n\xff\xfe\n\n").unwrap();
    file.write_all(&line("/a\u{fffd}", 0).into_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), ["/a\u{fffd}"]);
    let view = lab.view();
    assert_eq!(
        (view.lines, view.parsed, view.unparsed, view.unreadable),
        (3, 1, 2, 0)
    );
    assert!((view.unparsed_share - 2.0 / 3.0).abs() < 1e-9, "{view:?}");
    assert_eq!(view.reasons.len(), 1, "one for both: {view:?}");
}

#[test]
fn a_long_line_is_an_answer_and_one_that_cannot_be_read_is_an_error_of_its_client() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    let file = append(&lab.path("a.log"));
    let odd = "\\xFF".repeat(200_000);
    let long = line(&format!("/a?{odd}"), 0);
    let (cut, _) = long.split_at(700_000);
    for text in [&long, cut, "\n", &line("/b", 0)] {
        (&file).write_all(text.as_bytes()).unwrap();
        follower.look();
        while follower.read().unwrap() {}
    }
    let statuses: Vec<_> = std::iter::from_fn(|| lab.queue.try_next())
        .map(|answer| (answer.status, answer.request.unwrap().path))
        .collect();
    let expected = [(404, "/a"), (wire::UNREADABLE, "/a"), (404, "/b")];
    assert_eq!(statuses, expected.map(|(status, path)| (status, path.to_owned())));
    let view = lab.view();
    assert_eq!((view.lines, view.parsed, view.unreadable), (3, 2, 1));
    assert_eq!(
        view.reasons,
        ["a line names its client, and the rest of it cannot be read"]
    );
}

#[test]
fn who_writes_a_line_feed_into_its_user_name_is_blamed_for_it_when_it_arrives() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    lab.read(&mut follower);
    let mut file = append(&lab.path("a.log"));
    let forged = line("/forged", 0);
    // The first comes before any request, the other long after one.
    for text in [
        "203.0.113.66 - x\n",
        &forged.repeat(200),
        &line("/old", 3600),
        "203.0.113.66 - \n",
    ] {
        file.write_all(text.as_bytes()).unwrap();
    }
    follower.look();
    while follower.read().unwrap() {}
    let answers: Vec<_> = std::iter::from_fn(|| lab.queue.try_next())
        .filter(|answer| answer.client.to_string() == "203.0.113.66")
        .collect();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_eq!(answer.status, wire::UNREADABLE);
        assert!((now_ms() - answer.at_ms).abs() < 60_000, "{answer:?}");
    }
    assert_eq!(lab.view().unreadable, 2);
}

#[test]
fn a_header_of_66000_bytes_hides_nobody_in_caddys_log() {
    let mut lab = Lab::new("a.log", "format = \"caddy-json\"");
    let mut follower = lab.start(None);
    let entry = format!(
        r#"{{"ts":{},"msg":"handled request","request":{{"client_ip":"203.0.113.7","method":"GET","uri":"/admin","headers":{{"X-A":["{}"]}}}},"status":404}}"#,
        now_ms() / 1000,
        "a".repeat(66_000)
    );
    let mut file = append(&lab.path("a.log"));
    for _ in 0..60 {
        writeln!(file, "{entry}").unwrap();
    }
    assert_eq!(lab.read(&mut follower), ["/admin"; 60]);
}

#[test]
fn the_second_part_of_a_divided_line_is_never_a_line_of_its_own() {
    let mut lab = Lab::new("a.log", "");
    let part = |tag: &str, text: &str| format!("2026-01-24T01:34:36Z stdout {tag} {}\n", text.trim_end());
    let whole = line("/b", 0);
    // What a client can do: its own text looks like a line where the runtime divides it.
    let (first, second) = (
        line("/x", 0).replace("404", "200"),
        whole.replace("203.0.113.7", "6.6.6.6"),
    );
    let mut file = append(&lab.path("a.log"));
    file.write_all(part("P", &first).as_bytes()).unwrap();
    let mut follower = lab.start(None);
    file.write_all(part("F", &second).as_bytes()).unwrap();
    file.write_all(part("F", &whole).as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), ["/b"]);
    // And after a restart between the two.
    file.write_all(part("P", &first).as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    let saved = follower.saved();
    let saved: Saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
    drop(follower);
    file.write_all(part("F", &second).as_bytes()).unwrap();
    file.write_all(part("F", &whole).as_bytes()).unwrap();
    let mut follower = lab.start(Some(saved));
    assert_eq!(lab.read(&mut follower), ["/b"]);
}

#[test]
fn a_link_that_leads_elsewhere_is_a_rotation() {
    let mut lab = Lab::new("a.log", "");
    lab.log("monday", &[]);
    symlink("monday", lab.path("a.log")).unwrap();
    let mut follower = lab.start(None);
    lab.log("monday", &["/1"]);
    lab.log("tuesday", &["/3"]);
    symlink("tuesday", lab.path("new")).unwrap();
    lab.rename("new", "a.log");
    lab.log("monday", &["/2"]);
    assert_eq!(lab.read(&mut follower), ["/1", "/2", "/3"]);
    let saved = follower.saved();
    lab.log("monday", &["/4"]);
    lab.log("tuesday", &["/5"]);
    let mut follower = lab.start(Some(saved));
    assert_eq!(lab.read(&mut follower), ["/4", "/5"]);
}

#[test]
fn a_pattern_follows_all_that_match_and_those_that_come() {
    let mut lab = Lab::new("*/access.log", "");
    for folder in ["a", "b", ".hidden"] {
        fs::create_dir(lab.path(folder)).unwrap();
    }
    lab.log("a/access.log", &["/before"]);
    let mut follower = lab.start(None);
    for folder in ["a", "b", ".hidden"] {
        lab.log(&format!("{folder}/access.log"), &[&format!("/{folder}")]);
    }
    assert_eq!(lab.read(&mut follower), ["/a", "/b"]);
}

#[test]
fn a_restart_goes_on_where_the_checkpoint_says_whatever_happened_to_the_names() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &["/before"]);
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    let mut saved = follower.saved();
    saved.saved_at_ms = now_ms() - 50;
    drop(follower);
    lab.log("a.log", &["/2"]);
    lab.rename("a.log", "a.log.2");
    lab.log("a.log.1", &["/3"]);
    lab.log("a.log", &["/4"]);
    let mut follower = lab.start(Some(saved));
    assert_eq!(lab.read(&mut follower), ["/2", "/3", "/4"]);
    let saved = follower.saved();
    let text = serde_json::to_string(&saved).unwrap();
    assert_eq!(serde_json::from_str::<Saved>(&text).unwrap(), saved);
    drop(follower);
    // copytruncate while the edge was away
    lab.log("a.log", &["/5"]);
    fs::copy(lab.path("a.log"), lab.path("a.log-20261121")).unwrap();
    File::create(lab.path("a.log")).unwrap();
    lab.log("a.log", &["/6"]);
    let mut follower = lab.start(Some(saved));
    assert_eq!(lab.read(&mut follower), ["/5", "/6"]);
}

#[test]
fn lines_of_long_ago_are_skipped_at_a_start_and_counted() {
    let mut lab = Lab::new("a.log", "start = \"beginning\"\nmax_age = \"60s\"");
    let mut file = append(&lab.path("a.log"));
    file.write_all([line("/1", 120), line("/2", 30)].concat().as_bytes())
        .unwrap();
    let mut follower = lab.start(None);
    // What comes now is not skipped, however old it says it is.
    file.write_all(line("/3", 120).as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), ["/2", "/3"]);
    assert_eq!((lab.view().parsed, lab.view().too_old), (3, 1));
}

#[test]
fn compressed_files_under_a_pattern_are_no_logs() {
    let mut lab = Lab::new("a.log*", "start = \"beginning\"");
    lab.log("a.log", &["/1"]);
    fs::write(lab.path("a.log.2.gz"), b"\x1f\x8b\x08\n\n\n").unwrap();
    let mut follower = lab.start(None);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    assert_eq!((lab.view().unparsed, lab.view().files), (0, 1));
}
