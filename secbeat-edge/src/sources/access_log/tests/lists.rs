//! Logs whose client is one of a list, and logs whose first field is no address of a connection.

use super::*;

const LISTS: &str = "client = \"header\"";

/// A line that begins so.
fn begins(begin: &str, path: &str) -> String {
    line(path, 0).replacen("203.0.113.7", begin, 1)
}

/// Who is reported for lines that begin so.
fn clients(lab: &mut Lab, follower: &mut Follower, begins_with: &[&str]) -> Vec<String> {
    let mut file = append(&lab.path("a.log"));
    for begin in begins_with {
        file.write_all(begins(begin, "/").as_bytes()).unwrap();
    }
    follower.look();
    while follower.read().unwrap() {}
    let all = std::iter::from_fn(|| lab.queue.try_next());
    all.map(|answer| answer.client.to_string()).collect()
}

fn lab(more: &str) -> (Lab, Follower) {
    let mut lab = Lab::new("a.log", more);
    lab.trusted = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let follower = lab.start(None);
    (lab, follower)
}

#[test]
fn a_list_is_walked_over_trusted_proxies() {
    let (mut lab, mut follower) = lab(LISTS);
    let lines = [
        "203.0.113.66, 10.0.0.5",
        "6.6.6.6, 203.0.113.67, 10.0.0.4,10.0.0.5",
        "6.6.6.6, 203.0.113.68",
        "203.0.113.69",
    ];
    assert_eq!(
        clients(&mut lab, &mut follower, &lines),
        ["203.0.113.66", "203.0.113.67", "203.0.113.68", "203.0.113.69"]
    );
}

#[test]
fn a_trusted_proxy_is_never_the_client() {
    let (mut lab, mut follower) = lab(LISTS);
    let lines = [
        "10.0.0.4, 10.0.0.5",
        "203.0.113.66, unknown, 10.0.0.5",
        "10.0.0.5",
    ];
    assert_eq!(clients(&mut lab, &mut follower, &lines), [""; 0]);
    let view = lab.view();
    assert_eq!((view.unparsed, view.unattributed), (2, 1));
    assert_eq!(
        view.reasons,
        [
            "the list names no client: from the right, all are trusted proxies up to an entry that is not an address"
        ]
    );
}

#[test]
fn a_list_in_a_log_of_peers_ends_with_the_peer() {
    let (mut lab, mut follower) = lab("");
    let lines = ["6.6.6.6, 203.0.113.66", "203.0.113.66, 10.0.0.5"];
    assert_eq!(clients(&mut lab, &mut follower, &lines), ["203.0.113.66"]);
    assert_eq!(lab.view().unattributed, 1);
}

#[test]
fn a_log_whose_first_field_is_no_single_address_is_doubted_from_then_on() {
    let (mut lab, mut follower) = lab(LISTS);
    // Where the client stands first, a user name is one.
    let user = "203.0.113.7 - x, 6.6.6.6";
    assert_eq!(clients(&mut lab, &mut follower, &[user]), ["203.0.113.7"]);
    assert_eq!(
        clients(&mut lab, &mut follower, &["6.6.6.6, 203.0.113.7", user]),
        ["203.0.113.7"]
    );
    lab.rename("a.log", "a.log.1");
    assert_eq!(clients(&mut lab, &mut follower, &[user]), [""; 0]);
    let saved = follower.saved();
    drop(follower);
    let mut follower = lab.start(Some(saved.clone()));
    assert_eq!(clients(&mut lab, &mut follower, &[user]), [""; 0]);
    // What was found out about other formats says nothing of these.
    let other = Saved {
        in_doubt: Some("vhost-combined".to_owned()),
        ..saved
    };
    let mut follower = lab.start(Some(other));
    assert_eq!(clients(&mut lab, &mut follower, &[user]), ["203.0.113.7"; 2]);
}

