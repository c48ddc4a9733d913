//! Looks after the audit: whether it still goes back as far as it should.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use secbeat_bus::{AUDIT_AGE, AuditFill, AuditLog, Created};
use secbeat_common::subjects::AuditPart;
use secbeat_daemon::time::{now_ms, rfc3339};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// Interval at which it is looked at.
const PERIOD: Duration = Duration::from_secs(30);
const DAY_S: u64 = 24 * 3600;
/// Time that it is said that records were lost, in milliseconds.
const LOST_MS: i64 = 24 * 3_600_000;

/// Looks at what each part of the audit holds until nobody wants to know.
pub(crate) async fn watch_audit(audit: AuditLog, tell: watch::Sender<Vec<AuditFill>>) {
    let mut short = BTreeSet::new();
    loop {
        match audit.fill().await {
            Ok(fill) => {
                note(&fill, &mut short, now_ms());
                tell.send_replace(fill);
            }
            Err(error) => debug!("asking what the audit holds failed: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = tell.closed() => return,
        }
    }
}

/// Says which parts went short, or do no more.
fn note(fill: &[AuditFill], short: &mut BTreeSet<AuditPart>, now_ms: i64) {
    for filled in fill {
        let (part, days) = (filled.part, AUDIT_AGE.as_secs() / DAY_S);
        match filled.is_short(now_ms) {
            true if short.insert(part) => {
                let oldest = filled.oldest_ms.map(rfc3339).unwrap_or_default();
                warn!(
                    part = part.name(),
                    stream = part.stream(),
                    max_bytes = filled.max_bytes,
                    oldest,
                    "the audit is full, and records go before they are {days} days old: raise max_bytes of the stream"
                );
            }
            false if short.remove(&part) => info!(part = part.name(), "the audit has room again"),
            true | false => {}
        }
    }
}

/// What each part of the audit was when it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Parts(BTreeMap<AuditPart, PartState>);

#[derive(Debug)]
struct PartState {
    created: Created,
    oldest_ms: Option<i64>,
    lost: Option<Lost>,
}

/// Records that went with their stream, which was made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub part: AuditPart,
    /// Time at which the oldest of them was made, milliseconds since the Unix epoch.
    pub oldest_ms: i64,
    /// Time at which that was seen.
    seen_ms: i64,
}

impl Parts {
    /// Takes what each part holds at `now_ms`; returns what was lost within a day.
    pub(crate) fn take(&mut self, fill: &[AuditFill], now_ms: i64) -> Vec<Lost> {
        for filled in fill {
            let known = self.0.entry(filled.part).or_insert_with(|| PartState {
                created: filled.created,
                oldest_ms: filled.oldest_ms,
                lost: None,
            });
            // One that was restored from a backup has its records.
            if known.created != filled.created
                && let Some(oldest_ms) = known.oldest_ms
                && filled.oldest_ms.is_none_or(|now| now > oldest_ms)
            {
                known.lost = Some(Lost {
                    part: filled.part,
                    oldest_ms,
                    seen_ms: now_ms,
                });
            }
            (known.created, known.oldest_ms) = (filled.created, filled.oldest_ms);
        }
        let lost = self.0.values().filter_map(|known| known.lost);
        lost.filter(|lost| now_ms.saturating_sub(lost.seen_ms) < LOST_MS)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_168_807_000;
    const DAY_MS: i64 = 24 * 3_600_000;

    fn short(bytes: u64, days: i64) -> bool {
        let fill = AuditFill {
            part: AuditPart::Bans,
            created: Created(1),
            bytes,
            max_bytes: 1_000_000,
            oldest_ms: Some(NOW_MS - days * DAY_MS),
        };
        let mut noted = BTreeSet::new();
        note(&[fill], &mut noted, NOW_MS);
        assert_eq!(fill.is_short(NOW_MS), noted.contains(&AuditPart::Bans));
        fill.is_short(NOW_MS)
    }

    #[test]
    fn the_audit_is_short_when_it_is_full_and_goes_back_less_than_promised() {
        assert!(short(999_000, 89));
        assert!(!short(999_000, 90), "the oldest went because of its age");
        assert!(!short(500_000, 10), "a young fleet");
        let empty = AuditFill {
            part: AuditPart::Bans,
            created: Created(1),
            bytes: 0,
            max_bytes: 0,
            oldest_ms: None,
        };
        assert!(!empty.is_short(NOW_MS));
    }

    #[test]
    fn a_part_whose_stream_was_made_again_without_its_records_is_told_for_a_day() {
        let fill = |created, oldest_ms| {
            [AuditFill {
                part: AuditPart::Bans,
                created: Created(created),
                bytes: 0,
                max_bytes: 1_000_000,
                oldest_ms,
            }]
        };
        let mut parts = Parts::default();
        assert_eq!(parts.take(&[], NOW_MS), [], "nothing was asked yet");
        assert_eq!(parts.take(&fill(1, None), NOW_MS), []);
        assert_eq!(parts.take(&fill(2, None), NOW_MS), [], "it had no records");
        assert_eq!(parts.take(&fill(2, Some(7)), NOW_MS), []);
        assert_eq!(parts.take(&fill(2, Some(9)), NOW_MS), [], "old ones go");
        assert_eq!(
            parts.take(&fill(3, Some(9)), NOW_MS),
            [],
            "restored from a backup"
        );
        let lost = Lost {
            part: AuditPart::Bans,
            oldest_ms: 9,
            seen_ms: NOW_MS,
        };
        assert_eq!(parts.take(&fill(4, None), NOW_MS), [lost]);
        assert_eq!(parts.take(&fill(4, Some(NOW_MS)), NOW_MS + DAY_MS - 1), [lost]);
        assert_eq!(parts.take(&fill(4, Some(NOW_MS)), NOW_MS + DAY_MS), []);
    }
}
