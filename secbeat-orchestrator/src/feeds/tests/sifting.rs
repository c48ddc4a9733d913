//! What of a list is taken.

use super::{sift::sift, *};

const NOW_MS: i64 = 1_800_000_000_000;

fn sifted(list: &str, more: &str, before: usize) -> Result<Vec<String>, String> {
    let sifted = sift(list.as_bytes(), &entry(&"127.0.0.1", more), before, NOW_MS)?;
    Ok(sifted.networks.iter().map(ToString::to_string).collect())
}

#[test]
fn networks_are_merged_and_those_that_are_not_public_are_left_out() {
    // As FireHOL's first level begins, which holds all bogons.
    let list = "0.0.0.0/8\n10.0.0.0/8\n100.64.0.0/10\n127.0.0.0/8\n192.168.0.0/16\n198.51.100.0/25\n198.51.100.128/25\n224.0.0.0/3\n";
    assert_eq!(sifted(list, "", 0).unwrap(), ["198.51.100.0/24"]);
    let all = sifted(list, "include_private = true", 0).unwrap_err();
    assert!(
        all.contains("224.0.0.0/3 is wider than what may be banned"),
        "{all}"
    );
    let private = "10.0.0.0/8\n127.0.0.1\n";
    assert_eq!(
        sifted(private, "include_private = true", 0).unwrap(),
        ["10.0.0.0/8"]
    );
    assert!(
        sifted(private, "", 0)
            .unwrap_err()
            .contains("excluded, or not public")
    );
    assert!(
        sifted("0.0.0.0/1\n", "", 0)
            .unwrap_err()
            .contains("0.0.0.0/1 is wider")
    );
    assert!(
        sifted("2000::/3\n", "", 0)
            .unwrap_err()
            .contains("2000::/3 is wider")
    );
    assert_eq!(
        sifted("198.51.100.0/30\n", "exclude = [\"198.51.100.1\"]", 0).unwrap(),
        ["198.51.100.0/32", "198.51.100.2/31"]
    );
}

#[test]
fn a_list_that_shrank_or_is_full_of_errors_is_not_taken() {
    assert_eq!(sifted(&addresses(70), "", 100).unwrap().len(), 70);
    assert_eq!(
        sifted(&addresses(69), "", 100).unwrap_err(),
        "it has 69 entries, and had 100"
    );
    assert_eq!(sifted(&addresses(1), "min_share = 0", 100).unwrap().len(), 1);
    let with_errors = |count: usize| addresses(90) + &"no address at all\n".repeat(count);
    assert_eq!(
        sifted(&with_errors(10), "format = \"list\"", 0).unwrap().len(),
        90
    );
    let many = sifted(&with_errors(11), "format = \"list\"", 0).unwrap_err();
    assert!(
        many.starts_with("11 of 101 lines are invalid; line 91: "),
        "{many}"
    );
}

#[test]
fn networks_that_are_everybody_together_are_not_taken_and_none_is_wider_than_a_ban() {
    let slash8s = |nets: std::ops::RangeInclusive<u32>| -> String {
        nets.filter(|net| *net != 10 && *net != 127)
            .map(|net| format!("{net}.0.0.0/8\n"))
            .collect()
    };
    let refused = sifted(&slash8s(1..=223), "mode = \"ban\"", 0).unwrap_err();
    assert!(
        refused.contains("together are 98 % of the IPv4 addresses"),
        "{refused}"
    );
    assert_eq!(
        sifted(&slash8s(2..=3), "", 0).unwrap(),
        ["2.0.0.0/8", "3.0.0.0/8"],
        "adjacent ones do not become wider"
    );
}

#[test]
fn exceptions_are_cut_out_and_repeated_lines_count_once() {
    assert_eq!(
        sifted("198.51.100.0/30\n!198.51.100.1\n", "mode = \"ban\"", 0).unwrap(),
        ["198.51.100.0/32", "198.51.100.2/31"]
    );
    let set = "create s hash:net\nadd s 198.51.100.0/30\nadd s 198.51.100.1 nomatch\n";
    assert_eq!(
        sifted(set, "mode = \"ban\"", 0).unwrap(),
        ["198.51.100.0/32", "198.51.100.2/31"]
    );
    let repeated = "198.51.100.0/24\n".repeat(100);
    assert_eq!(
        sifted(&repeated, "", 100).unwrap_err(),
        "it has 1 entries, and had 100"
    );
    let error = sifted("{\"error\":\"rate limited\",\"ip\":\"203.0.113.50\"}", "", 0).unwrap_err();
    assert!(error.contains("an error message of a server"), "{error}");
}

#[test]
fn entries_that_ended_are_left_out() {
    let set = "create bad hash:net family inet timeout 0\nadd bad 198.51.100.7 timeout 60\nadd bad 198.51.100.9 timeout 0\n";
    assert_eq!(sifted(set, "", 0).unwrap().len(), 2);
    let csv = "address,expires_at\n198.51.100.7,2020-01-01T00:00:00Z\n198.51.100.9,2099-01-01T00:00:00Z\n";
    assert_eq!(sifted(csv, "", 0).unwrap(), ["198.51.100.9/32"]);
}

#[test]
fn a_config_that_contradicts_itself_is_refused() {
    let checked = |text: &str| {
        let feeds: Vec<FeedEntry> = toml::from_str::<toml::Table>(text).unwrap()["feed"]
            .clone()
            .try_into()
            .unwrap();
        check(&feeds)
    };
    let feed = |more: &str| format!("[[feed]]\nname = \"a\"\n{more}\n");
    let url = "url = \"https://lists.example/a\"";
    for (text, key, what) in [
        (
            feed(""),
            "feed[0].url",
            "exactly one of `url`, `file` and `preset`",
        ),
        (
            feed("preset = \"tor-exits\"\nfile = \"/list\""),
            "feed[0].url",
            "exactly one of `url`, `file` and `preset`",
        ),
        (
            feed("url = \"http://lists.example/a\""),
            "feed[0].url",
            "not encrypted",
        ),
        (
            feed("url = \"http://u:p@lists.example/?key=SECRET\""),
            "feed[0].url",
            "http://lists.example/?…",
        ),
        (
            format!("{}{}", feed(url), feed(url)),
            "feed[1].name",
            "two feeds are called `a`",
        ),
        (
            feed(&format!("{url}\nevery = \"1s\"")),
            "feed[0].every",
            "the least is 1m",
        ),
        (
            feed(&format!("{url}\nttl = \"5m\"")),
            "feed[0].ttl",
            "shorter than",
        ),
    ] {
        let (found, why) = checked(&text).unwrap_err();
        assert_eq!(found, key, "{text}");
        assert!(why.contains(what) && !why.contains("SECRET"), "{why}");
    }
    for more in [
        "preset = \"spamhaus-drop\"",
        "url = \"http://[::1]:8080/a\"",
        "url = \"http://lists.example/\"\ninsecure = true",
        url,
    ] {
        assert_eq!(checked(&feed(more)), Ok(()), "{more}");
    }
    for wrong in [
        "url = \"ftp://lists.example/\"",
        "preset = \"mine\"",
        "format = \"xml\"",
        "min_share = 2.0",
        "exclude = [\"x\"]",
    ] {
        assert!(
            toml::from_str::<FeedEntry>(&format!("name = \"a\"\n{wrong}")).is_err(),
            "{wrong}"
        );
    }
}
