//! Looks after the audit: whether it still goes back as far as it should.

use std::{collections::BTreeSet, time::Duration};

use secbeat_bus::{AUDIT_AGE, AuditFill, AuditLog};
use secbeat_common::subjects::AuditPart;
use secbeat_daemon::time::{now_ms, rfc3339};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(30);
const DAY_S: u64 = 24 * 3600;

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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_168_807_000;
    const DAY_MS: i64 = 24 * 3_600_000;

    fn short(bytes: u64, days: i64) -> bool {
        let fill = AuditFill {
            part: AuditPart::Bans,
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
            bytes: 0,
            max_bytes: 0,
            oldest_ms: None,
        };
        assert!(!empty.is_short(NOW_MS));
    }
}
