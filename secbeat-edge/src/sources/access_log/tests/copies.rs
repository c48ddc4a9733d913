//! Logs that are replaced by a copy of themselves, as by rsync, `sed -i` and editors.

use proptest::{collection::vec, prelude::*};

use super::*;

/// Replaces a log by what `change` makes of its lines, as rsync does.
fn replace(lab: &Lab, name: &str, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(lab.path(name)).unwrap();
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    fs::write(lab.path("temporary"), lines.concat()).unwrap();
    lab.rename("temporary", name);
}

fn more<'a>(paths: &'a [&str]) -> impl FnOnce(&mut Vec<String>) + 'a {
    |lines| lines.extend(paths.iter().map(|path| line(path, 0)))
}

/// Ten lines, more than the first bytes that are compared.
fn ten() -> Vec<String> {
    (0..10).map(|n| format!("/before-{n}")).collect()
}

fn log_ten(lab: &Lab) {
    lab.log("a.log", &texts(&ten()));
}

fn stored(follower: &mut Follower) -> Saved {
    let text = serde_json::to_string(&follower.saved()).unwrap();
    Saved {
        saved_at_ms: now_ms(),
        ..serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn a_longer_copy_is_read_on_where_the_log_was() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    replace(&lab, "a.log", more(&["/2", "/3"]));
    assert_eq!(lab.read(&mut follower), ["/2", "/3"]);
    replace(&lab, "a.log", |_| {});
    assert_eq!(lab.read(&mut follower), [""; 0]);
    replace(&lab, "a.log", more(&["/4"]));
    assert_eq!(lab.read(&mut follower), ["/4"]);
    lab.log("a.log", &["/5"]);
    assert_eq!(lab.read(&mut follower), ["/5"]);
}

#[test]
fn a_longer_copy_is_read_on_after_a_restart() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    log_ten(&lab);
    assert_eq!(lab.read(&mut follower), ten());
    for keeps_backup in [false, true] {
        let saved = stored(&mut follower);
        if keeps_backup {
            lab.log("a.log", &["/in-both"]);
            fs::hard_link(lab.path("a.log"), lab.path("a.log.bak")).unwrap();
        }
        replace(&lab, "a.log", more(&["/new"]));
        follower = lab.start(Some(saved));
        let expected: &[&str] = if keeps_backup {
            &["/in-both", "/new"]
        } else {
            &["/new"]
        };
        assert_eq!(lab.read(&mut follower), expected);
    }
}

#[test]
fn what_original_and_copy_both_hold_is_read_once_and_both_are_heard() {
    let mut lab = Lab::new("a.log", "");
    let original = append(&lab.path("a.log"));
    let mut follower = lab.start(None);
    write(&original, &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    write(&original, &["/2", "/3"]);
    replace(&lab, "a.log", more(&["/5"]));
    // Its writer does not know yet that it was replaced.
    write(&original, &["/4"]);
    assert_eq!(lab.read(&mut follower), ["/4", "/2", "/3", "/5"]);
    write(&original, &["/6"]);
    lab.log("a.log", &["/7"]);
    assert_eq!(lab.read(&mut follower), ["/6", "/7"]);
    // Nothing was read of it, and yet all is in both.
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1", "/2"]);
    replace(&lab, "a.log", more(&["/3"]));
    assert_eq!(lab.read(&mut follower), ["/1", "/2", "/3"]);
}

#[test]
fn a_copy_without_the_first_lines_is_read_on() {
    for in_place in [false, true] {
        let mut lab = Lab::new("a.log", "");
        let mut follower = lab.start(None);
        log_ten(&lab);
        assert_eq!(lab.read(&mut follower), ten());
        replace(&lab, "a.log", |lines| {
            lines.extend([line("/new-1", 0), line("/new-2", 0)]);
        });
        let shorter = |lines: &mut Vec<String>| {
            let _ = lines.drain(..5);
            lines.push(line("/new-3", 0));
        };
        assert_eq!(lab.read(&mut follower), ["/new-1", "/new-2"]);
        if in_place {
            let log = File::options().write(true).open(lab.path("a.log")).unwrap();
            fs::copy(lab.path("a.log"), lab.path("changed")).unwrap();
            replace(&lab, "changed", shorter);
            log.set_len(0).unwrap();
            log.write_all_at(&fs::read(lab.path("changed")).unwrap(), 0)
                .unwrap();
        } else {
            replace(&lab, "a.log", shorter);
        }
        assert_eq!(lab.read(&mut follower), ["/new-3"], "in place: {in_place}");
    }
}

#[test]
fn a_copy_of_the_first_lines_only_brings_nothing_but_what_comes_after() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    log_ten(&lab);
    assert_eq!(lab.read(&mut follower), ten());
    replace(&lab, "a.log", |lines| lines.truncate(8));
    assert_eq!(lab.read(&mut follower), [""; 0]);
    lab.log("a.log", &["/new"]);
    assert_eq!(lab.read(&mut follower), ["/new"]);
}

