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
fn a_column_may_be_called_after_addresses_in_other_words() {
    for (text, networks) in [
        (
            "Network Address,Subnet Mask,Comment\n198.51.100.0,255.255.255.0,x\n",
            &["198.51.100.0/24"][..],
        ),
        ("IP-Adresse;Grund\n198.51.100.7;x\n", &["198.51.100.7/32"]),
        ("Adresse IP;Motif\n198.51.100.7;x\n", &["198.51.100.7/32"]),
        (
            "nr,IP Network,hits\n1,203.0.113.0/24,3\n2,198.51.100.7,4\n",
            &["203.0.113.0/24", "198.51.100.7/32"],
        ),
        ("Source IP Address|Reason\n2001:db8::/48|x\n", &["2001:db8::/48"]),
    ] {
        let read = reading(text);
        assert!(read.what.contains("and a header"), "{text}: {}", read.what);
        let targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, networks, "{text}");
    }
    let allowed = read(b"Allowed IPs,Note\n198.51.100.7,x\n", &request(None));
    assert_eq!(
        allowed.unwrap_err(),
        "the addresses are in the column `Allowed IPs`, which lets clients in"
    );
    // Other hosts, and what may be either.
    for text in [
        "Gateway Address,Note\n198.51.100.7,x\n",
        "Server IP Address,Note\n198.51.100.7,x\n",
        "IP Adresse,Andere Adresse\n198.51.100.7,198.51.100.8\n",
    ] {
        let read = read(text.as_bytes(), &request(None));
        let is_taken = read.is_ok_and(|read| read.bad.is_empty() && !read.entries.is_empty());
        assert!(!is_taken, "{text}");
    }
}

