//! Lists that people have: what is read of each.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::{super::read::SHAPES, *};

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/lists");
    fs::read(folder.join(name)).unwrap()
}

/// What is read of `bytes`, as a text.
fn told(bytes: &[u8], request: &Request) -> String {
    let reading = match read(bytes, request) {
        Ok(reading) => reading,
        Err(why) => return format!("refused: {why}\n"),
    };
    let mut told = format!("{}\n", reading.what);
    for entry in &reading.entries {
        let Listed { line, network, about } = entry;
        let _ = write!(told, "{line}: {network}");
        match about.end {
            Some(End::For(term)) => write!(told, " for {term}").unwrap(),
            Some(End::At(at)) => write!(told, " until {at}").unwrap(),
            None => {}
        }
        if let Some(reason) = about.reason {
            let _ = write!(told, " because {}", reason.name());
        }
        if let Some(layer) = about.layer {
            let _ = write!(told, " at {}", layer.name());
        }
        if let Some(strikes) = about.strikes {
            let _ = write!(told, " strikes {strikes}");
        }
        if !about.note.is_empty() {
            let _ = write!(told, " ({})", about.note);
        }
        told += "\n";
    }
    for bad in &reading.bad {
        let _ = writeln!(told, "invalid {bad}");
    }
    for passed_over in &reading.passed_over {
        let _ = writeln!(told, "passed over {passed_over}");
    }
    if let Some(provider) = reading.provider {
        let _ = writeln!(told, "of {provider}");
    }
    told
}

#[test]
fn lists_that_people_have_are_read_as_they_are_meant() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/lists");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut all = String::new();
    for name in names {
        let _ = writeln!(all, "=== {name}: {}", told(&file(&name), &request(None)));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_the_fuzzer_found_breaks_no_reader() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/lists");
    let files = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
    let replayed = files.map(|path| check(&fs::read(path).unwrap())).count();
    assert!(replayed > 50, "{replayed}");
}

