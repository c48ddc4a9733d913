//! Reports that are told by themselves, once a day or a week is over: each once, by whichever orchestrator claims it first.

use secbeat_bus::{EntryKind, Write, WriteOutcome};
use secbeat_orchestrator_core::{notices::Every, reports::Row};

use super::{Period, Reports, period::Step};

const DAY_MS: i64 = 24 * 3_600_000;
/// The Unix epoch was a Thursday: that many days later is a Monday.
const MONDAY: i64 = 4;
/// How long after its end a time is told, in milliseconds: all orchestrators have added what they counted.
const SETTLED_MS: i64 = 5 * 60_000;

/// A day or a week that is over, and is to be told of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Over {
    pub(crate) every: Every,
    /// From this time on, milliseconds since the Unix epoch.
    pub(crate) from_ms: i64,
    /// To this time.
    pub(crate) until_ms: i64,
    /// Each hour with its beginning; empty ones included.
    pub(crate) rows: Vec<(i64, Row)>,
}

impl Reports {
    /// The last day or week that is over at `now_ms`, for those who are to be told. `None` if it was told, or if nobody was to be told of the
    /// one before: the first is the next one.
    ///
    /// # Errors
    ///
    /// Returns an error if the bus does not answer.
    pub(crate) async fn to_tell(&self, every: Every, now_ms: i64) -> anyhow::Result<Option<Over>> {
        let (from_ms, until_ms) = latest(every, now_ms);
        if self.told.lock().get(&every).is_some_and(|told| *told >= until_ms) {
            return Ok(None);
        }
        let key = format!("told.{}", every.name());
        let entry = self.bucket().await?.get(&key).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let entry = entry.filter(|entry| entry.kind == EntryKind::Put);
        let told = entry.and_then(|entry| str::from_utf8(&entry.value).ok()?.parse::<i64>().ok());
        let over = match told {
            Some(told) if told < until_ms => {
                let period = Period {
                    step: Step::Hour,
                    from_ms,
                    until_ms: until_ms - 1,
                };
                Some(Over {
                    every,
                    from_ms,
                    until_ms,
                    rows: self.rows(&period).await?,
                })
            }
            _ => None,
        };
        let is_told = told.is_some_and(|told| told >= until_ms);
        if !is_told {
            let claim = Write::put(&key, until_ms.to_string()).over(revision);
            if self.bucket().await?.write(claim).await? == WriteOutcome::Conflict {
                // Another orchestrator tells it.
                return Ok(None);
            }
        }
        self.told.lock().insert(every, until_ms);
        Ok(over)
    }
}

/// Returns when the last day or week began and ended that is over and settled at `now_ms`, in UTC.
fn latest(every: Every, now_ms: i64) -> (i64, i64) {
    let day = (now_ms - SETTLED_MS).div_euclid(DAY_MS);
    let (until, days) = match every {
        Every::Day => (day, 1),
        Every::Week => ((day - MONDAY).div_euclid(7) * 7 + MONDAY, 7),
    };
    ((until - days) * DAY_MS, until * DAY_MS)
}

#[cfg(test)]
mod tests {
    use secbeat_bus::{Bus, memory::MemoryServer};
    use secbeat_daemon::time::rfc3339;
    use tokio::sync::{mpsc, watch};

    use super::*;

    /// 2026-11-20T00:00:00Z, a Friday.
    const FRIDAY: i64 = 1_795_132_800_000;

    #[test]
    fn a_time_is_told_of_once_it_is_over_and_settled() {
        let day = |now_ms| latest(Every::Day, now_ms);
        let week = |now_ms| latest(Every::Week, now_ms);
        let friday = (FRIDAY, FRIDAY + DAY_MS);
        assert_eq!(day(FRIDAY + DAY_MS + SETTLED_MS), friday);
        assert_eq!(day(FRIDAY + 2 * DAY_MS + SETTLED_MS - 1), friday);
        let monday = FRIDAY - 4 * DAY_MS;
        assert_eq!(rfc3339(monday), "2026-11-16T00:00:00.000Z");
        let before = (monday - 7 * DAY_MS, monday);
        assert_eq!(week(FRIDAY), before);
        assert_eq!(week(monday + 7 * DAY_MS), before, "not settled yet");
        assert_eq!(
            week(monday + 7 * DAY_MS + SETTLED_MS),
            (monday, monday + 7 * DAY_MS)
        );
    }

    fn orchestrator(bus: &Bus) -> Reports {
        let (shares, inputs) = (
            watch::channel(crate::leases::Shares::default()).1,
            mpsc::channel(1).0,
        );
        Reports::new(bus, super::super::Tally::default(), inputs, shares)
    }

    #[tokio::test]
    async fn each_report_is_told_once_by_one_orchestrator_and_the_first_is_of_the_next_time() {
        let bus = MemoryServer::new(FRIDAY).join().bus();
        let (one, other) = (orchestrator(&bus), orchestrator(&bus));
        let now_ms = FRIDAY + 3_600_000;
        assert_eq!(one.to_tell(Every::Day, now_ms).await.unwrap(), None);
        let row = Row {
            bans: 7,
            requests: 1000,
            ..Row::default()
        };
        one.add(Step::Hour, FRIDAY + 3_600_000, &row).await.unwrap();
        one.add(Step::Hour, FRIDAY + DAY_MS, &row).await.unwrap();
        assert_eq!(one.to_tell(Every::Day, FRIDAY + DAY_MS).await.unwrap(), None);
        let now_ms = FRIDAY + DAY_MS + SETTLED_MS;
        let over = other.to_tell(Every::Day, now_ms).await.unwrap().unwrap();
        assert_eq!((over.from_ms, over.until_ms), (FRIDAY, FRIDAY + DAY_MS));
        let bans: Vec<_> = over.rows.iter().map(|(_, row)| row.bans).collect();
        assert_eq!((bans.len(), bans[1], bans.iter().sum::<u64>()), (24, 7, 7));
        for told in [&other, &one, &orchestrator(&bus)] {
            assert_eq!(told.to_tell(Every::Day, now_ms).await.unwrap(), None);
        }
    }
}
