//! What is chosen of which log.

use super::*;
use crate::FormatError;

#[test]
fn a_choice_has_a_name() {
    for text in ["auto", "haproxy", "$remote_addr $msec $status"] {
        assert_eq!(text.parse::<FormatChoice>().unwrap().to_string(), text);
    }
    assert!("automatic".parse::<FormatChoice>().is_err());
}

proptest::proptest! {
    #[test]
    fn only_what_fits_is_chosen_as_if_all_had_been_counted(
        picks in proptest::collection::vec(0..9usize, 0..6),
    ) {
        let time = "[10/Oct/2023:11:06:56 +0200]";
        let request = "\"GET / HTTP/1.1\" 404 125";
        let lines = [
            format!("203.0.113.7 - - {time} {request}"),
            format!("203.0.113.7 - - {time} {request} \"-\" \"curl\""),
            format!("www.example.org 203.0.113.7 - - {time} {request}"),
            format!("203.0.113.7 198.51.100.66 - - {time} {request}"),
            format!("203.0.113.7 - 198.51.100.66 {time} {request}"),
            r#"{"remote_addr":"203.0.113.7","msec":"1","status":"404"}"#.to_owned(),
            "#Fields: date time c-ip cs-method cs-uri-stem sc-status".to_owned(),
            "2026-11-21 10:06:56 203.0.113.8 GET /z 401".to_owned(),
            "junk".to_owned(),
        ];
        let log: String = picks.iter().map(|pick| format!("{}\n", lines[*pick])).collect();
        let (all, _) = Detection::of(log.as_bytes()).unwrap();
        let (fitting, _) = Detection::of_fitting(log.as_bytes()).unwrap();
        proptest::prop_assert_eq!(fitting.chosen(), all.chosen());
        proptest::prop_assert_eq!(fitting.conflict(), all.conflict());
    }
}

#[test]
fn a_log_is_whole_after_a_look_at_its_beginning() {
    let line = "203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 125\n";
    for times in [1, DETECTED_FROM / line.len() + 1] {
        let log = line.repeat(times);
        let (detection, mut whole) = Detection::of(log.as_bytes()).unwrap();
        let mut read = String::new();
        whole.read_to_string(&mut read).unwrap();
        assert!(read == log, "{times} lines are not the same");
        assert_eq!(detection.chosen().unwrap().to_string(), "combined");
        let seen = times.min(DETECTED_FROM / line.len());
        assert_eq!((detection.lines(), detection.understood()[0].1), (seen, seen));
    }
}

#[test]
fn the_format_that_understands_most_is_chosen() {
    let mut detection = Detection::default();
    detection.see(b"");
    detection.see(b"junk");
    assert!(detection.chosen().is_none());
    let haproxy = b"203.0.113.7:1 [14/Jan/2015:12:48:57.127] f b/s 1/0/0/3/4 200 7 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"";
    let combined = b"203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 125 \"-\" \"curl\"";
    detection.see(haproxy);
    assert_eq!(detection.chosen().unwrap().to_string(), "haproxy");
    detection.see(combined);
    detection.see(combined);
    assert_eq!(detection.chosen().unwrap().to_string(), "combined");
    assert_eq!(detection.lines(), 4);
}

#[test]
fn several_choices_are_one() {
    let of = |names: &[&str]| FormatChoice::of(names.iter().map(|name| name.parse().unwrap()));
    assert_eq!(of(&[]), Ok(FormatChoice::Auto));
    assert_eq!(of(&["auto"]), Ok(FormatChoice::Auto));
    assert_eq!(of(&["haproxy", "envoy"]).unwrap().to_string(), "haproxy or envoy");
    assert_eq!(of(&["haproxy", "auto"]), Err(FormatError::AutoAmongOthers));
    assert_eq!(
        "haproxy, envoy".parse::<FormatChoice>(),
        of(&["haproxy", "envoy"])
    );
    assert_eq!(
        "haproxy,auto".parse::<FormatChoice>(),
        Err(FormatError::AutoAmongOthers)
    );
    assert_eq!(
        "haproxy,".parse::<FormatChoice>(),
        Err(FormatError::Unknown(String::new()))
    );
    let pattern = "$remote_addr, $msec $status";
    assert_eq!(pattern.parse::<FormatChoice>().unwrap().to_string(), pattern);
}