#[test]
fn a_log_that_only_begins_like_the_one_before_is_a_new_one() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    log_ten(&lab);
    assert_eq!(lab.read(&mut follower), ten());
    let other = |lines: &mut Vec<String>| {
        lines.truncate(5);
        lines.extend((0..10).map(|n| line(&format!("/other-{n}"), 0)));
    };
    replace(&lab, "a.log", other);
    assert_eq!(lab.read(&mut follower).len(), 15);
    let saved = stored(&mut follower);
    replace(&lab, "a.log", |lines| {
        lines.truncate(7);
        lines.extend((0..10).map(|n| line(&format!("/third-{n}"), 0)));
    });
    let mut follower = lab.start(Some(saved));
    assert_eq!(lab.read(&mut follower).len(), 17);
}

#[test]
fn copies_that_match_the_pattern_are_not_read_again_whatever_their_names() {
    let mut lab = Lab::new("*.log", "");
    log_ten(&lab);
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    fs::copy(lab.path("a.log"), lab.path("old.log")).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    lab.log("a.log", &["/2"]);
    assert_eq!(lab.read(&mut follower), ["/2"]);
    // logrotate with copytruncate and an extension.
    let copytruncate = |lab: &Lab, copy: &str| {
        fs::copy(lab.path("a.log"), lab.path(copy)).unwrap();
        File::create(lab.path("a.log")).unwrap();
    };
    copytruncate(&lab, "a.1.log");
    lab.log("a.log", &["/3"]);
    assert_eq!(lab.read(&mut follower), ["/3"]);
    lab.log("a.log", &["/4"]);
    copytruncate(&lab, "a.2.log");
    while follower.read().unwrap() {}
    lab.log("a.log", &["/5"]);
    let mut read = lab.read(&mut follower);
    read.sort();
    assert_eq!(read, ["/4", "/5"]);
    // After a restart, too.
    let saved = stored(&mut follower);
    fs::copy(lab.path("a.log"), lab.path("b.log")).unwrap();
    copytruncate(&lab, "a.3.log");
    let mut follower = lab.start(Some(saved));
    lab.log("a.log", &["/6"]);
    assert_eq!(lab.read(&mut follower), ["/6"]);
    // One that begins alike is a log of its own.
    lab.log("c.log", &["/6"]);
    assert_eq!(lab.read(&mut follower), ["/6"]);
}

#[test]
fn a_copy_that_a_server_writes_to_is_a_log_of_its_own_from_there() {
    let mut lab = Lab::new("*.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    let lines: Vec<String> = (0..100).map(|n| format!("/{n}")).collect();
    lab.log("a.log", &texts(&lines));
    assert_eq!(lab.read(&mut follower).len(), 100);
    fs::copy(lab.path("a.log"), lab.path("b.log")).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    lab.log("b.log", &["/of-b"]);
    assert_eq!(lab.read(&mut follower), ["/of-b"]);
    lab.log("a.log", &["/of-a"]);
    lab.log("b.log", &["/of-b-again"]);
    assert_eq!(lab.read(&mut follower), ["/of-a", "/of-b-again"]);
    // Before it was seen, and a copy that is still being made.
    fs::copy(lab.path("a.log"), lab.path("c.log")).unwrap();
    lab.log("c.log", &["/of-c"]);
    let whole = fs::read(lab.path("a.log")).unwrap();
    fs::write(lab.path("d.log"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(lab.read(&mut follower), [""; 0]);
    append(&lab.path("d.log"))
        .write_all(&whole[whole.len() / 2..])
        .unwrap();
    assert_eq!(lab.read(&mut follower), ["/of-c"]);
    // One that is written again.
    fs::write(lab.path("d.log"), line("/of-d", 0)).unwrap();
    assert_eq!(lab.read(&mut follower), ["/of-d"]);
}

#[test]
fn what_a_truncated_log_held_is_read_in_one_of_its_copies() {
    let mut lab = Lab::new("*.log", "");
    let mut follower = lab.start(None);
    log_ten(&lab);
    assert_eq!(lab.read(&mut follower), ten());
    lab.log("a.log", &["/rest"]);
    for copy in ["b.log", "c.log"] {
        fs::copy(lab.path("a.log"), lab.path(copy)).unwrap();
    }
    File::create(lab.path("a.log")).unwrap();
    while follower.read().unwrap() {}
    assert_eq!(lab.read(&mut follower), ["/rest"]);
}

#[test]
fn a_checkpoint_of_an_older_release_is_taken_over() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    log_ten(&lab);
    assert_eq!(lab.read(&mut follower), ten());
    let saved = follower.saved();
    drop(follower);
    let text = fs::read_to_string(lab.path("a.log")).unwrap();
    let file = &saved.files[0];
    let old = serde_json::json!({
        "saved_at_ms": now_ms(),
        "files": [{
            "path": file.path,
            "id": file.id,
            "mark": { "offset": text.len(), "passing_over": false, "head": text[..256] },
        }],
    });
    let old: Saved = serde_json::from_value(old).unwrap();
    lab.log("a.log", &["/new"]);
    let mut follower = lab.start(Some(old));
    assert_eq!(lab.read(&mut follower), ["/new"]);
    let text = serde_json::to_string(&follower.saved()).unwrap();
    assert!(!text.contains("GET"), "{text}");
}

#[test]
fn a_rotation_while_one_client_asks_for_the_same_all_the_time_loses_nothing() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    let text = line("/flood", 0).repeat(100);
    append(&lab.path("a.log")).write_all(text.as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower).len(), 100);
    lab.rename("a.log", "a.log.1");
    append(&lab.path("a.log")).write_all(text.as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower).len(), 100, "renamed");
    fs::copy(lab.path("a.log"), lab.path("a.log.2")).unwrap();
    File::create(lab.path("a.log")).unwrap();
    assert_eq!(lab.read(&mut follower).len(), 0, "truncated");
    append(&lab.path("a.log")).write_all(text.as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower).len(), 100, "written again");
}

