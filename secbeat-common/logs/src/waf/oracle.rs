//! What must hold of every line: of those in the tests, of the fuzzer's and of its corpus.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use secbeat_common::wire::{self, LearnedFrom, MAX_TEXT, MAX_WAF_RULES, WafBatch};
use strum::VariantArray;

use super::WafFormat;

/// Whatever `line` is, an event of it has an address, at least one rule and none twice, texts within their limits, and
/// survives the bus.
///
/// # Panics
///
/// When it does not.
pub fn check(line: &[u8]) {
    for format in WafFormat::VARIANTS {
        let Ok(Some(event)) = format.parse(line, LearnedFrom::Header, &TimeZone::UTC) else {
            continue;
        };
        assert_eq!(event.client, event.client.to_canonical());
        assert_eq!(event.learned_from, LearnedFrom::Header);
        assert!((1..=MAX_WAF_RULES).contains(&event.rules.len()), "{event:?}");
        let ids: HashSet<_> = event.rules.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), event.rules.len(), "a rule counts once: {event:?}");
        for text in [&event.message, &event.uri, &event.host] {
            assert!(text.len() <= MAX_TEXT, "{event:?}");
        }
        assert!(!event.uri.contains('?'), "no query: {event:?}");
        let batch = WafBatch {
            edge_id: "e".to_owned(),
            boot_id: uuid::Uuid::nil(),
            sequence: 0,
            sent_at_ms: 0,
            dropped_before: 0,
            events: vec![event],
        };
        let bytes = wire::encode(&batch).expect("an event fits into a message");
        assert_eq!(wire::decode(&bytes), Ok(batch));
    }
}