const TIME: &str = "[21/Nov/2026:11:06:56 +0100]";
const REQUEST: &str = r#""GET /x HTTP/1.1" 404 12 "-" "curl""#;

/// What is made of a log of lines that begin so: the format, the conflict, or neither.
fn detected(begins: &[&str]) -> (Detection, String) {
    let mut detection = Detection::default();
    for begin in begins {
        detection.see(format!("{begin} {TIME} {REQUEST}").as_bytes());
    }
    let shown = match (detection.chosen(), detection.conflict()) {
        (Some(format), None) => format.to_string(),
        (None, Some(conflict)) => conflict.to_string(),
        (chosen, _) => format!("{chosen:?}"),
    };
    (detection, shown)
}

#[test]
fn two_addresses_are_a_conflict_unless_other_lines_say_which_is_the_client() {
    let conflict = "the log may be vhost-combined or lighttpd: of one line, the first reads 198.51.100.66 as the client, \
                    the other 203.0.113.7; state the format";
    let host_first = "the log may be lighttpd or $server_name $remote_addr $remote_user [$time_local] \"$request\" $status $rest: \
                      of one line, the first reads 203.0.113.7 as the client, the other 198.51.100.66; state the format";
    for (begins, expected) in [
        (&["203.0.113.7 198.51.100.66 -"][..], host_first),
        (
            &["example.org 198.51.100.66 -", "203.0.113.7 198.51.100.66 -"],
            host_first,
        ),
        (
            &["203.0.113.7 example.org -", "203.0.113.7 198.51.100.66 -"],
            "lighttpd",
        ),
        (&["203.0.113.7 198.51.100.66 - -"], conflict),
        (
            &["203.0.113.7 example.org - -", "203.0.113.7 198.51.100.66 - -"],
            "lighttpd",
        ),
        (
            &["example.org 203.0.113.7 - -", "192.0.2.1 203.0.113.7 - -"],
            "vhost-combined",
        ),
        (&["198.51.100.66:443 203.0.113.7:42918 - -"], "vhost-combined"),
        (&["203.0.113.7 - -", "6.6.6.6, 203.0.113.7 - -"], "combined"),
        // Clients that sent no `X-Forwarded-For`, and clients whose names were looked up.
        (&["- - -", "- - -", "203.0.113.7 - -"], "combined"),
        (
            &["ip6-localhost - -", "some.name - -", "203.0.113.7 - -"],
            "combined",
        ),
        // A host that is an address, in a log whose clients have none.
        (&["www.example.org unix: - -", "198.51.100.66 unix: - -"], "None"),
        (&["198.51.100.66 unix: -", "198.51.100.66 unix: - bob"], "None"),
        (
            &[
                "www.example.org some.name - -",
                "a.org some.name - -",
                "198.51.100.66 some.name - -",
            ],
            "None",
        ),
    ] {
        assert_eq!(detected(begins).1, expected, "{begins:?}");
    }
    let (detection, _) = detected(&["203.0.113.7 198.51.100.66 - -"]);
    let conflict = detection.conflict().unwrap();
    let expected = format!("203.0.113.7 198.51.100.66 - - {TIME} {REQUEST}");
    assert_eq!(conflict.line, expected.as_bytes());
}

#[test]
fn what_stands_around_a_line_is_no_virtual_host() {
    for before in [
        "2026-11-21T10:06:56.123456789Z ",
        "web-1  | 2026-11-21T10:06:56.123456789Z ",
        "[pod/web-abc/nginx] ",
        "[12345.678901] web1 nginx[12]: ",
    ] {
        assert_eq!(
            detected(&[&format!("{before}203.0.113.7 - -")]).1,
            "combined",
            "{before}"
        );
    }
}