/// What may become of a log, with so many new lines.
#[derive(Clone, Copy, Debug)]
enum Change {
    Append(usize),
    /// By a copy with more lines.
    Replace(usize),
    /// By a copy, to which lines come then.
    ReplaceAndAppend(usize),
    Rotate(usize),
    /// The daemon, while the log is replaced.
    Restart(usize),
    Look,
    Read,
}

fn change() -> impl Strategy<Value = Change> {
    let with_lines: Vec<fn(usize) -> Change> = vec![
        Change::Append,
        Change::Replace,
        Change::ReplaceAndAppend,
        Change::Rotate,
        Change::Restart,
    ];
    prop_oneof![
        3 => (proptest::sample::select(with_lines), 0..4_usize).prop_map(|(change, lines)| change(lines)),
        1 => Just(Change::Look),
        1 => Just(Change::Read),
    ]
}

#[test]
fn a_copy_that_was_rotated_away_is_not_read_for_its_original_after_a_restart() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1"]);
    assert_eq!(lab.read(&mut follower), ["/1"]);
    replace(&lab, "a.log", more(&["/2", "/3"]));
    assert_eq!(lab.read(&mut follower), ["/2", "/3"]);
    fs::copy(lab.path("a.log"), lab.path("a.log.1")).unwrap();
    File::create(lab.path("a.log")).unwrap();
    lab.log("a.log", &["/4"]);
    assert_eq!(lab.read(&mut follower), ["/4"]);
    let mut saved = stored(&mut follower);
    // Later than the copy by the clock of the file system, too.
    saved.saved_at_ms += 100;
    let mut follower = lab.start(Some(saved));
    lab.log("a.log", &["/5"]);
    assert_eq!(lab.read(&mut follower), ["/5"]);
}

proptest! {
    #[test]
    fn whatever_becomes_of_a_log_each_line_is_read_once(changes in vec(change(), 1..30)) {
        let mut lab = Lab::new("a.log", "");
        lab.log("a.log", &[]);
        let mut follower = lab.start(None);
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for (step, change) in changes.into_iter().enumerate() {
            let new = |lines: usize| -> Vec<String> { (0..lines).map(|n| format!("/{step}-{n}")).collect() };
            let mut lines = Vec::new();
            match change {
                Change::Append(count) => {
                    lines = new(count);
                    lab.log("a.log", &texts(&lines));
                }
                Change::Replace(count) => {
                    lines = new(count);
                    replace(&lab, "a.log", more(&texts(&lines)));
                }
                Change::ReplaceAndAppend(count) => {
                    lines = new(count);
                    replace(&lab, "a.log", |_| {});
                    lab.log("a.log", &texts(&lines));
                }
                Change::Rotate(count) => {
                    lines = new(count);
                    lab.rename("a.log", &format!("a.log.{step}"));
                    lab.log("a.log", &texts(&lines));
                }
                Change::Restart(count) => {
                    lines = new(count);
                    // A checkpoint comes after a look.
                    follower.look();
                    let saved = stored(&mut follower);
                    replace(&lab, "a.log", more(&texts(&lines)));
                    follower = lab.start(Some(saved));
                }
                Change::Look => follower.look(),
                Change::Read => read.extend(lab.read_only(&mut follower)),
            }
            written.extend(lines);
        }
        read.extend(lab.read(&mut follower));
        read.extend(lab.read(&mut follower));
        read.sort();
        written.sort();
        prop_assert_eq!(read, written);
    }
}

fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}
