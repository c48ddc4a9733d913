//! What is no log, and files that several sources lead to.

use std::os::unix::net::UnixListener;

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::*;

/// Starts a follower for each pattern, in this order.
fn start_all(lab: &mut Lab, patterns: &[&str]) -> Vec<(Follower, Arc<Health>)> {
    let configs: Vec<AccessLogConfig> = patterns
        .iter()
        .map(|pattern| toml::from_str(&format!("path = \"{}\"", lab.path(pattern).display())).unwrap())
        .collect();
    let claimants = Claimant::all(configs.iter().map(|config| config.place.clone()).collect());
    let mut followers = Vec::new();
    for (config, claimant) in configs.into_iter().zip(claimants) {
        lab.config = config;
        followers.push((lab.start_as(claimant, None), lab.health.clone()));
    }
    followers
}

#[test]
fn what_is_no_file_is_passed_over_under_a_pattern_and_told() {
    let mut lab = Lab::new("*.log", "");
    mkfifo(&lab.path("pipe.log"), Mode::from_bits_truncate(0o600)).unwrap();
    let _socket = UnixListener::bind(lab.path("socket.log")).unwrap();
    symlink("/dev/stdout", lab.path("stdout.log")).unwrap();
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    let skipped = lab.health.skipped();
    let told = ["a named pipe", "a socket", "stdout.log leads to the output"];
    assert!(
        skipped.len() == 3 && skipped.iter().zip(told).all(|(line, told)| line.contains(told)),
        "{skipped:?}"
    );
    assert_eq!(lab.health.error(), None);
    fs::remove_file(lab.path("pipe.log")).unwrap();
    follower.look();
    assert_eq!(lab.health.skipped().len(), 2);
}

#[test]
fn a_log_that_becomes_a_pipe_is_an_error() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    fs::remove_file(lab.path("a.log")).unwrap();
    mkfifo(&lab.path("a.log"), Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    let error = lab.health.error().unwrap();
    assert!(error.contains("a.log: it is a named pipe"), "{error}");
}

#[test]
fn a_link_of_a_stranger_is_an_error_and_nothing_is_read() {
    let mut lab = Lab::new("a.log", "start = \"beginning\"");
    symlink("/etc/passwd", lab.path("a.log")).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::lchown(lab.path("a.log"), Some(65_534), None).unwrap();
    }
    let mut follower = lab.start(None);
    assert_eq!(lab.read(&mut follower), [""; 0]);
    assert_eq!((lab.view().lines, lab.view().files), (0, 0));
    let error = lab.health.error().unwrap();
    assert!(
        error.contains("a.log belongs to uid") && error.contains("and the file /etc/passwd to uid 0"),
        "{error}"
    );
}

#[test]
fn a_file_of_several_sources_is_read_by_the_first_of_them() {
    let mut lab = Lab::new("none", "");
    lab.log("a.log", &[]);
    symlink("a.log", lab.path("link")).unwrap();
    let mut followers = start_all(&mut lab, &["*.log", "link", "a*"]);
    lab.log("a.log", &["/1"]);
    // The last one looks first at this one.
    lab.log("a-new.log", &["/2"]);
    let mut read = Vec::new();
    for (follower, _) in followers.iter_mut().rev() {
        read.extend(lab.read(follower));
    }
    read.sort();
    assert_eq!(read, ["/1", "/2"]);
    let files = |at: usize| followers[at].1.files.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((files(0), files(1), files(2)), (2, 0, 0));
    let reader = format!(
        "the entry with path = \"{}\" reads it",
        lab.path("*.log").display()
    );
    for (at, names) in [(1, &["link"][..]), (2, &["a-new.log", "a.log"])] {
        let expected: Vec<String> = names
            .iter()
            .map(|name| format!("{} is not read: {reader}", lab.path(name).display()))
            .collect();
        assert_eq!(followers[at].1.skipped(), expected);
    }
}
