//! Files of bans.

mod lists;
mod merging;
mod properties;

use jiff::tz::TimeZone;
use secbeat_common::wire::PERMANENT;
use secbeat_daemon::time::rfc3339;

use super::*;

const NOW: i64 = 1_795_168_800_000;

fn request(format: Option<Format>) -> Request {
    Request {
        format,
        purpose: Purpose::Bans,
        zone: TimeZone::UTC,
    }
}

fn reading(text: &str) -> Reading {
    read(text.as_bytes(), &request(None)).unwrap()
}

/// What is read where nothing is wrong.
fn listed(text: &str) -> Vec<Listed> {
    let Reading { entries, bad, .. } = reading(text);
    assert_eq!(bad, [], "{text}");
    entries
}

fn entries(text: &str) -> Vec<BanEntry> {
    listed(text).iter().map(BanEntry::from).collect()
}

/// When a ban ends that is read now.
fn end(ban: &BanEntry) -> i64 {
    ban.about().unwrap().end.unwrap().ms(NOW)
}

fn targets(text: &str) -> Vec<(u64, String)> {
    let targets = listed(text)
        .into_iter()
        .map(|read| (read.line, read.network.to_string()));
    targets.collect()
}

fn complaints(text: &str, format: Option<Format>) -> Vec<String> {
    let bad = read(text.as_bytes(), &request(format)).unwrap().bad;
    bad.iter().map(ToString::to_string).collect()
}

fn exported() -> Vec<BanEntry> {
    let entry = |target: &str, end: Option<i64>, reason: &str, layer, note: &str| BanEntry {
        target: target.to_owned(),
        duration: None,
        expires_at: end.map(|end| Timestamp::from_millisecond(end).unwrap()),
        permanent: end.is_none(),
        reason: Some(reason.parse().unwrap()),
        layer: Some(layer),
        strikes: Some(2),
        note: note.to_owned(),
    };
    vec![
        entry(
            "198.51.100.7/32",
            Some(NOW + 1),
            "error-flood",
            Layer::Kernel,
            "50 errors in 60s",
        ),
        entry(
            "203.0.113.0/24",
            None,
            "manual",
            Layer::Kernel,
            "says \"no\", # twice",
        ),
        entry("2001:db8::/64", Some(NOW), "my-rule", Layer::L7, ""),
    ]
}

