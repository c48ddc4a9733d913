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
fn actions_have_the_names_of_the_config() {
    let actions = [RuleAction::Ban, RuleAction::Observe];
    assert_eq!(actions.map(RuleAction::name), ["ban", "observe"]);
}

#[test]
fn without_a_word_the_default_presets_hold() {
    assert_eq!(read(""), RuleConfig::defaults());
    let defaults = RuleConfig::defaults();
    let none = defaults
        .iter()
        .map(|preset| format!("[[rule]]\nname = \"{}\"\nenabled = false\n", preset.rule));
    assert_eq!(read(&none.collect::<String>()), []);
}

/// A daemon without a config chooses rules that no file names.
#[test]
fn the_rules_about_a_service_are_those_that_the_daemon_names() {
    let about = |text: &str, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let rules = toml::from_str::<File>(text).unwrap().rules.in_force(&names);
        rules
            .about("sshd")
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let chosen = ["error-flood", "ssh-bruteforce"];
    assert_eq!(about("", &chosen), ["ssh-bruteforce"]);
    assert_eq!(about("", &["error-flood"]), ["error-flood"]);
    let own = "[[rule]]\nname = \"mine\"\ncounts = \"auth-failures\"\nthreshold = 3\nwindow = \"1m\"\n";
    assert_eq!(about(own, &["mine", "nobody-knows-it"]), ["mine"]);
    assert_eq!(about(own, &chosen), ["ssh-bruteforce"], "not reloaded yet");
    let names = ["mine", "nobody-knows-it", "ssh-bruteforce"].map(str::to_owned);
    let rules = toml::from_str::<File>(own).unwrap().rules;
    assert_eq!(rules.unknown(&names), ["nobody-knows-it"]);
}

#[test]
fn the_shipped_file_shows_every_preset_as_it_is() {
    let shipped = std::fs::read_to_string("../packaging/orchestrator.toml").unwrap();
    let rules = read(&shipped.replace("enabled = false", "enabled = true"));
    let presets = [
        "error-flood",
        "request-flood",
        "waf-flood",
        "probe",
        "attack",
        "scanner",
        "path-scan",
        "login-bruteforce",
        "protocol-abuse",
        "repeated-attack",
        "repeated-probe",
        "open-proxy",
        "auth-bruteforce",
        "page-crawl",
        "ssh-bruteforce",
        "mail-bruteforce",
        "service-bruteforce",
        "ftp-bruteforce",
        "database-bruteforce",
        "voip-bruteforce",
        "service-abuse",
        "service-scan",
    ];
    let preset = |name: &str| RuleConfig::preset(name.parse::<RuleName>().unwrap().into()).unwrap();
    assert_eq!(rules, presets.map(preset).to_vec());
}

#[test]
fn naming_a_preset_switches_it_on_and_what_is_not_stated_is_the_presets() {
    let rules = read(
        "[[rule]]\nname = \"path-scan\"\nthreshold = 7\n[[rule]]\nname = \"error-flood\"\naction = \"observe\"\n",
    );
    assert_eq!(
        names(&rules),
        [
            "error-flood",
            "request-flood",
            "waf-flood",
            "probe",
            "attack",
            "path-scan"
        ],
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
    assert_eq!(rules[5], expected);
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
        also: Vec::new(),
        excluded: Vec::new(),
        distinct: None,
        threshold: Threshold {
            count: NonZeroU32::new(30).unwrap(),
            window: Duration::from_secs(10),
        },
        ban: Some(Duration::from_secs(3600)),
        labels: Labels::new(),
        action: Action::Observe,
    };
    assert_eq!(rules[5..], [expected]);
}

