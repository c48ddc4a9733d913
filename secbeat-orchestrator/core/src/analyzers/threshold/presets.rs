//! The rules that SecBeat ships.

mod harmless;
mod web;

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use secbeat_common::{
    rules::Match,
    wire::{Labels, ServiceClass},
};

use self::harmless::harmless;
use super::{
    Action, Counts, Distinct, Rule, RuleConfig, ServiceFilter, SignatureFilter, Threshold, WafFilter,
};

/// Paths on which common software refuses a wrong password with an error.
const LOGIN_PATHS: &[&str] = &[
    "*/login",
    "*/login.php",
    "*/signin",
    "*/sign-in",
    "*/sign_in",
    "/session",
    "/sessions",
    "/auth",
    "/oauth",
    "/api/auth",
    "*/wp-login.php",
    "*/xmlrpc.php",
    "*/administrator",
    "*/phpmyadmin",
];
/// 422 is the answer of Laravel and of Rails, 429 of what counts failed logins itself, as Nextcloud.
const LOGIN_REFUSED: &[&str] = &["401", "403", "422", "429"];
/// Malformed, too slow, too long a target, too many, too large: so that no other error of a log without methods counts.
const PROTOCOL_ERRORS: &[&str] = &["400", "408", "414", "429", "431"];
/// Paths on which a failed login is a POST answered 200, with the form again, and a good one is redirected: WordPress, Drupal and
/// Gitea, Joomla, Django, Devise.
const LOGIN_FORMS: &[&str] = &[
    "*/wp-login.php",
    "*/xmlrpc.php",
    "*/user/login",
    "*/administrator/index.php",
    "*/admin/login",
    "*/accounts/login",
    "*/users/sign_in",
    "*/auth/sign_in",
];

/// A preset over events of services.
struct ServicePreset {
    name: &'static str,
    class: ServiceClass,
    /// Empty for all.
    services: &'static [&'static str],
    count: NonZeroU32,
}

/// All with a window of [`SERVICE_WINDOW`].
const SERVICE_PRESETS: &[ServicePreset] = &[
    ServicePreset {
        name: "ssh-bruteforce",
        class: ServiceClass::AuthFailure,
        services: &["sshd", "dropbear"],
        count: const { NonZeroU32::new(5).unwrap() },
    },
    ServicePreset {
        name: "mail-bruteforce",
        class: ServiceClass::AuthFailure,
        services: &["postfix", "dovecot", "exim"],
        count: const { NonZeroU32::new(10).unwrap() },
    },
    ServicePreset {
        name: "service-bruteforce",
        class: ServiceClass::AuthFailure,
        services: &[],
        count: const { NonZeroU32::new(10).unwrap() },
    },
    ServicePreset {
        name: "ftp-bruteforce",
        class: ServiceClass::AuthFailure,
        services: &["vsftpd", "proftpd", "pure-ftpd"],
        count: const { NonZeroU32::new(5).unwrap() },
    },
    ServicePreset {
        name: "database-bruteforce",
        class: ServiceClass::AuthFailure,
        services: &["mysql", "postgresql"],
        count: const { NonZeroU32::new(5).unwrap() },
    },
    ServicePreset {
        name: "voip-bruteforce",
        class: ServiceClass::AuthFailure,
        services: &["asterisk"],
        count: const { NonZeroU32::new(5).unwrap() },
    },
    ServicePreset {
        name: "service-abuse",
        class: ServiceClass::Abuse,
        services: &[],
        count: const { NonZeroU32::new(20).unwrap() },
    },
    ServicePreset {
        name: "service-scan",
        class: ServiceClass::Scan,
        services: &[],
        count: const { NonZeroU32::new(10).unwrap() },
    },
];
/// People mistype a password within minutes; programs that guess slowly need hours.
const SERVICE_WINDOW: Duration = Duration::from_mins(10);

impl RuleConfig {
    /// The rule as SecBeat ships it; `None` for one of the operator's own.
    #[must_use]
    pub fn preset(rule: Rule) -> Option<Self> {
        preset(rule)
    }

    /// The presets that are in force unless the operator says otherwise.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        [
            Rule::ErrorFlood,
            Rule::RequestFlood,
            Rule::WafFlood,
            Rule::Probe,
            Rule::Attack,
        ]
        .into_iter()
        .filter_map(Self::preset)
        .collect()
    }
}