#[test]
fn what_shows_that_lines_are_in_wrappers_holds_after_a_restart() {
    let mut lab = Lab::new("a.log", "start = \"beginning\"");
    let wrapped = |client: &str| {
        let text = line("/", 0).replacen("203.0.113.7 - -", client, 1);
        format!("Nov 21 11:06:56 web nginx: {text}")
    };
    // In doubt about the wrapper, a user name that is an address may be the client.
    let (plain, named) = ("203.0.113.7 - -", "203.0.113.8 - 6.6.6.6");
    let mut file = append(&lab.path("a.log"));
    file.write_all(wrapped(named).as_bytes()).unwrap();
    let mut follower = lab.start(None);
    assert_eq!(lab.read(&mut follower), [""; 0]);
    file.write_all(wrapped(plain).as_bytes()).unwrap();
    assert_eq!(lab.read(&mut follower), ["/"]);
    let saved = follower.saved();
    drop(follower);
    file.write_all(wrapped(named).as_bytes()).unwrap();
    let mut follower = lab.start(Some(saved));
    assert_eq!(lab.read(&mut follower), ["/"]);
}

#[test]
fn the_fields_of_a_header_hold_after_a_restart() {
    let mut lab = Lab::new("a.log", "format = \"iis\"");
    let now = secbeat_daemon::time::rfc3339(now_ms());
    let entry = |client: &str| format!("{} {} 404 6.6.6.6 {client} /\n", &now[..10], &now[11..19]);
    let mut file = append(&lab.path("a.log"));
    file.write_all(b"#Software: IIS\n#Fields: date time sc-status s-ip c-ip cs-uri-stem\n")
        .unwrap();
    file.write_all(entry("203.0.113.7").as_bytes()).unwrap();
    let mut follower = lab.start(None);
    file.write_all(entry("203.0.113.8").as_bytes()).unwrap();
    follower.look();
    while follower.read().unwrap() {}
    assert_eq!(lab.queue.try_next().unwrap().client.to_string(), "203.0.113.8");
    // A server that starts again writes another header, which is the last one then, however long ago.
    file.write_all(b"#Software: IIS\n#Fields: c-ip date time sc-status s-ip cs-uri-stem\n")
        .unwrap();
    let entry = |client: &str| format!("{client} {} {} 404 6.6.6.6 /\n", &now[..10], &now[11..19]);
    let many = 3 * 1024 * 1024 / entry("203.0.113.8").len();
    file.write_all(entry("203.0.113.8").repeat(many).as_bytes())
        .unwrap();
    follower.look();
    while follower.read().unwrap() {
        while lab.queue.try_next().is_some() {}
    }
    while lab.queue.try_next().is_some() {}
    let saved = follower.saved();
    drop(follower);
    file.write_all(entry("203.0.113.9").as_bytes()).unwrap();
    let mut follower = lab.start(Some(saved));
    follower.look();
    while follower.read().unwrap() {}
    assert_eq!(lab.queue.try_next().unwrap().client.to_string(), "203.0.113.9");
    assert_eq!(lab.view().unparsed, 0);
}

#[test]
fn the_fields_of_a_header_in_a_wrapper_hold_after_a_restart() {
    let docker = |line: &str| {
        let line = serde_json::json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-11-21T10:06:56.2Z"});
        format!("{line}\n")
    };
    let now = secbeat_daemon::time::rfc3339(now_ms());
    let entry = |client: &str, path: &str| {
        docker(&format!(
            "{} {} 404 6.6.6.6 {client} {path}",
            &now[..10],
            &now[11..19]
        ))
    };
    let mut lab = Lab::new("a.log", "format = \"iis\"");
    let mut file = append(&lab.path("a.log"));
    let header = docker("#Fields: date time sc-status s-ip c-ip cs-uri-stem");
    // What a client asks for is no header.
    let before = [
        docker("#Software: IIS"),
        header,
        entry("203.0.113.7", "/#Fields:+c-ip+date"),
    ]
    .concat();
    file.write_all(before.as_bytes()).unwrap();
    let mut follower = lab.start(None);
    let saved = follower.saved();
    drop(follower);
    file.write_all(entry("203.0.113.9", "/").as_bytes()).unwrap();
    let mut follower = lab.start(Some(saved));
    follower.look();
    while follower.read().unwrap() {}
    assert_eq!(lab.queue.try_next().unwrap().client.to_string(), "203.0.113.9");
    assert_eq!(lab.view().unparsed, 0);
}
