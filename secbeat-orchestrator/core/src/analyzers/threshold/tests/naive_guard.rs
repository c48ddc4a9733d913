//! The upstream-error guard as one would write it that keeps everything.

use std::collections::{BTreeSet, HashMap};

use super::*;

type ClientAt = (UpstreamId, Prefix);

#[derive(Default)]
pub(super) struct NaiveGuard {
    /// What a client was answered, by second.
    answers: Vec<(ClientAt, i64, Tally)>,
    /// Where a client failed, by second.
    failures: Vec<(ClientAt, i64, String)>,
    /// When a client was seen at all.
    seen: Vec<(ClientAt, i64)>,
    /// From when on a client that failed everywhere is believed again.
    scattered_until: HashMap<ClientAt, i64>,
    latest: HashMap<UpstreamId, i64>,
}

/// As people would write it: `404 /assets *.js`, `5xx /users/#`.
fn shape(status: u16, path: &str) -> String {
    let segments: Vec<String> = path
        .split('/')
        .skip(1)
        .map(|segment| match segment.contains(|c: char| c.is_ascii_digit()) {
            true => "#".to_owned(),
            false => segment.to_owned(),
        })
        .collect();
    let kind = match status {
        0 | 499 => "aborted".to_owned(),
        500..=599 => "5xx".to_owned(),
        other => other.to_string(),
    };
    let name = path.rsplit('/').next().unwrap();
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => {
            let folder = if segments.len() > 1 { &segments[0] } else { "" };
            format!("{kind} /{folder} *.{extension}")
        }
        _ => format!("{kind} /{}", segments.join("/")),
    }
}

impl NaiveGuard {
    fn is_recent(&self, upstream: UpstreamId, second: i64) -> bool {
        self.latest
            .get(&upstream)
            .is_none_or(|latest| second > latest - 10)
    }

    /// Whether the event is recent enough to be noted.
    fn enter(&mut self, sighting: Sighting) -> Option<(ClientAt, i64)> {
        let second = sighting.at_ms.div_euclid(1000);
        if !self.is_recent(sighting.upstream, second) {
            return None;
        }
        let latest = self.latest.entry(sighting.upstream).or_insert(second);
        *latest = (*latest).max(second);
        let client = (sighting.upstream, sighting.source);
        self.seen.push((client, second));
        Some((client, second))
    }

    pub(super) fn record(&mut self, sighting: Sighting, tally: Tally) {
        if tally.requests == 0 {
            // An upstream is known once it is heard of.
            self.latest
                .entry(sighting.upstream)
                .or_insert(sighting.at_ms.div_euclid(1000));
            return;
        }
        if let Some((client, second)) = self.enter(sighting) {
            self.answers.push((client, second, tally));
        }
    }

    pub(super) fn note(&mut self, sighting: Sighting, status: u16, path: &str) {
        if !matches!(status, 0 | 400..=599) {
            return;
        }
        let Some((client, second)) = self.enter(sighting) else {
            return;
        };
        let latest = self.latest[&client.0];
        if self
            .scattered_until
            .get(&client)
            .is_some_and(|until| *until > latest)
        {
            return;
        }
        let shape = shape(status, path);
        let mut shapes = self.shapes(client);
        shapes.insert(shape.clone());
        if shapes.len() <= 16 {
            self.failures.push((client, second, shape));
            return;
        }
        self.failures.retain(|(of, _, _)| *of != client);
        self.scattered_until.insert(client, latest + 10);
        self.seen.push((client, latest));
    }

    fn shapes(&self, client: ClientAt) -> BTreeSet<String> {
        let of = |(of, second, _): &&(ClientAt, i64, String)| *of == client && self.is_recent(of.0, *second);
        let shapes = self.failures.iter().filter(of);
        shapes.map(|(_, _, shape)| shape.clone()).collect()
    }

    pub(super) fn holds(&self, sighting: Sighting, status: u16, path: &str) -> bool {
        let upstream = sighting.upstream;
        let others: BTreeSet<ClientAt> = self
            .seen
            .iter()
            .filter(|((at, source), second)| {
                *at == upstream && *source != sighting.source && self.is_recent(upstream, *second)
            })
            .map(|(client, _)| *client)
            .collect();
        let sum = |client: ClientAt| {
            let mut sum = (0, 0, 0);
            for (of, second, tally) in &self.answers {
                if *of == client && self.is_recent(upstream, *second) {
                    sum.0 += tally.requests;
                    sum.1 += tally.errors.min(tally.requests);
                    sum.2 += tally.server_errors.min(tally.requests);
                }
            }
            sum
        };
        if (500..600).contains(&status) {
            let sums = others.iter().map(|client| sum(*client));
            let answered: Vec<_> = sums.filter(|(requests, _, _)| *requests > 0).collect();
            let failing = answered
                .iter()
                .filter(|(requests, _, failed)| *failed > 0 && 2 * failed >= *requests);
            if 2 * failing.count() >= answered.len() {
                return true;
            }
        }
        let latest = self.latest.get(&upstream).copied().unwrap_or(i64::MIN);
        let own = (upstream, sighting.source);
        if self
            .scattered_until
            .get(&own)
            .is_some_and(|until| *until > latest)
        {
            return false;
        }
        let shape = shape(status, path);
        let witnesses: Vec<_> = others
            .iter()
            .filter(|client| self.shapes(**client).contains(&shape))
            .map(|client| sum(*client))
            .collect();
        let served = witnesses.iter().filter(|(requests, errors, _)| requests > errors);
        (served.count() >= 3 || witnesses.len() >= 20) && 2 * witnesses.len() >= others.len()
    }
}
