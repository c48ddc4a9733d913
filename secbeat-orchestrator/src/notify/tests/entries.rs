//! What a config may say.

use super::*;
use crate::notify::check;

const WEBHOOK: &str = "[[notify]]\nname = \"a\"\nkind = \"webhook\"\n";
const EMAIL: &str = "[[notify]]\nname = \"a\"\nkind = \"email\"\nserver = \"mail.example.org\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n";

#[test]
fn each_mistake_names_its_key() {
    let url = "url = \"https://hooks.example/T\"\n";
    for (toml, key, why) in [
        (WEBHOOK.to_owned(), "notify[0].kind", "requires url or url_file"),
        (
            format!("{WEBHOOK}{url}url_file = \"u\""),
            "notify[0].url_file",
            "has to go",
        ),
        (
            format!("{WEBHOOK}url = \"ftp://a/b\""),
            "notify[0].url",
            "invalid URL",
        ),
        (
            format!("{WEBHOOK}url = \"https://n:p@a/\""),
            "notify[0].url",
            "token_file",
        ),
        (
            format!("{WEBHOOK}{url}shape = \"pagerduty\""),
            "notify[0].shape",
            "token_file",
        ),
        (
            format!("{WEBHOOK}{url}to = [\"a@b\"]"),
            "notify[0].to",
            "kind = \"email\"",
        ),
        (
            format!("{WEBHOOK}{url}template = \"{{{{ nope }}}}\""),
            "notify[0].template",
            "undefined",
        ),
        (
            format!("{WEBHOOK}{url}headers = {{ \"a b\" = \"c\" }}"),
            "notify[0].headers",
            "`a b`",
        ),
        (
            format!("{WEBHOOK}{url}events = []"),
            "notify[0].events",
            "name at least one event",
        ),
        (
            format!("{WEBHOOK}{url}report = \"week\"\nshape = \"pagerduty\"\ntoken_file = \"t\""),
            "notify[0].report",
            "PagerDuty takes incidents",
        ),
        (
            format!("{WEBHOOK}{url}{WEBHOOK}{url}"),
            "notify[1].name",
            "two receivers",
        ),
        (
            format!("{EMAIL}username = \"u\""),
            "notify[0].username",
            "password_file",
        ),
        (
            format!("{EMAIL}username = \"u\"\npassword_file = \"p\"\ntls = \"none\""),
            "notify[0].tls",
            "plain text",
        ),
        (
            EMAIL.replace("b@example.org", "b at c"),
            "notify[0].to",
            "invalid mail address `b at c`",
        ),
        (
            "[[notify]]\nname = \"a\"\nkind = \"command\"\n".to_owned(),
            "notify[0].kind",
            "requires command",
        ),
        (
            "[[notify]]\nname = \"a\"\nkind = \"command\"\ncommand = [\"mail\"]".to_owned(),
            "notify[0].command",
            "absolute",
        ),
    ] {
        let (named, said) = wrong(&toml);
        assert!(named == key && said.contains(why), "{toml}\n{named}: {said}");
    }
    assert!(Receiver::all(&entries(EMAIL).unwrap()).is_ok());
}

#[test]
fn a_rule_that_there_is_not_is_an_error() {
    let entries = entries(&format!(
        "{WEBHOOK}url = \"https://a/\"\nrules = [\"eror-flood\"]"
    ))
    .unwrap();
    let (key, why) = check(&entries, &["error-flood"]).unwrap_err();
    assert!(key == "notify[0].rules" && why.contains("`eror-flood`"), "{why}");
    assert_eq!(check(&entries, &["eror-flood"]), Ok(()));
    let timed = format!("{WEBHOOK}url = \"https://a/\"\ntimeout = \"1s\"");
    assert_eq!(wrong(&timed).0, "notify[0].timeout");
}

#[test]
fn unknown_names_are_errors_that_list_the_known_ones() {
    let error = entries(&format!("{WEBHOOK}url = \"https://a/\"\nevents = [\"bann\"]")).unwrap_err();
    assert!(
        error.contains("`bann`") && error.contains("edge-unprotected"),
        "{error}"
    );
    let error = entries("[[notify]]\nname = \"a b\"\nkind = \"webhook\"").unwrap_err();
    assert!(error.contains("invalid name `a b`"), "{error}");
}

#[test]
fn no_secret_is_in_what_is_printed_of_a_config() {
    let toml = format!("{WEBHOOK}url = \"https://hooks.example/SECRET\"\nheaders = {{ x-key = \"SECRET\" }}");
    let entries = entries(&toml).unwrap();
    let shown = format!("{entries:?} {:?}", Receiver::all(&entries).unwrap());
    assert!(!shown.contains("SECRET"), "{shown}");
}

#[test]
fn a_receiver_hears_what_it_wants_and_of_each_end() {
    let wants = |toml: &str, notice: &Notice| {
        receiver(&format!(
            "name = \"a\"\nkind = \"webhook\"\nurl = \"https://a/\"\n{toml}"
        ))
        .filter
        .wants(notice)
    };
    let by_rule = ban(Reason::ErrorFlood, "o", "");
    let by_hand = ban(Reason::Manual, "alice", "");
    let down = begun(TroubleKind::EdgeDown, "web-1", "");
    let back = over(TroubleKind::EdgeDown, "web-1");
    for (toml, wanted) in [
        ("", [true, true, true, true]),
        ("bans = \"manual\"", [false, true, true, true]),
        ("bans = \"automatic\"", [true, false, true, true]),
        ("rules = [\"error-flood\"]", [true, false, true, true]),
        ("networks = [\"198.51.100.0/24\"]", [true, true, true, true]),
        ("networks = [\"203.0.113.0/24\"]", [false, false, true, true]),
        ("min_severity = \"warning\"", [false, false, true, true]),
        ("min_severity = \"critical\"", [false, false, false, false]),
        ("events = [\"edge-down\"]", [false, false, true, true]),
        ("events = [\"edge-back\"]", [false, false, false, true]),
        ("events = [\"ban\"]", [true, true, false, false]),
    ] {
        let told = [&by_rule, &by_hand, &down, &back].map(|notice| wants(toml, notice));
        assert_eq!(told, wanted, "{toml}");
    }
}