#[test]
fn what_does_not_count_is_said_in_tables_and_by_single_keys() {
    let rules = read(
        r#"
        [[rule]]
        name = "own"
        counts = "aborted"
        threshold = 30
        window = "10s"
        also = [{ methods = ["POST"], paths = ["*/form"], statuses = [200], hosts = ["a.org"] }]
        exclude = [{ methods = ["HEAD"], user_agents = ["probe"] }]
        excluded_statuses = ["410-412"]
        excluded_methods = ["PURGE"]
        excluded_paths = ["/api/*/poll"]
        excluded_hosts = ["b.org"]
        excluded_user_agents = ["monitor"]

        [[rule]]
        name = "error-flood"
        excluded_paths = ["/api/jobs"]

        [[rule]]
        name = "path-scan"
        exclude = []
        "#,
    );
    let text = |exclusion: &Exclusion| serde_json::to_string(exclusion).unwrap();
    let own: Vec<_> = rules[5].excluded.iter().map(text).collect();
    let exclusion = |keys: [&str; 5]| {
        let [statuses, methods, paths, hosts, agents] = keys;
        format!(
            "{{\"filter\":{{\"statuses\":[{statuses}],\"methods\":[{methods}],\"paths\":[{paths}],\"hosts\":[{hosts}]}},\
             \"user_agents\":[{agents}]}}"
        )
    };
    let expected = [
        exclusion(["", "\"HEAD\"", "", "", "\"probe\""]),
        exclusion(["\"410-412\"", "", "", "", ""]),
        exclusion(["", "\"PURGE\"", "", "", ""]),
        exclusion(["", "", "\"/api/*/poll\"", "", ""]),
        exclusion(["", "", "", "\"b.org\"", ""]),
        exclusion(["", "", "", "", "\"monitor\""]),
    ];
    assert_eq!((names(&rules)[5], own), ("own", expected.to_vec()));
    assert_eq!(rules[5].counts, Counts::Aborted);
    assert!(rules[5].also[0].matches(200, "POST", "/x/form", "a.org"));
    assert!(!rules[5].also[0].matches(200, "POST", "/x/form", "b.org"));
    let shipped = RuleConfig::preset(Rule::ErrorFlood).unwrap().excluded;
    let (last, others) = rules[0].excluded.split_last().unwrap();
    assert_eq!(others, shipped, "what is shipped stays");
    assert_eq!(text(last), exclusion(["", "", "\"/api/jobs\"", "", ""]));
    assert_eq!(rules[6].excluded, [], "it is gone where the tables are stated");
}

#[test]
fn what_is_no_rule_is_refused_with_its_name_and_the_key() {
    let own = |keys: &str| error(&format!("[[rule]]\nname = \"own\"\n{keys}"));
    let preset = |name: &str, keys: &str| error(&format!("[[rule]]\nname = \"{name}\"\n{keys}"));
    let stated = "missing: a custom rule must set it";
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
            "error-flood: window: invalid window 25d: expected 1 ms to 24 days".to_owned(),
        ),
        (
            preset("error-flood", "statuses = [\"200-404\"]"),
            "error-flood: statuses: errors have statuses of 400 to 599".to_owned(),
        ),
        (
            preset("error-flood", "counts = \"requests\""),
            "error-flood: counts: cannot be changed for a built-in rule; give the rule another name"
                .to_owned(),
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
            preset("waf-flood", "excluded_statuses = []"),
            "waf-flood: excluded_statuses: WAF events have none".to_owned(),
        ),
        (
            preset("waf-flood", "excluded_user_agents = [\"x\"]"),
            "waf-flood: excluded_user_agents: WAF events have none".to_owned(),
        ),
        (
            preset("error-flood", "exclude = [{ statuses = [404] }, {}]"),
            "error-flood: exclude: a table with no list matches every request".to_owned(),
        ),
        (
            preset("error-flood", "also = [{}]"),
            "error-flood: also: a table with no list matches every request".to_owned(),
        ),
        (
            own("counts = \"aborted\"\nstatuses = [499]\nthreshold = 1\nwindow = \"1s\""),
            "own: statuses: an aborted request has none".to_owned(),
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
            preset("ssh-bruteforce", "paths = [\"/\"]"),
            "ssh-bruteforce: paths: events of services have none".to_owned(),
        ),
        (
            preset("error-flood", "services = [\"sshd\"]"),
            "error-flood: services: only a rule over auth-failures, abuse or scans has them".to_owned(),
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
    assert!(manual.contains("invalid rule name `manual`"), "{manual}");
    let many: String = (0..=MAX_RULES)
        .map(|n| format!("[[rule]]\nname = \"r{n}\"\ncounts = \"errors\"\nthreshold = 1\nwindow = \"1s\"\n"))
        .collect();
    assert_eq!(error(&many), "70 rules: at most 64 are allowed");
}

