//! Rules over requests that SecBeat ships beside those of everybody: none is in force before an operator names it.

use std::{num::NonZeroU32, time::Duration};

use secbeat_common::{
    rules::{Exclusion, Match},
    wire::Labels,
};

use super::{
    super::{Action, Counts, Distinct, Rule, RuleConfig, SignatureFilter, Threshold},
    PROBING, filter, harmless, signatures,
};

/// What browsers fetch for a page without being asked.
const PARTS_OF_PAGES: &[&str] = &[
    "*.css", "*.js", "*.mjs", "*.map", "*.json", "*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.webp",
    "*.avif", "*.ico", "*.woff", "*.woff2", "*.ttf", "*.mp4", "*.webm", "*.m4s", "*.ts",
];

/// The rule with this name; `None` if it is another's.
pub(super) fn preset(rule: Rule, name: &str) -> Option<RuleConfig> {
    let (counts, count) = match name {
        "repeated-attack" => (
            signatures(&[], &["high", "critical"]),
            const { NonZeroU32::new(2).unwrap() },
        ),
        "repeated-probe" => (signatures(&[], &PROBING), const { NonZeroU32::new(5).unwrap() }),
        "open-proxy" => (
            by_id(&[
                "protocol-connect",
                "protocol-open-proxy",
                "protocol-absolute-target",
            ]),
            const { NonZeroU32::new(1).unwrap() },
        ),
        "auth-bruteforce" => (Counts::Errors, const { NonZeroU32::new(10).unwrap() }),
        "page-crawl" => (Counts::Requests, const { NonZeroU32::new(40).unwrap() }),
        _ => return None,
    };
    let is_crawl = name == "page-crawl";
    Some(RuleConfig {
        rule,
        counts,
        filter: match name {
            "auth-bruteforce" => filter(&["401"], &[], &[]),
            "page-crawl" => filter(&[], &["GET", "HEAD"], &[]),
            _ => Match::default(),
        },
        also: Vec::new(),
        excluded: match name {
            "auth-bruteforce" => harmless(),
            "page-crawl" => vec![Exclusion {
                filter: filter(&[], &[], PARTS_OF_PAGES),
                ..Exclusion::default()
            }],
            _ => Vec::new(),
        },
        distinct: is_crawl.then_some(Distinct::Paths),
        threshold: Threshold {
            count,
            window: Duration::from_secs(if is_crawl { 20 } else { 60 }),
        },
        ban: None,
        labels: Labels::new(),
        action: Action::Ban,
    })
}

fn by_id(ids: &[&str]) -> Counts {
    Counts::Signatures(SignatureFilter {
        ids: ids.iter().map(ToString::to_string).collect(),
        ..SignatureFilter::default()
    })
}

#[cfg(test)]
mod tests {
    use secbeat_common::rules::PathPattern;

    use super::*;

    #[test]
    fn every_text_says_something() {
        let crawl = preset(Rule::Own("page-crawl".parse().unwrap()), "page-crawl").unwrap();
        assert_eq!(crawl.excluded[0].filter.paths.len(), PARTS_OF_PAGES.len());
        assert_eq!(crawl.filter.methods.len(), 2);
        assert!(
            PARTS_OF_PAGES
                .iter()
                .all(|text| text.parse::<PathPattern>().is_ok())
        );
    }
}