#[test]
fn what_lets_clients_in_is_read_for_an_allowlist() {
    let mut all = String::new();
    for name in [
        "fail2ban-ignoreip.txt",
        "iptables-save.txt",
        "nginx-deny.conf",
        "apache.conf",
        "aws-ip-ranges.json",
        "bom-crlf.txt",
        "apache-none.conf",
        "allowed-and-denied.json",
        "allowed-ipset.save",
        "allowed-nft.nft",
        "allowed-nginx-geo.conf",
        "crowdsec-allowlist.json",
        "crowdsec-ban.json",
        "fail2ban-banned.txt",
        "fail2ban-status.txt",
        "verdict-action.csv",
        "bans.json",
        "bans-table.txt",
        "abuseipdb.json",
        "dshield.txt",
        "postfix-cidr",
        "json-keyed.json",
        "verdict-postfix-access",
    ] {
        let request = Request {
            purpose: Purpose::Allowlist,
            ..request(None)
        };
        let _ = writeln!(all, "=== {name}: {}", told(&file(name), &request));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn each_formats_example_is_recognized_and_has_entries() {
    for shape in &SHAPES {
        let reading = reading(shape.example);
        assert!(
            reading.what.starts_with(shape.what),
            "{}: {}",
            reading.what,
            shape.example
        );
        assert_eq!(reading.bad, [], "{}", shape.example);
        assert!(!reading.entries.is_empty(), "{}", shape.example);
    }
}

#[test]
fn a_stated_format_is_not_guessed_at() {
    let csv = file("header.csv");
    let Reading { entries, bad, .. } = read(&csv, &request(Some(Format::List))).unwrap();
    assert_eq!((entries.len(), bad[0].line), (2, 1));
    let said = complaints("198.51.100.7\n", Some(Format::Ipset));
    assert_eq!(said, ["1: no line such as `add NAME 198.51.100.7`"]);
}

#[test]
fn times_without_an_offset_are_those_of_the_zone() {
    let berlin = Request {
        zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
        ..request(None)
    };
    let told = told(&file("fail2ban-banip-with-time.txt"), &berlin);
    assert!(
        told.contains("198.51.100.7/32 until 2026-11-28T07:09:02Z (fail2ban)"),
        "{told}"
    );
}

#[test]
fn what_is_no_list_is_refused_in_words() {
    for (bytes, said) in [
        (
            &b"\x1f\x8b\x08\x00rest"[..],
            "it is compressed by gzip: pass it through `zcat` first",
        ),
        (b"\xe9\0\n", "it is not text"),
        (b"\xff\xfe1", "it starts as UTF-16, but is not"),
        (
            b"one\ntwo\n",
            "unknown format: read as plain list, line 1 is invalid: `one` is neither an IP address nor a CIDR prefix",
        ),
    ] {
        assert_eq!(read(bytes, &request(None)).unwrap_err(), said);
    }
}

#[test]
fn a_file_may_say_by_its_name_what_it_is_for() {
    for (name, bans, allowlist) in [
        ("hosts.allow", true, false),
        ("whitelist.txt", true, false),
        ("hosts.deny", false, true),
        ("csf.tempallow", true, false),
        ("csf.ignore", true, false),
        ("csf.tempban", false, true),
        ("blocklist.de.txt", false, true),
        ("list.txt", false, false),
        ("allow-and-deny.txt", false, false),
    ] {
        let is_refused = |purpose| misfit(name, purpose).is_some();
        assert_eq!(
            (is_refused(Purpose::Bans), is_refused(Purpose::Allowlist)),
            (bans, allowlist),
            "{name}"
        );
    }
}

#[test]
fn a_chain_that_drops_all_it_is_given_is_a_verdict() {
    let csf = "*filter\n\
        -A DENYIN -s 198.51.100.7/32 ! -i lo -j DROP\n\
        -A DENYIN -s 198.51.100.8/32 ! -i lo -j LOGDROPIN\n\
        -A DENYIN -s 198.51.100.9/32 ! -i lo -j LOGGED\n\
        -A DENYIN -s 198.51.100.10/32 -i lo -j DROP\n\
        -A DENYIN -s 198.51.100.11/32 -j SOME\n\
        -A DENYIN -s 198.51.100.12/32 -j EMPTY\n\
        -A LOGDROPIN -p tcp -m tcp --dport 23 -j DROP\n\
        -A LOGDROPIN -p tcp -m limit --limit 30/min -j LOG --log-prefix \"Firewall: *TCP_IN Blocked* \"\n\
        -A LOGDROPIN -j DROP\n\
        -A LOGGED -j LOG\n\
        -A SOME -s 203.0.113.0/24 -j ACCEPT\n\
        -A SOME -j REJECT --reject-with icmp-port-unreachable\n\
        -A EMPTY -p tcp -j DROP\n\
        COMMIT\n";
    let script = "iptables -A LOGDROPIN -j DROP\n\
        iptables -A LETS -j DROP\n\
        iptables -I LETS -j ACCEPT\n\
        iptables -A GONE -j DROP\n\
        iptables -D GONE -j DROP\n\
        iptables -A GOES -g OTHER\n\
        iptables -A GOES -j DROP\n\
        iptables -A DENYIN -s 198.51.100.7 -j DROP\n\
        iptables -I DENYIN -s 198.51.100.8 -j LOGDROPIN\n\
        iptables -A DENYIN -s 198.51.100.9 -j LETS\n\
        iptables -A DENYIN -s 198.51.100.10 -j GONE\n\
        iptables -A DENYIN -s 198.51.100.11 -j GOES\n";
    let shown = "Chain DENYIN (1 references)\n\
        target     prot opt source               destination\n\
        DROP       all  --  198.51.100.7         0.0.0.0/0\n\
        LOGDROPIN  all  --  198.51.100.8         0.0.0.0/0\n\
        LOGGED     all  --  198.51.100.9         0.0.0.0/0\n\
        Chain LOGDROPIN (2 references)\n\
        target     prot opt source               destination\n\
        LOG        tcp  --  0.0.0.0/0            0.0.0.0/0            limit: avg 30/min\n\
        DROP       all  --  0.0.0.0/0            0.0.0.0/0\n\
        Chain LOGGED (1 references)\n\
        target     prot opt source               destination\n\
        LOG        all  --  0.0.0.0/0            0.0.0.0/0\n";
    let columns = "pkts bytes target prot opt in out source destination\n";
    let verbose = format!(
        "Chain DENYIN (1 references)\n{columns}\
         0 0 DROP all -- * * 198.51.100.7 0.0.0.0/0\n\
         0 0 LOGDROPIN all -- * * 198.51.100.8 0.0.0.0/0\n\
         0 0 INNER all -- * * 198.51.100.9 0.0.0.0/0\n\
         Chain LOGDROPIN (1 references)\n{columns}\
         0 0 DROP all -- * * 0.0.0.0/0 0.0.0.0/0\n\
         Chain INNER (1 references)\n{columns}\
         0 0 DROP all -- tun0 * 0.0.0.0/0 0.0.0.0/0\n"
    );
    for text in [csf, script, shown, &verbose] {
        let entries = listed(text);
        let networks: Vec<_> = entries.iter().map(|entry| entry.network.to_string()).collect();
        assert_eq!(networks, ["198.51.100.7/32", "198.51.100.8/32"], "{text}");
    }
}

#[test]
fn in_a_list_of_rules_the_first_one_counts() {
    let rules = "deny 198.51.100.5;\nallow 198.51.100.0/24;\ndeny 198.51.100.6;\n";
    let Reading { entries, bad, .. } = read(rules.as_bytes(), &request(None)).unwrap();
    assert_eq!((entries.len(), entries[0].line), (1, 1));
    assert_eq!(
        bad[0].to_string(),
        "3: 198.51.100.6/32 is an exception of the list (line 2)"
    );
}

#[test]
fn long_lists_are_read_and_longer_ones_refused() {
    let mut list = String::new();
    for number in 0..200_000_u32 {
        let _ = writeln!(
            list,
            "{} # {number}",
            std::net::Ipv4Addr::from(0x0b00_0000 + number)
        );
    }
    let mut entries = listed(&list);
    assert_eq!(entries.len(), 200_000);
    assert_eq!(distinct(&mut entries, NOW), 0);
    assert_eq!(aggregate(entries, NOW).len(), 6);
    let too_many = "2001:db8::1-2001:db8:ffff:ffff:ffff:ffff:ffff:fffe\n".repeat(12_000);
    let refused = read(too_many.as_bytes(), &request(None)).unwrap_err();
    assert_eq!(refused, "it has more than 2000000 entries");
}

#[test]
fn addresses_with_the_length_of_their_network_are_taken_as_networks_and_counted() {
    let reading = reading(
        "198.51.100.0/24\n198.51.100.7/24 # bad\n203.0.113.9/255.255.255.0\n[2001:db8::1]/64\n192.0.2.1\n",
    );
    let networks = reading.entries.iter().map(|entry| entry.network.to_string());
    assert_eq!(
        networks.collect::<Vec<_>>(),
        [
            "198.51.100.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001:db8::/64",
            "192.0.2.1/32"
        ]
    );
    let rounded = Rounded {
        count: 3,
        first: Some((2, "198.51.100.7/24".to_owned())),
    };
    assert_eq!(reading.rounded, rounded);
}