#[test]
fn edges_are_asked_for_the_good_answers_that_single_requests_count() {
    let asked = |text: &str| {
        let config: crate::config::Config = toml::from_str(text).unwrap();
        config.directives().interest
    };
    let rule = |name: &str, keys: &str| {
        format!("[[rule]]\nname = \"{name}\"\nthreshold = 9\nwindow = \"60s\"\n{keys}\n")
    };
    // Errors are reported anyway, and so is how many requests there are.
    let nothing = rule("request-flood", "")
        + &rule("path-scan", "")
        + &rule("refused", "counts = \"requests\"\nstatuses = [\"401-403\"]")
        + &rule("all", "counts = \"requests\"")
        + &rule("errors", "counts = \"errors\"\npaths = [\"/login\"]");
    assert!(asked(&nothing).is_empty());
    let login = rule(
        "login",
        "counts = \"requests\"\npaths = [\"/login\"]\nmethods = [\"POST\"]",
    );
    let same = login.replace("\"login\"", "\"again\"");
    let interest = asked(&(nothing.clone() + &login + &same));
    assert_eq!(interest.len(), 1);
    assert!(interest.holds(200, "POST", "/login", "", ""));
    assert!(!interest.holds(200, "GET", "/login", "", ""));
    let crawl = rule(
        "crawl",
        "counts = \"requests\"\ndistinct = \"paths\"\nexcluded_paths = [\"*.png\"]",
    );
    let interest = asked(&(nothing.clone() + &crawl));
    assert!(interest.holds(200, "GET", "/a", "", "") && !interest.holds(200, "GET", "/a.png", "", ""));
    let aborted = asked(&(nothing.clone() + &rule("aborted", "counts = \"aborted\"")));
    assert!(aborted.holds(499, "GET", "/", "", "") && !aborted.holds(200, "GET", "/", "", ""));
    let bruteforce = asked(&(nothing + &rule("login-bruteforce", "")));
    assert!(bruteforce.holds(200, "POST", "/blog/wp-login.php", "", ""));
    assert!(!bruteforce.holds(302, "POST", "/blog/wp-login.php", "", ""));
    assert!(!bruteforce.holds(200, "GET", "/blog/wp-login.php", "", ""));
}

#[test]
fn a_rule_over_services_names_them() {
    let rules = read(
        "[[rule]]\nname = \"door\"\ncounts = \"auth-failures\"\nservices = [\"mine\"]\nthreshold = 3\nwindow = \"1h\"\n\
         [[rule]]\nname = \"mail-bruteforce\"\nservices = [\"postfix\"]\n",
    );
    let of = |name: &str| {
        let rule = rules.iter().find(|rule| rule.rule.name() == name).unwrap();
        let Counts::ServiceEvents(filter) = &rule.counts else {
            panic!("{:?}", rule.counts)
        };
        (filter.services.clone(), rule.threshold.count.get())
    };
    assert_eq!(of("door"), (vec!["mine".to_owned()], 3));
    assert_eq!(of("mail-bruteforce"), (vec!["postfix".to_owned()], 10));
}

#[test]
fn a_rule_by_asn_counts_clients_and_observes_until_it_is_told_to_ban() {
    let rule = |keys: &str| {
        format!("[[rule]]\nname = \"own\"\nby = \"asn\"\nwindow = \"10m\"\nthreshold = 5\n{keys}\n")
    };
    let of = |keys: &str| read(&rule(keys)).pop().unwrap();
    for counts in ["signatures", "waf-events", "auth-failures", "abuse", "scans"] {
        let rule = of(&format!("counts = \"{counts}\""));
        assert_eq!(
            (rule.distinct, rule.action),
            (Some(Distinct::Clients), Action::Observe)
        );
        assert_eq!(rule.counted().to_string(), "clients of one provider");
    }
    assert_eq!(of("counts = \"scans\"\naction = \"ban\"").action, Action::Ban);
    let by_client = rule("counts = \"scans\"").replace("\"asn\"", "\"client\"");
    assert_eq!(read(&by_client).pop().unwrap().distinct, None);
    for (text, key) in [
        (rule("counts = \"errors\""), "own: by: "),
        (rule("counts = \"requests\"\npaths = [\"/a\"]"), "own: by: "),
        (rule("").replace("\"own\"", "\"probe\""), "probe: by: "),
        (
            rule("counts = \"signatures\"\ndistinct = \"signatures\""),
            "own: distinct: ",
        ),
        (
            rule("counts = \"signatures\"\nalso = [{ paths = [\"/a\"] }]"),
            "own: also: ",
        ),
        (
            rule("counts = \"signatures\"").replace("= 5", "= 4"),
            "own: threshold: ",
        ),
        (
            rule("counts = \"signatures\"").replace("= 5", "= 1001"),
            "own: threshold: ",
        ),
    ] {
        assert!(error(&text).starts_with(key), "{}", error(&text));
    }
}

#[test]
fn a_rule_by_asn_needs_a_file_and_no_edge_is_told_of_it() {
    let rule =
        "[[rule]]\nname = \"own\"\nby = \"asn\"\ncounts = \"scans\"\nwindow = \"10m\"\nthreshold = 5\n";
    let config = |text: &str| toml::from_str::<crate::config::Config>(text).unwrap();
    let (key, _) = config(rule).contradiction_of_rules().unwrap();
    assert_eq!(key, "geo.asn");
    let whole = config(&format!("[geo]\nasn = \"/nonexistent\"\n{rule}"));
    assert_eq!(whole.contradiction_of_rules(), None);
    assert!(whole.rules.has("own"));
    let orders = whole.orders();
    let mut told = orders.detect.rules.iter();
    assert!(told.all(|rule| rule.rule.name() != "own"));
    assert!(!orders.detect.rules.is_empty());
}
