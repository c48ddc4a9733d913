//! `GET /metrics` in Prometheus' text format. Everything is told anew at each scrape, so that there is one place for each number,
//! and nothing lingers of what is there no more.

use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, gauge, with_local_recorder,
};
use metrics_exporter_prometheus::PrometheusBuilder;

/// The text of one scrape: whatever `tell` tells by the macros of the crate `metrics`, or by [`Told`].
#[must_use]
pub fn scrape(tell: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, tell);
    recorder.handle().render()
}

/// The same as an answer.
#[must_use]
pub fn answer(text: String) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// One metric: each name and what it means stand once.
#[derive(Clone, Copy, Debug)]
pub struct Told(&'static str);

impl Told {
    /// One that only grows.
    pub fn counter(name: &'static str, means: &'static str) -> Self {
        describe_counter!(name, means);
        Self(name)
    }

    /// One that goes up and down.
    pub fn gauge(name: &'static str, means: &'static str) -> Self {
        describe_gauge!(name, means);
        Self(name)
    }

    /// A gauge in seconds.
    pub fn seconds(name: &'static str, means: &'static str) -> Self {
        describe_gauge!(name, Unit::Seconds, means);
        Self(name)
    }

    /// Of a counter.
    pub fn count<const N: usize>(self, labels: [(&'static str, &str); N], value: u64) -> Self {
        counter!(self.0, of(labels)).absolute(value);
        self
    }

    /// Of a gauge that is 1 while something holds, and else 0.
    pub fn holds<const N: usize>(self, labels: [(&'static str, &str); N], holds: bool) -> Self {
        self.is(labels, f64::from(u8::from(holds)))
    }

    /// Of a gauge.
    pub fn is<const N: usize>(self, labels: [(&'static str, &str); N], value: f64) -> Self {
        gauge!(self.0, of(labels)).set(value);
        self
    }
}

fn of<const N: usize>(labels: [(&'static str, &str); N]) -> Vec<Label> {
    labels
        .into_iter()
        .map(|(name, value)| Label::new(name, SharedString::from(value.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_in_the_text_and_nothing_of_the_scrape_before() {
        let text = scrape(|| {
            Told::counter("secbeat_things_total", "Things.")
                .count([("kind", "a")], 3)
                .count([("kind", "b\"c")], 4);
            Told::seconds("secbeat_time_seconds", "Time.").is([], 0.25);
        });
        for line in [
            "# HELP secbeat_things_total Things.",
            "# TYPE secbeat_things_total counter",
            "secbeat_things_total{kind=\"a\"} 3",
            "secbeat_things_total{kind=\"b\\\"c\"} 4",
            "# TYPE secbeat_time_seconds gauge",
            "secbeat_time_seconds 0.25",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}: {text}");
        }
        assert!(!scrape(|| {}).contains("secbeat"));
    }
}
