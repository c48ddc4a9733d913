use std::time::Duration;

use secbeat_common::{
    sources::SourceLengths,
    wire::{LearnedFrom, TelemetryBatch},
};
use secbeat_edge_core::BatchConfig;
use tokio::sync::oneshot;

use super::*;

struct Collect(mpsc::UnboundedSender<TelemetryBatch>);

impl Sink for Collect {
    fn publish(&mut self, batch: EncodedBatch) {
        self.0.send(wire::decode(&batch.payload).unwrap()).unwrap();
    }
}

fn error(status: u16) -> ObservedResponse<'static> {
    ObservedResponse {
        client: [198, 51, 100, 7].into(),
        at_ms: 1,
        status,
        method: "GET",
        path: "/",
        host: "",
        user_agent: "",
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        signatures: &[],
        cross_site: false,
    }
}

fn batcher(linger: Duration) -> Batcher {
    let identity = Identity {
        edge_id: "e".to_owned(),
        boot_id: Uuid::nil(),
        upstreams: vec![],
    };
    Batcher::new(
        BatchConfig {
            linger,
            burst: 0,
            ..BatchConfig::default()
        },
        identity,
    )
    .unwrap()
}

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

#[tokio::test]
async fn a_full_queue_drops_and_says_so_in_the_next_batch() {
    let (recorder, queue) = Recorder::channel(TWO);
    for _ in 0..5 {
        recorder.record(error(404));
    }
    let stats = recorder.stats();
    assert_eq!((stats.recorded(), stats.dropped()), (2, 3));
    let (sender, mut batches) = mpsc::unbounded_channel();
    drop(recorder);
    TelemetryTask::new(queue, batcher(Duration::ZERO), Collect(sender))
        .run(std::future::pending())
        .await;
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (batch.events.len(), batch.counts[0].requests, batch.dropped_before),
        (2, 2, 3)
    );
    assert_eq!(stats.lost(Loss::Queue), 3);
}

#[tokio::test]
async fn what_waits_for_its_linger_is_sent_on_shutdown() {
    let (recorder, queue) = Recorder::channel(DEFAULT_QUEUE);
    let (sender, mut batches) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = TelemetryTask::new(queue, batcher(Duration::from_secs(3600)), Collect(sender));
    let task = tokio::spawn(task.run(async { stopped.await.unwrap_or_default() }));
    recorder.record(error(404));
    assert_eq!(
        batches.recv().await.unwrap().sequence,
        0,
        "the first leaves at once"
    );
    recorder.record(error(500));
    stop.send(()).unwrap();
    let batch = batches.recv().await.unwrap();
    assert_eq!((batch.sequence, batch.events[0].status), (1, 500));
    task.await.unwrap();
}

#[tokio::test]
async fn batches_leave_when_their_linger_is_over() {
    let (recorder, queue) = Recorder::channel(DEFAULT_QUEUE);
    let (sender, mut batches) = mpsc::unbounded_channel();
    let task = TelemetryTask::new(queue, batcher(Duration::from_millis(5)), Collect(sender));
    tokio::spawn(task.run(std::future::pending()));
    for sequence in 0..3 {
        recorder.record(error(404));
        assert_eq!(batches.recv().await.unwrap().sequence, sequence);
    }
}

#[tokio::test]
async fn what_waits_together_leaves_together() {
    let (recorder, queue) = Recorder::channel(DEFAULT_QUEUE);
    // The last few do not look as if more were coming.
    let answers = 2 * CHUNK + MANY - 1;
    for _ in 0..answers {
        recorder.record(error(404));
    }
    let (sender, mut batches) = mpsc::unbounded_channel();
    let mut task = TelemetryTask::new(queue, batcher(Duration::ZERO), Collect(sender));
    task.catch_up = Duration::from_secs(3600);
    tokio::spawn(task.run(std::future::pending()));
    assert_eq!(batches.recv().await.unwrap().events.len(), answers);
}

#[tokio::test]
async fn what_was_counted_by_other_sources_leaves_first() {
    let (recorder, queue) = Recorder::channel(DEFAULT_QUEUE);
    let (sender, mut batches) = mpsc::unbounded_channel();
    let task = TelemetryTask::new(queue, batcher(Duration::from_secs(3600)), Collect(sender));
    tokio::spawn(task.run(std::future::pending()));
    recorder.record(error(404));
    batches.recv().await.unwrap();
    // It waits for its linger.
    recorder.record(error(404));
    let sender = recorder.queue.clone().unwrap();
    while sender.capacity() < sender.max_capacity() {
        tokio::task::yield_now().await;
    }
    drop(sender);
    recorder.filter().set_sources(SourceLengths::new(24, 64).unwrap());
    recorder.record(error(404));
    drop(recorder);
    let mut sources = Vec::new();
    while let Some(batch) = batches.recv().await {
        sources.extend(batch.counts.iter().map(|count| count.source.to_string()));
    }
    assert_eq!(sources, ["198.51.100.7/32", "198.51.100.0/24"]);
}