#[test]
fn commands_of_nft_and_blocks_of_bind_are_read_as_scripts_have_them() {
    for text in [
        "#!/bin/sh\nnft add element inet filter bad { 198.51.100.7 }\n",
        "nft add element inet filter bad '{ 198.51.100.7, 198.51.100.7 }'\n",
        "nft add element ip f bad { 198.51.100.7 timeout 1h }\nnft delete element ip f bad { 198.51.100.8 }\n",
        "acl \"bad\" {\n  198.51.100.7;\n};\nacl \"trusted\" {\n  192.0.2.7;\n};\n",
    ] {
        let mut targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        targets.dedup();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
    let allowed = reading("nft add element inet f whitelist '{ 192.0.2.7 }'\n");
    assert_eq!((allowed.entries, allowed.passed_over.len()), (Vec::new(), 1));
    // What stands behind a block is not of it.
    let said = complaints("acl \"trusted\" {\n  192.0.2.7;\n};\n198.51.100.7\n}\n", None);
    assert_eq!(said, ["5: `}` is neither an IP address nor a CIDR prefix"]);
}

#[test]
fn what_is_not_listed_or_taken_off_is_not_banned() {
    for text in [
        "+ 198.51.100.7\n- 198.51.100.8\n",
        "ip,listed\n198.51.100.7,true\n198.51.100.8,false\n",
        "[{\"ip\":\"198.51.100.7\",\"isListed\":true},{\"ip\":\"198.51.100.8\",\"isListed\":false}]",
        "ip,listed\n198.51.100.7,2026-11-30\n",
    ] {
        let targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
    let items = targets("- 198.51.100.7\n- 198.51.100.8\n");
    assert_eq!(items.len(), 2, "marks of items");
}

#[test]
fn those_who_are_let_in_or_clean_by_words_of_other_languages_are_not_banned() {
    for text in [
        "IP-Adresse,Status\n198.51.100.7,gesperrt\n198.51.100.8,erlaubt\n",
        "IP-Adresse;Gesperrt\n198.51.100.7;ja\n198.51.100.8;nein\n",
        "IP-Adresse;Freigegeben\n198.51.100.7;nein\n198.51.100.8;ja\n",
        "Adresse IP,Statut\n198.51.100.7,bloqué\n198.51.100.8,Autorisé\n",
        "Dirección IP,Estado\n198.51.100.7,bloqueado\n198.51.100.8,permitido\n",
        "Direccion,Lista\n198.51.100.7,lista negra\n198.51.100.8,lista blanca\n",
        "Indirizzo IP,Bloccato\n198.51.100.7,sì\n198.51.100.8,no\n",
        "IP-adres,Geblokkeerd\n198.51.100.7,ja\n198.51.100.8,nee\n",
        "IP;Aktiv\n198.51.100.7;ja\n198.51.100.8;nein\n",
        "ip,abuseConfidenceScore\n198.51.100.7,100\n198.51.100.8,0\n",
        "ip,reputation\n198.51.100.7,bad\n198.51.100.8,good\n198.51.100.9,trusted\n",
        "ip,zone,result\n198.51.100.7,a.example,listed\n198.51.100.8,a.example,not listed\n",
        "# The following IP addresses will be blocked in iptables.\n198.51.100.7\n",
    ] {
        let targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
    for text in [
        "Zugelassene IP,Name\n198.51.100.7,x\n",
        "Kunden-IP,Name\n198.51.100.7,x\n",
        "# The following IP addresses will be allowed through iptables.\n# One IP address per line.\n198.51.100.7 # lfd\n",
    ] {
        let entries = read(text.as_bytes(), &request(None)).map_or(0, |read| read.entries.len());
        assert_eq!(entries, 0, "{text}");
    }
}

#[test]
fn a_statement_with_a_list_of_addresses_is_no_csv_without_a_header() {
    for text in [
        "ALLOWED_IPS=192.0.2.7,192.0.2.8\n",
        "ALLOWED_IPS=\"192.0.2.7\",192.0.2.8\n",
        "permit 192.0.2.7, 192.0.2.8\n",
        "acl office src 192.0.2.7;192.0.2.8\n",
        "whitelist: 192.0.2.7, 192.0.2.8\n",
        "ignoreip = 127.0.0.1/8, 192.0.2.8\n",
        "netsh advfirewall firewall add rule name=x dir=in action=allow remoteip=192.0.2.0/24,192.0.2.8\n",
        "New-NetFirewallRule -Action Allow -RemoteAddress 2001:db8::1,2001:db8:1::1\n",
        "trusted:192.0.2.7,192.0.2.8\n",
    ] {
        let entries = read(text.as_bytes(), &request(None)).map_or(0, |read| read.entries.len());
        assert_eq!(entries, 0, "{text}");
    }
    assert_eq!(
        complaints("permit 192.0.2.7,192.0.2.8\n", Some(Format::Csv)),
        ["1: `permit 192.0.2.7` names an address, too: write an address a line"]
    );
    // What stands behind it is a note.
    let note = targets("web,198.51.100.7,as 198.51.100.8\nweb,198.51.100.9,new\n");
    assert_eq!(note.len(), 2, "{note:?}");
}

#[test]
fn pairs_of_ipset_are_no_csv() {
    for text in [
        "create bad hash:net,net family inet\nadd bad 192.0.2.0/24,198.51.100.0/24\n",
        "create bad hash:ip,port,ip\nadd bad 192.0.2.7,tcp:80,198.51.100.7\n",
        "ipset add bad 192.0.2.0/24,198.51.100.0/24\n",
    ] {
        let reading = reading(text);
        assert_eq!(reading.format, "ipset", "{text}");
        assert_eq!(reading.entries, [], "{text}");
        assert!(reading.bad[0].why.ends_with("is more than an address"), "{text}");
    }
}

#[test]
fn an_end_is_known_by_more_names_and_may_be_missing() {
    for name in ["expire", "ban_end", "Valid to", "unban_date", "ban-expires"] {
        let end = entries(&format!("ip,{name}\n198.51.100.7,2020-01-02 00:00:00\n"))[0].expires_at;
        assert_eq!(end.unwrap().to_string(), "2020-01-02T00:00:00Z", "{name}");
    }
    for nothing in ["", "-", "0", "NULL", "\\N", "N/A"] {
        let entry = entries(&format!("ip,expires\n198.51.100.7,{nothing}\n")).remove(0);
        let ends = (entry.expires_at, entry.duration, entry.permanent);
        assert_eq!(ends, (None, None, false), "{nothing}");
    }
}

#[test]
fn an_exception_behind_a_network_is_not_lost() {
    for text in [
        "192.0.2.0/24 except 192.0.2.7\n",
        "192.0.2.0/24 !192.0.2.7\n",
        "192.0.2.0/24, EXCLUDING 192.0.2.0/28\n",
    ] {
        let text = format!("198.51.100.7\n{text}");
        let said = complaints(&text, Some(Format::List));
        assert!(said[0].starts_with("2: an exception behind"), "{said:?}");
    }
    assert_eq!(targets("192.0.2.0 /24\n"), [(1, "192.0.2.0/24".to_owned())]);
    let note = listed("192.0.2.7 scanner without a name\n").remove(0);
    assert_eq!(note.about.note, "scanner without a name");
    for text in [
        "ip,comment\n198.51.100.7,scanner\n198.51.100.8,do not block\n",
        r#"{"rules":[{"action":"log","ips":["198.51.100.8"]},{"action":"block","ips":["198.51.100.7"]}]}"#,
    ] {
        let targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
}

#[test]
fn a_column_of_attackers_is_not_for_an_allowlist() {
    let allowlist = Request {
        purpose: Purpose::Allowlist,
        ..request(None)
    };
    for text in [
        "date,attacker\n2026-11-30,198.51.100.7\n",
        "Blocked IP,Note\n198.51.100.7,x\n",
    ] {
        let refused = read(text.as_bytes(), &allowlist).unwrap_err();
        assert!(refused.contains("which keeps clients out"), "{refused}");
        assert_eq!(targets(text).len(), 1, "{text}");
    }
    let text = r#"[{"ip":"198.51.100.7","reputation":"bad"},{"ip":"198.51.100.8","reputation":"good"}]"#;
    let allowed = read(text.as_bytes(), &allowlist).unwrap().entries;
    assert_eq!(allowed.len(), 1);
}

#[test]
fn headings_and_comments_that_free_clients_are_heeded_in_any_frame() {
    for heading in ["## Allowed ##", "### whitelist ###", "# ~ allowed hosts ~ #"] {
        let text = format!("# blocked\n198.51.100.7\n{heading}\n198.51.100.8\n");
        let targets: Vec<_> = targets(&text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
    for line in ["Whitelist", "<!-- whitelist -->", "REM allowed", "/* allowed */"] {
        let text = format!("198.51.100.7\n198.51.100.9\n{line}\n198.51.100.8\n");
        let reading = reading(&text);
        assert_eq!((reading.entries.len(), reading.bad.len()), (2, 1), "{text}");
    }
    assert_eq!(targets("---\nblocked:\n  - 198.51.100.7\n").len(), 1);
    for comment in ["NICHT SPERREN", "ne pas bloquer", "don’t block it"] {
        let text = format!("198.51.100.7\n198.51.100.8 # {comment}\n");
        assert_eq!(complaints(&text, None).len(), 1, "{comment}");
    }
}

#[test]
fn what_separates_values_stands_beside_a_network() {
    for text in [
        "sshd|198.51.100.7|1764496800|600|{\"matches\":[],\"failures\":5}\n",
        "198.51.100.7^ssh, and web\n",
        "ip~reason\n198.51.100.7~x, y\n",
    ] {
        let targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
}

#[test]
fn quotes_may_stand_behind_a_blank() {
    for text in [
        "\"2026-11-20 10:00:00\", \"198.51.100.7\", \"botnet\"\n",
        "\"seen\" ; \"ip\" ; \"note\"\n\"2026-11-20\" ; \"198.51.100.7\" ; \"a\"\n",
    ] {
        let targets: Vec<_> = targets(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["198.51.100.7/32"], "{text}");
    }
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
    assert_eq!(said[1], "3: invalid layer `moon`: expected kernel or l7");
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
