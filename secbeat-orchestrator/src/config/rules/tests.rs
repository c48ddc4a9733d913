use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    #[serde(rename = "rule")]
    rules: Rules,
}

fn read(text: &str) -> Vec<RuleConfig> {
    toml::from_str::<File>(text).unwrap().rules.0
}

fn names(rules: &[RuleConfig]) -> Vec<&str> {
    rules.iter().map(|rule| rule.rule.name()).collect()
}

fn error(text: &str) -> String {
    toml::from_str::<File>(text).unwrap_err().message().to_owned()
}

#[test]
fn without_a_word_the_default_presets_hold() {
    assert_eq!(read(""), RuleConfig::defaults());
    let none = ["error-flood", "request-flood", "waf-flood"]
        .map(|name| format!("[[rule]]\nname = \"{name}\"\nenabled = false\n"));
    assert_eq!(read(&none.concat()), []);
}

#[test]
fn the_shipped_file_shows_every_preset_as_it_is() {
    let shipped = std::fs::read_to_string("../packaging/orchestrator.toml").unwrap();
    let rules = read(&shipped.replace("enabled = false", "enabled = true"));
    let presets = [
        Rule::ErrorFlood,
        Rule::RequestFlood,
        Rule::WafFlood,
        Rule::PathScan,
        Rule::LoginBruteforce,
    ];
    assert_eq!(
        rules,
        presets.map(|preset| RuleConfig::preset(preset).unwrap()).to_vec()
    );
}

#[test]
fn naming_a_preset_switches_it_on_and_what_is_not_stated_is_the_presets() {
    let rules = read(
        "[[rule]]\nname = \"path-scan\"\nthreshold = 7\n[[rule]]\nname = \"error-flood\"\naction = \"observe\"\n",
    );
    assert_eq!(
        names(&rules),
        ["error-flood", "request-flood", "waf-flood", "path-scan"],
        "presets that hold anyway come first"
    );
    let expected = RuleConfig {
        action: Action::Observe,
        ..RuleConfig::preset(Rule::ErrorFlood).unwrap()
    };
    assert_eq!(rules[0], expected);
    let preset = RuleConfig::preset(Rule::PathScan).unwrap();
    let expected = RuleConfig {
        threshold: Threshold {
            count: NonZeroU32::new(7).unwrap(),
            ..preset.threshold
        },
        ..preset
    };
    assert_eq!(rules[3], expected);
}

#[test]
fn a_rule_of_ones_own_is_read_whole() {
    let rules = read(
        r#"
        [[rule]]
        name = "search"
        counts = "requests"
        statuses = [200, "401-403"]
        methods = ["POST"]
        paths = ["/search", "/find*"]
        hosts = ["*.example.org"]
        threshold = 30
        window = "10s"
        ban = "1h"
        action = "observe"
        "#,
    );
    let expected = RuleConfig {
        rule: Rule::Own("search".parse().unwrap()),
        counts: Counts::Requests,
        filter: Match {
            statuses: vec!["200".parse().unwrap(), "401-403".parse().unwrap()],
            methods: vec!["POST".parse().unwrap()],
            paths: vec!["/search".parse().unwrap(), "/find*".parse().unwrap()],
            hosts: vec!["*.example.org".parse().unwrap()],
        },
        distinct: None,
        threshold: Threshold {
            count: NonZeroU32::new(30).unwrap(),
            window: Duration::from_secs(10),
        },
        ban: Some(Duration::from_secs(3600)),
        action: Action::Observe,
    };
    assert_eq!(rules[3..], [expected]);
}

#[test]
fn what_is_no_rule_is_refused_with_its_name_and_the_key() {
    let own = |keys: &str| error(&format!("[[rule]]\nname = \"own\"\n{keys}"));
    let preset = |name: &str, keys: &str| error(&format!("[[rule]]\nname = \"{name}\"\n{keys}"));
    let stated = "a rule that is no preset must state it";
    for (error, expected) in [
        (
            own("threshold = 1\nwindow = \"1s\""),
            format!("own: counts: {stated}"),
        ),
        (
            own("counts = \"errors\"\nwindow = \"1s\""),
            format!("own: threshold: {stated}"),
        ),
        (
            own("counts = \"errors\"\nthreshold = 1"),
            format!("own: window: {stated}"),
        ),
        (
            preset("error-flood", "window = \"25d\""),
            "error-flood: window: a window lasts 1 ms to 24 days".to_owned(),
        ),
        (
            preset("error-flood", "statuses = [\"200-404\"]"),
            "error-flood: statuses: errors have statuses of 400 to 599".to_owned(),
        ),
        (
            preset("error-flood", "counts = \"requests\""),
            "error-flood: counts: a preset counts what it counts; call the rule otherwise".to_owned(),
        ),
        (
            preset("error-flood", "severity = \"error\""),
            "error-flood: severity: only a rule over waf-events has one".to_owned(),
        ),
        (
            preset("request-flood", "excluded_rules = []"),
            "request-flood: excluded_rules: only a rule over waf-events has them".to_owned(),
        ),
        (
            preset("request-flood", "excluded_statuses = []"),
            "request-flood: excluded_statuses: only a rule over errors has them".to_owned(),
        ),
        (
            preset("waf-flood", "methods = [\"GET\"]"),
            "waf-flood: methods: WAF events have none".to_owned(),
        ),
        (
            preset("waf-flood", "statuses = [403]"),
            "waf-flood: statuses: WAF events have none".to_owned(),
        ),
        (
            preset("path-scan", "threshold = 1001"),
            "path-scan: threshold: at most 1000 where distinct things are counted".to_owned(),
        ),
        (
            preset("path-scan", "[[rule]]\nname = \"path-scan\""),
            "two rules are called path-scan".to_owned(),
        ),
    ] {
        assert_eq!(error, expected);
    }
    let manual = preset("manual", "");
    assert!(manual.contains("`manual` is no name of a rule"), "{manual}");
    let many: String = (0..=MAX_RULES)
        .map(|n| format!("[[rule]]\nname = \"r{n}\"\ncounts = \"errors\"\nthreshold = 1\nwindow = \"1s\"\n"))
        .collect();
    assert_eq!(error(&many), "68 rules, and there may be 64");
}

#[test]
fn edges_are_asked_for_the_good_answers_that_single_requests_count() {
    let asked = |text: &str| {
        let config: crate::config::Config = toml::from_str(text).unwrap();
        config.directives().interest.filters().to_vec()
    };
    let rule = |name: &str, keys: &str| {
        format!("[[rule]]\nname = \"{name}\"\nthreshold = 9\nwindow = \"60s\"\n{keys}\n")
    };
    // Errors are reported anyway, and so is how many requests there are.
    let nothing = rule("request-flood", "")
        + &rule("path-scan", "")
        + &rule("login-bruteforce", "")
        + &rule("refused", "counts = \"requests\"\nstatuses = [\"401-403\"]")
        + &rule("all", "counts = \"requests\"")
        + &rule("errors", "counts = \"errors\"\npaths = [\"/login\"]");
    assert_eq!(asked(&nothing), []);
    let login = rule(
        "login",
        "counts = \"requests\"\npaths = [\"/login\"]\nmethods = [\"POST\"]",
    );
    let crawl = rule("crawl", "counts = \"requests\"\ndistinct = \"paths\"");
    let same = login.replace("\"login\"", "\"again\"");
    let [first, second] = &asked(&(nothing + &login + &same + &crawl))[..] else {
        panic!("a filter is missing")
    };
    assert!(first.matches(200, "POST", "/login", "") && !first.matches(200, "GET", "/login", ""));
    assert!(second.is_any());
}