#[test]
fn telemetry_that_is_switched_off_takes_and_counts_nothing() {
    let recorder = Recorder::off();
    recorder.record(error(404));
    assert_eq!(recorder.record_wait(error(404)), Ok(()));
    let stats = recorder.stats();
    assert_eq!((stats.recorded(), stats.settled(), stats.dropped()), (0, 0, 0));
}

#[tokio::test]
async fn who_waits_for_room_loses_nothing_and_learns_when_its_answers_have_left() {
    let (recorder, queue) = Recorder::channel(TWO);
    let stats = recorder.stats();
    let thread = std::thread::spawn(move || (0..100).try_for_each(|_| recorder.record_wait(error(404))));
    while stats.recorded() < 3 {
        tokio::task::yield_now().await;
    }
    assert!(!thread.is_finished(), "100 answers fit into a queue of 2");
    assert_eq!(stats.settled(), 0);
    let (sender, mut batches) = mpsc::unbounded_channel();
    TelemetryTask::new(queue, batcher(Duration::ZERO), Collect(sender))
        .run(std::future::pending())
        .await;
    assert_eq!(thread.join().unwrap(), Ok(()));
    let mut requests = 0;
    while let Some(batch) = batches.recv().await {
        requests += batch.counts[0].requests;
    }
    assert_eq!(
        (requests, stats.recorded(), stats.settled(), stats.dropped()),
        (100, 100, 100, 0)
    );
}

#[test]
fn an_answer_that_nobody_takes_is_an_error_and_does_not_count() {
    let (recorder, queue) = Recorder::channel(TWO);
    drop(queue);
    assert_eq!(recorder.record_wait(error(404)), Err(Closed));
    assert_eq!(recorder.stats().recorded(), 0);
}

#[test]
fn only_a_busy_time_lets_answers_gather() {
    let at = Duration::from_micros;
    let mut pace = Pace::default();
    let mut is_busy = |answers, at| {
        pace.took(answers, at);
        pace.is_busy
    };
    assert!(!is_busy(BUSY - 1, at(100)), "a few");
    assert!(is_busy(1, at(200)), "many within a millisecond");
    assert!(!is_busy(CHUNK, at(300)), "more wait already");
    assert!(!is_busy(1, at(1_300)), "quiet again");
    assert!(is_busy(BUSY, at(9_000)), "many at once");
}

#[tokio::test]
async fn what_rules_ask_for_is_reported_like_an_error() {
    let (recorder, mut queue) = Recorder::channel(NonZeroUsize::MIN.saturating_add(9));
    let good = |method: &'static str, path| ObservedResponse {
        method,
        path,
        host: "www.example.org:8443",
        user_agent: "ua",
        ..error(200)
    };
    let mut reported = |answers: &[ObservedResponse<'static>]| {
        answers.iter().for_each(|answer| recorder.record(*answer));
        let texts = std::iter::from_fn(|| queue.try_next()).map(|observation| observation.request);
        texts.map(|text| text.map(|text| text.path)).collect::<Vec<_>>()
    };
    let answers = [
        good("POST", "/login"),
        good("GET", "/login"),
        good("POST", "/"),
        error(404),
    ];
    let path = |path: &str| Some(path.to_owned());
    assert!(!recorder.keeps_text(200) && recorder.keeps_text(404));
    assert_eq!(reported(&answers), [None, None, None, path("/")]);
    let login = secbeat_common::rules::Match {
        methods: vec!["POST".parse().unwrap()],
        paths: vec!["/login".parse().unwrap()],
        hosts: vec!["*.example.org".parse().unwrap()],
        ..Default::default()
    };
    recorder.filter().set_interest(wire::Interest::of([login]));
    assert!(recorder.keeps_text(200));
    assert_eq!(reported(&answers), [path("/login"), None, None, path("/")]);
    recorder.filter().set_interest(wire::Interest::default());
    assert_eq!(reported(&answers), [None, None, None, path("/")]);
    assert!(!recorder.keeps_text(200));
}