#[test]
fn two_statuses_of_a_line_are_a_conflict() {
    let formats = [
        "$remote_addr $msec $status $rest",
        "$remote_addr $msec $token $status",
    ];
    let formats = formats.map(|text| Format::pattern(text).unwrap());
    let mut detection = Detection::among(formats.to_vec(), Vec::new());
    detection.see(b"203.0.113.7 1795255616 200 404");
    assert_eq!(detection.chosen(), None);
    assert_eq!(
        detection.conflict().unwrap().to_string(),
        "the log may be $remote_addr $msec $status $rest or $remote_addr $msec $token $status: of one line, the first reads 200 as \
         the status, the other 404; state the format"
    );
}

#[test]
fn what_is_detected_is_in_doubt() {
    let (detection, _) = detected(&["203.0.113.7 - -"]);
    let format = detection.chosen().unwrap();
    let line = format!("198.51.100.67 - x, 203.0.113.7 - - {TIME} {REQUEST}");
    assert!(matches!(
        format.parse(line.as_bytes()),
        Err(LogError::TwoReadings(1, 4))
    ));
}

#[test]
fn reasons_are_those_of_the_likeliest_format() {
    let likeliest = |lines: &[&str]| {
        let mut detection = Detection::default();
        lines.iter().for_each(|line| detection.see(line.as_bytes()));
        detection.likeliest().to_string()
    };
    assert_eq!(likeliest(&[]), "combined");
    assert_eq!(likeliest(&["junk", "{"]), "combined");
    assert_eq!(
        likeliest(&["{\"client\":\"x\"}", "{\"a\":1}", "junk"]),
        "nginx-json"
    );
    assert_eq!(
        likeliest(&[
            r#"{"addr":"203.0.113.7","time":"[21/Nov/2026:11:06:56 +0100]","request":"GET / HTTP/1.1","status":404}"#
        ]),
        "nginx-json",
        "an object is no line of text"
    );
    assert_eq!(
        likeliest(&["203.0.113.7:1 [14/Jan/2015:12:48:57.127] f f: SSL handshake failure"]),
        "haproxy"
    );
    assert_eq!(
        likeliest(&[r#"{"level":"info","msg":"Request Completed","ip":"203.0.113.7","status":404}"#]),
        "nginx-json",
        "a message alone is not Caddy's"
    );
    let line = format!("a.org 203.0.113.7 - - {TIME} {REQUEST}");
    assert_eq!(likeliest(&["{}", "{}", &line]), "vhost-combined");
}

#[test]
fn a_header_says_which_fields_the_lines_have() {
    let mut detection = Detection::default();
    detection.see(b"#Fields: date time c-ip cs-method cs-uri-stem sc-status");
    detection.see(b"2026-11-21 10:06:56 203.0.113.7 GET /x 404");
    assert_eq!(detection.lines(), 1);
    let format = detection.chosen().unwrap();
    assert_eq!(format.to_string(), "iis");
    let line = format
        .parse(b"2026-11-21 10:06:56 203.0.113.7 GET /x 404")
        .unwrap();
    assert_eq!(line.status, 404);
}

#[test]
fn the_address_of_iis_itself_is_no_second_reading() {
    let fields = "date time c-ip cs-username s-ip s-port cs-method cs-uri-stem sc-status cs(User-Agent) x-forwarded-for";
    let mut detection = Detection::default();
    detection.see(format!("#Fields: {fields}").as_bytes());
    for forwarded in ["-", "6.6.6.6"] {
        let line = format!("2026-11-21 10:06:56 203.0.113.7 - 10.0.0.1 443 GET /x 404 curl {forwarded}");
        detection.see(line.as_bytes());
    }
    assert_eq!(detection.chosen().unwrap().to_string(), "iis");
}

#[test]
fn a_header_that_names_no_client_is_iis_reason() {
    let mut detection = Detection::default();
    detection.see(b"#Fields: date time cs-method cs-uri-stem sc-status");
    detection.see(b"2026-11-21 10:06:56 GET /x 404");
    assert_eq!(detection.likeliest().to_string(), "iis");
}