fn written(layout: Layout, bans: &[BanEntry]) -> String {
    let mut text = Vec::new();
    let mut writer = Writer::new(&mut text, layout, NOW);
    for ban in bans {
        writer.write(ban).unwrap();
    }
    writer.finish().unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn what_is_exported_is_read_as_what_it_was() {
    for format in [Layout::Json, Layout::Csv] {
        for bans in [exported(), Vec::new()] {
            let text = written(format, &bans);
            assert_eq!(entries(&text), bans, "{text}");
        }
    }
    assert_eq!(
        written(Layout::List, &exported()),
        "198.51.100.7/32\n203.0.113.0/24\n2001:db8::/64\n"
    );
}

#[test]
fn a_note_is_no_formula_to_a_spreadsheet_and_is_read_as_it_was() {
    for note in [
        "=HYPERLINK(\"http://evil.example/\")",
        "+1",
        "-2+3",
        "@SUM(A1)",
        "'=1",
        "''=1",
        "'quoted'",
        "a=b",
    ] {
        let mut ban = exported().remove(0);
        ban.note = note.to_owned();
        let text = written(Layout::Csv, &[ban.clone()]);
        let cell = ::csv::Reader::from_reader(text.as_bytes());
        let cell = cell.into_records().next().unwrap().unwrap()[5].to_owned();
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
        assert_eq!(entries(&text), [ban], "{text}");
    }
}

#[test]
fn exports_are_golden() {
    let end = rfc3339(NOW + 1);
    assert_eq!(end, "2026-11-20T10:00:00.001Z");
    assert_eq!(
        written(Layout::Csv, &exported()[..2]),
        "target,expires_at,reason,layer,strikes,note\n\
         198.51.100.7/32,2026-11-20T10:00:00.001Z,error-flood,kernel,2,50 errors in 60s\n\
         203.0.113.0/24,never,manual,kernel,2,\"says \"\"no\"\", # twice\"\n"
    );
    assert_eq!(
        written(Layout::Json, &exported()[..2]),
        "[\n{\"target\":\"198.51.100.7/32\",\"expires_at\":\"2026-11-20T10:00:00.001Z\",\"reason\":\"error-flood\",\"layer\":\"kernel\",\"strikes\":2,\"note\":\"50 errors in 60s\"},\n\
         {\"target\":\"203.0.113.0/24\",\"permanent\":true,\"reason\":\"manual\",\"layer\":\"kernel\",\"strikes\":2,\"note\":\"says \\\"no\\\", # twice\"}\n]\n"
    );
}

#[test]
fn a_list_has_comments_and_blank_lines() {
    let text = "# a blocklist\r\n198.51.100.7\r\n\n  203.0.113.0/24 # scanners\n2001:db8::1";
    assert_eq!(
        targets(text),
        [
            (2, "198.51.100.7/32".to_owned()),
            (4, "203.0.113.0/24".to_owned()),
            (5, "2001:db8::/64".to_owned())
        ]
    );
    assert_eq!(entries(text)[1].note, "scanners");
}

#[test]
fn a_csv_of_another_program_is_read_by_its_columns() {
    let text = "duration,scope,value,reason,note\n4h,Ip,198.51.100.7,crowdsecurity/ssh-bf,\npermanent,Range,203.0.113.0/24,path-scan,by hand\n";
    let bans: Vec<_> = listed(text)
        .iter()
        .map(|read| (read.line, BanEntry::from(read)))
        .collect();
    let (line, first) = &bans[0];
    assert_eq!(
        (
            *line,
            first.target().unwrap().to_string().as_str(),
            end(first),
            first.reason
        ),
        (2, "198.51.100.7/32", NOW + 4 * 3_600_000, None)
    );
    assert_eq!(first.note, "crowdsecurity/ssh-bf");
    let (line, second) = &bans[1];
    assert_eq!(
        (*line, end(second), second.reason, second.note.as_str()),
        (3, PERMANENT, None, "path-scan, by hand"),
        "its reasons are not our rules"
    );
}

#[test]
fn without_a_header_a_column_of_verdicts_may_have_gaps_and_one_of_names_is_none() {
    let of = |text: &str| {
        targets(text)
            .into_iter()
            .map(|(_, target)| target)
            .collect::<Vec<_>>()
    };
    let verdicts = "198.51.100.7,allow\n198.51.100.8,\n198.51.100.9,ban\n";
    assert_eq!(of(verdicts), ["198.51.100.8/32", "198.51.100.9/32"]);
    let names = "198.51.100.7,relay\n198.51.100.8,host\n";
    assert_eq!(of(names), ["198.51.100.7/32", "198.51.100.8/32"]);
}

#[test]
fn bad_lines_are_named_with_what_is_wrong() {
    assert_eq!(
        complaints("198.51.100.7\nexample.org\n198.51.100.0/33\n", None),
        [
            "2: `example.org` is neither an IP address nor a CIDR prefix",
            "3: prefix length 33 is over 32"
        ]
    );
    let csv = "target,duration,layer\n198.51.100.7,soon,\n198.51.100.8,4h,moon\n198.51.100.9,4h\n198.51.100.10,4h,l7\n";
    let said = complaints(csv, None);
    assert!(said[0].starts_with("2: invalid duration `soon`"), "{said:?}");
    assert_eq!(said[1], "3: `moon` is neither kernel nor l7");
    assert_eq!(said[2], "4: it has 2 fields, and the header 3");
    assert_eq!(said.len(), 3);
    assert_eq!(
        complaints("a,b\n1,2\n", Some(Format::Csv)),
        ["1: no header names a column for addresses, and no column holds them"]
    );
    let json =
        "[\n{\"target\":\"198.51.100.7\"},\n{\"target\":\"nobody\"},\n\n{\"targets\":\"198.51.100.7\"}\n]";
    let said = complaints(json, None);
    assert_eq!(said[0], "3: `nobody` is neither an IP address nor a CIDR prefix");
    assert_eq!(said[1], "5: it names no address");
    assert_eq!(said.len(), 2);
    let refused = read(b"[1,\n2", &request(None)).unwrap_err();
    assert!(
        refused.starts_with("unknown format: read as JSON, line 2 is invalid: no JSON: EOF"),
        "{refused}"
    );
}