fn preset(rule: Rule) -> Option<RuleConfig> {
    let (counts, count) = match rule {
        Rule::ErrorFlood => (Counts::Errors, const { NonZeroU32::new(50).unwrap() }),
        Rule::RequestFlood => (Counts::Requests, const { NonZeroU32::new(1000).unwrap() }),
        Rule::WafFlood => (
            Counts::WafEvents(WafFilter::default()),
            const { NonZeroU32::new(5).unwrap() },
        ),
        Rule::PathScan => (Counts::Errors, const { NonZeroU32::new(20).unwrap() }),
        Rule::LoginBruteforce => (Counts::Errors, const { NonZeroU32::new(10).unwrap() }),
        Rule::ProtocolAbuse => (Counts::ProtocolErrors, const { NonZeroU32::new(10).unwrap() }),
        Rule::Probe => (signatures(&[], &PROBING), const { NonZeroU32::new(3).unwrap() }),
        Rule::Attack => (
            signatures(&[], &["critical"]),
            const { NonZeroU32::new(1).unwrap() },
        ),
        Rule::Scanner => (
            signatures(&["scanner-agent"], &PROBING),
            const { NonZeroU32::new(1).unwrap() },
        ),
        Rule::Own(name) => {
            return service_preset(rule, name.as_str()).or_else(|| web::preset(rule, name.as_str()));
        }
    };
    Some(RuleConfig {
        rule,
        counts,
        filter: match rule {
            Rule::PathScan => filter(&["404"], &[], &[]),
            Rule::LoginBruteforce => filter(LOGIN_REFUSED, &[], LOGIN_PATHS),
            Rule::ProtocolAbuse => filter(PROTOCOL_ERRORS, &[], &[]),
            _ => Match::default(),
        },
        also: match rule {
            Rule::LoginBruteforce => vec![filter(&["200"], &["POST"], LOGIN_FORMS)],
            _ => Vec::new(),
        },
        excluded: match rule {
            Rule::ErrorFlood | Rule::PathScan => harmless(),
            _ => Vec::new(),
        },
        distinct: match rule {
            Rule::PathScan => Some(Distinct::Paths),
            Rule::Probe => Some(Distinct::Signatures),
            _ => None,
        },
        threshold: Threshold {
            count,
            window: Duration::from_secs(60),
        },
        ban: None,
        labels: Labels::new(),
        action: match rule {
            // One request is little to ban for, until somebody has seen whom it would have been.
            Rule::Attack => Action::Observe,
            _ => Action::Ban,
        },
    })
}

/// Severities of signatures that nobody matches by doing ordinary things.
const PROBING: [&str; 4] = ["low", "medium", "high", "critical"];

fn signatures(classes: &[&str], severities: &[&str]) -> Counts {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    Counts::Signatures(SignatureFilter {
        classes: words(classes),
        severities: words(severities),
        ..SignatureFilter::default()
    })
}

fn service_preset(rule: Rule, name: &str) -> Option<RuleConfig> {
    let preset = SERVICE_PRESETS.iter().find(|preset| preset.name == name)?;
    Some(RuleConfig {
        rule,
        counts: Counts::ServiceEvents(ServiceFilter {
            class: preset.class,
            services: preset
                .services
                .iter()
                .map(|&service| service.to_owned())
                .collect(),
        }),
        filter: Match::default(),
        also: Vec::new(),
        excluded: Vec::new(),
        distinct: None,
        threshold: Threshold {
            count: preset.count,
            window: SERVICE_WINDOW,
        },
        ban: None,
        labels: Labels::new(),
        action: Action::Ban,
    })
}

fn filter(statuses: &[&str], methods: &[&str], paths: &[&str]) -> Match {
    Match {
        statuses: list(statuses),
        methods: list(methods),
        paths: list(paths),
        hosts: Vec::new(),
    }
}

/// Returns what the texts say; a test holds that each says something.
fn list<T: FromStr>(texts: &[&str]) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use secbeat_common::rules::PathPattern;

    use super::*;

    #[test]
    fn presets_over_services_are_found_by_name() {
        for known in SERVICE_PRESETS {
            let preset = preset(Rule::Own(known.name.parse().unwrap())).unwrap();
            assert_eq!(preset.rule.name(), known.name);
            assert_eq!(preset.threshold.count, known.count);
        }
        assert_eq!(preset(Rule::Own("my-rule".parse().unwrap())), None);
    }

    #[test]
    fn every_text_says_something() {
        for paths in [LOGIN_PATHS, LOGIN_FORMS] {
            assert_eq!(list::<PathPattern>(paths).len(), paths.len());
        }
        let login = preset(Rule::LoginBruteforce).unwrap();
        assert_eq!(login.filter.statuses.len(), 4);
        let protocol = preset(Rule::ProtocolAbuse).unwrap();
        assert_eq!(protocol.filter.statuses.len(), PROTOCOL_ERRORS.len());
    }
}
