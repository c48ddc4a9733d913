//! `GET /metrics` in Prometheus' text format. Everything is told again at each scrape, so that there is one place for each number,
//! and nothing lingers of what is there no more.

use axum::{http::header::CONTENT_TYPE, response::IntoResponse};
use metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, gauge, with_local_recorder,
};
use metrics_exporter_prometheus::PrometheusBuilder;
#[cfg(target_env = "gnu")]
use nix::libc;

/// The text of one scrape: whatever `tell` tells by the macros of the crate `metrics`, or by [`Metric`].
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
pub struct Metric(&'static str);

impl Metric {
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

    /// A gauge of what this process uses of the heap. What it occupies of the host's memory is more: the C library keeps what is
    /// freed between what is used.
    pub fn heap(name: &'static str) -> Self {
        describe_gauge!(name, Unit::Bytes, "Bytes of the heap in use.");
        let told = Self(name);
        match heap_in_use() {
            Some(bytes) => told.is([], bytes as f64),
            None => told,
        }
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

/// Bytes, as mallinfo(3) has them; `None` where the C library is not glibc.
#[cfg(target_env = "gnu")]
fn heap_in_use() -> Option<usize> {
    // SAFETY: it reads the allocator's own counters, under its locks.
    let heap = unsafe { libc::mallinfo2() };
    Some(heap.uordblks + heap.hblkhd)
}

#[cfg(not(target_env = "gnu"))]
const fn heap_in_use() -> Option<usize> {
    None
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
    #[cfg(target_env = "gnu")]
    fn what_is_allocated_is_in_use_until_it_is_freed() {
        const BLOCK: usize = 64 * 1024 * 1024;
        let before = heap_in_use().unwrap();
        let block = std::hint::black_box(vec![1_u8; BLOCK]);
        assert!(heap_in_use().unwrap() >= before + BLOCK / 2);
        drop(block);
        assert!(heap_in_use().unwrap() < before + BLOCK / 2);
    }

    #[test]
    fn what_is_told_is_in_the_text_and_nothing_of_the_scrape_before() {
        let text = scrape(|| {
            Metric::counter("secbeat_things_total", "Things.")
                .count([("kind", "a")], 3)
                .count([("kind", "b\"c")], 4);
            Metric::seconds("secbeat_time_seconds", "Time.").is([], 0.25);
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
