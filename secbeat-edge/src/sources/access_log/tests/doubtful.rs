//! Logs whose times or format cannot be right.

use secbeat_common::prefix::Prefix;

use super::*;

/// Appends this many lines of so long ago.
fn log_old(lab: &Lab, lines: usize, age_s: i64) {
    let text = line("/old", age_s).repeat(lines);
    append(&lab.path("a.log")).write_all(text.as_bytes()).unwrap();
}

#[test]
fn times_that_are_hours_off_are_told_by_name_until_they_are_right() {
    let mut lab = Lab::new("a.log", "");
    lab.log("a.log", &[]);
    let mut follower = lab.start(None);
    lab.read(&mut follower);
    log_old(&lab, 19, 5 * 3600);
    lab.read(&mut follower);
    assert_eq!((lab.view().median_delay_ms, lab.health.doubts().len()), (None, 0));
    log_old(&lab, 1, 5 * 3600);
    lab.read(&mut follower);
    let view = lab.view();
    let minutes = view.median_delay_ms.unwrap() / 60_000;
    assert!((300..=301).contains(&minutes), "{view:?}");
    assert!(view.doubts[0].contains("set time_zone = \"-05:00\""), "{view:?}");
    log_old(&lab, 20, 0);
    lab.read(&mut follower);
    assert_eq!(lab.view().doubts, [""; 0]);
}

#[test]
fn lines_that_waited_to_be_read_say_nothing_of_the_clock() {
    let mut lab = Lab::new("a.log", "start = \"beginning\"\nmax_age = \"10h\"");
    log_old(&lab, 100, 5 * 3600);
    let mut follower = lab.start(None);
    assert_eq!(lab.read(&mut follower).len(), 100);
    // A file that was moved here with all its lines.
    lab.rename("a.log", "a.log.1");
    log_old(&lab, 100, 5 * 3600);
    assert_eq!(lab.read(&mut follower).len(), 100);
    assert_eq!(lab.view().median_delay_ms, None);
}

#[test]
fn a_log_of_which_half_is_not_understood_is_told_and_what_it_says_is_not() {
    let mut lab = Lab::new("a.log", "");
    let mut follower = lab.start(None);
    let mut file = append(&lab.path("a.log"));
    for n in 0..100 {
        let text = if n % 20 == 0 {
            line("/1", 0)
        } else {
            "secret 203.0.113.9\n".to_owned()
        };
        file.write_all(text.as_bytes()).unwrap();
    }
    assert_eq!(lab.read(&mut follower).len(), 5);
    let view = lab.view();
    assert_eq!(view.recent_unparsed_share, Some(0.95));
    let explain = format!(
        "half of its last lines or more are not understood as ; `secbeat-edge explain {}` shows how each of them is read",
        lab.path("a.log").display()
    );
    assert_eq!(view.doubts, [explain]);
    lab.log("a.log", &["/2"; 80]);
    lab.read(&mut follower);
    assert_eq!(
        (lab.view().doubts.len(), lab.view().recent_unparsed_share),
        (0, Some(0.19))
    );
}

#[test]
fn a_line_that_names_a_trusted_proxy_is_of_no_client() {
    let mut lab = Lab::new("a.log", "");
    lab.trusted = ["203.0.113.0/24".parse::<Prefix>().unwrap()]
        .into_iter()
        .collect();
    let mut follower = lab.start(None);
    lab.log("a.log", &["/1"]);
    append(&lab.path("a.log"))
        .write_all(line("/2", 0).replace("203.0.113.7", "198.51.100.7").as_bytes())
        .unwrap();
    assert_eq!(lab.read(&mut follower), ["/2"]);
    assert_eq!((lab.view().parsed, lab.view().unattributed), (2, 1));
}
