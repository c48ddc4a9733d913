use proptest::prelude::*;
use secbeat_common::wire::{self, MAX_MESSAGE};

use super::*;

const MS: Duration = Duration::from_millis(1);

fn identity() -> Identity {
    Identity {
        edge_id: "edge-1".to_owned(),
        boot_id: Uuid::from_u128(1),
        upstreams: vec!["app".to_owned()],
    }
}

fn batcher(linger_ms: u64, burst: u32) -> Batcher {
    let config = BatchConfig {
        linger: Duration::from_millis(linger_ms),
        burst,
        ..BatchConfig::default()
    };
    Batcher::new(config, identity()).unwrap()
}

fn answer(client: &str, status: u16) -> Observation {
    ObservedResponse {
        client: client.parse().unwrap(),
        at_ms: 1_000,
        status,
        method: "GET",
        path: "/x",
        host: "h",
        user_agent: "ua",
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        signatures: &[],
        cross_site: false,
    }
    .into()
}

#[test]
fn an_idle_edge_sends_at_once() {
    let mut batcher = batcher(10, 0);
    assert_eq!(batcher.due(), None);
    batcher.push(answer("198.51.100.7", 404), 5 * MS).unwrap();
    assert_eq!(batcher.due(), Some(5 * MS));
    let batches = batcher.take(5 * MS, 1_001, 3);
    assert_eq!(batcher.due(), None);
    let [(partition, batch)] = &batches[..] else {
        panic!("{batches:?}")
    };
    assert_eq!(
        *partition,
        Prefix::single("198.51.100.7".parse().unwrap()).partition(PARTITIONS)
    );
    let about = (
        batch.edge_id.as_str(),
        batch.sequence,
        batch.sent_at_ms,
        batch.dropped_before,
    );
    assert_eq!(about, ("edge-1", 0, 1_001, 3));
    assert_eq!(
        (
            batch.events.len(),
            batch.events[0].status,
            batch.events[0].path.as_str()
        ),
        (1, 404, "/x")
    );
    assert_eq!(
        (
            batch.counts[0].requests,
            batch.counts[0].errors,
            batch.counts[0].server_errors
        ),
        (1, 1, 0)
    );
}

#[test]
fn an_unreadable_line_is_an_error_and_a_client_that_gave_up_got_none() {
    let mut batcher = batcher(10, 0);
    for status in [wire::UNREADABLE, 0, 499, 404] {
        batcher.push(answer("198.51.100.7", status), 5 * MS).unwrap();
    }
    let [(_, batch)] = &batcher.take(5 * MS, 0, 0)[..] else {
        panic!("one batch")
    };
    let statuses: Vec<u16> = batch.events.iter().map(|event| event.status).collect();
    assert_eq!(statuses, [wire::UNREADABLE, 404]);
    assert_eq!((batch.counts[0].requests, batch.counts[0].errors), (4, 2));
}

#[test]
fn a_busy_edge_gathers_for_one_linger() {
    let mut batcher = batcher(10, 0);
    batcher.push(answer("198.51.100.7", 404), 5 * MS).unwrap();
    batcher.take(5 * MS, 0, 0);
    batcher.push(answer("198.51.100.7", 404), 6 * MS).unwrap();
    batcher.push(answer("198.51.100.7", 200), 14 * MS).unwrap();
    assert_eq!(batcher.due(), Some(15 * MS));
    let batches = batcher.take(15 * MS, 0, 0);
    assert_eq!(
        (
            batches[0].1.sequence,
            batches[0].1.events.len(),
            batches[0].1.counts[0].requests
        ),
        (1, 1, 2)
    );
    batcher.push(answer("198.51.100.7", 404), 25 * MS).unwrap();
    assert_eq!(batcher.due(), Some(25 * MS), "idle again");
}

#[test]
fn good_answers_wait_longer_and_errors_not_for_them() {
    let mut batcher = Batcher::new(BatchConfig::default(), identity()).unwrap();
    batcher.push(answer("198.51.100.7", 200), 100 * MS).unwrap();
    assert_eq!(batcher.due(), Some(100 * MS), "idle");
    batcher.take(100 * MS, 0, 0);
    batcher.push(answer("198.51.100.7", 200), 101 * MS).unwrap();
    assert_eq!(batcher.due(), Some(120 * MS));
    batcher.push(answer("198.51.100.7", 404), 102 * MS).unwrap();
    assert_eq!(batcher.due(), Some(102 * MS));
    batcher.push(answer("198.51.100.7", 200), 103 * MS).unwrap();
    assert_eq!(batcher.due(), Some(102 * MS));
}

#[test]
fn fifty_errors_in_a_row_on_an_idle_edge_leave_without_delay() {
    let mut batcher = Batcher::new(BatchConfig::default(), identity()).unwrap();
    for i in 0..50 {
        let now = Duration::from_secs(1) + Duration::from_micros(100) * i;
        batcher.push(answer("198.51.100.7", 404), now).unwrap();
        assert_eq!(batcher.due(), Some(now), "error {i}");
        assert_eq!(batcher.take(now, 0, 0).len(), 1);
    }
}

#[test]
fn the_flush_rate_of_a_flood_has_a_ceiling() {
    let mut batcher = batcher(2, 64);
    let mut flushes = 0;
    // One second of an answer each 10 µs.
    for i in 0..100_000 {
        let now = Duration::from_secs(1) + Duration::from_micros(10) * i;
        batcher.push(answer("198.51.100.7", 404), now).unwrap();
        if batcher.due().unwrap() <= now {
            batcher.take(now, 0, 0);
            flushes += 1;
        }
    }
    assert!((560..=566).contains(&flushes), "{flushes}");
}

#[test]
fn a_full_batcher_is_due_and_gives_back_what_it_cannot_hold() {
    let config = BatchConfig {
        max_events: 2,
        max_sources: 3,
        ..BatchConfig::default()
    };
    let mut batcher = Batcher::new(BatchConfig { burst: 0, ..config }, identity()).unwrap();
    batcher.push(answer("198.51.100.1", 200), MS).unwrap();
    batcher.take(MS, 0, 0);
    batcher.push(answer("198.51.100.1", 404), MS).unwrap();
    assert_eq!(batcher.due(), Some(3 * MS));
    batcher.push(answer("198.51.100.1", 404), MS).unwrap();
    assert_eq!(batcher.due(), Some(MS), "full of events");
    assert!(batcher.push(answer("198.51.100.1", 404), MS).is_err());
    batcher.push(answer("198.51.100.2", 200), MS).unwrap();
    batcher.push(answer("198.51.100.3", 200), MS).unwrap();
    assert!(batcher.push(answer("198.51.100.4", 200), MS).is_err());
    batcher.push(answer("198.51.100.1", 200), MS).unwrap();
    batcher.take(MS, 0, 0);
    batcher.push(answer("198.51.100.4", 404), MS).unwrap();
}

#[test]
fn wider_sources_are_counted_together_and_their_events_keep_their_addresses() {
    let mut batcher = batcher(10, 0);
    batcher.count_by(SourceLengths::new(24, 48).unwrap());
    for client in [
        "198.51.100.7",
        "198.51.100.8",
        "2001:db8:1:2::7",
        "2001:db8:1:3::8",
    ] {
        batcher.push(answer(client, 404), MS).unwrap();
    }
    let batches = batcher.take(MS, 1_001, 0);
    let mut of_sources: Vec<_> = batches
        .iter()
        .map(|(partition, TelemetryBatch { counts, events, .. })| {
            let [count] = &counts[..] else {
                panic!("{counts:?}")
            };
            assert_eq!(*partition, count.source.partition(PARTITIONS));
            assert!(events.iter().all(|event| count.source.contains(event.client)));
            (count.source.to_string(), count.requests, events.len())
        })
        .collect();
    of_sources.sort();
    assert_eq!(
        of_sources,
        [
            ("198.51.100.0/24".to_owned(), 2, 2),
            ("2001:db8:1::/48".to_owned(), 2, 2)
        ]
    );
}

#[test]
fn the_largest_batch_is_a_message() {
    let names = (0..64).map(|i| format!("{i:>1000}")).collect();
    let identity = Identity {
        edge_id: "e".repeat(64),
        boot_id: Uuid::max(),
        upstreams: names,
    };
    let mut batcher = Batcher::new(BatchConfig::default(), identity).unwrap();
    let text = "é".repeat(10_000);
    let mut partition = None;
    let mut held = (0, 0);
    for i in 0..u128::MAX {
        // One partition takes it all, each source different.
        let client = IpAddr::from(((u128::MAX << 96) | (i << 64)).to_be_bytes());
        let of_client = Prefix::single(client).partition(PARTITIONS);
        if *partition.get_or_insert(of_client) != of_client {
            continue;
        }
        let status = if held.0 < MAX_EVENTS { 599 } else { 200 };
        let answer = ObservedResponse {
            client,
            at_ms: i64::MIN,
            status,
            method: &text,
            path: &text,
            host: &text,
            user_agent: &text,
            upstream: u16::MAX,
            learned_from: LearnedFrom::ProxyProtocol,
            signatures: &[],
            cross_site: true,
        };
        if batcher.push(answer.into(), MS).is_err() {
            break;
        }
        held = (held.0 + usize::from(status == 599), held.1 + 1);
    }
    assert_eq!(held, (MAX_EVENTS, MAX_SOURCES));
    let batches = batcher.take(MS, i64::MIN, u64::MAX);
    let [(_, batch)] = &batches[..] else {
        panic!("{} batches", batches.len())
    };
    let bytes = wire::encode(batch).unwrap();
    assert!((900_000..MAX_MESSAGE).contains(&bytes.len()), "{}", bytes.len());
    assert_eq!(wire::decode(&bytes).as_ref(), Ok(batch));
}

#[test]
fn limits_that_would_break_a_message_are_refused_by_name() {
    let new = |config, identity| Batcher::new(config, identity).unwrap_err().to_string();
    let config = BatchConfig {
        max_events: 1001,
        ..BatchConfig::default()
    };
    assert_eq!(
        new(config, identity()),
        "invalid max_events 1001: expected 1 to 1000"
    );
    let config = BatchConfig {
        max_sources: 0,
        ..BatchConfig::default()
    };
    assert_eq!(
        new(config, identity()),
        "invalid max_sources 0: expected 1 to 2000"
    );
    let long = Identity {
        upstreams: vec!["x".repeat(70_000)],
        ..identity()
    };
    assert_eq!(
        new(BatchConfig::default(), long),
        "the upstreams' names take 70009 bytes, the limit is 65536"
    );
}

#[derive(Clone, Debug)]
struct Step {
    client: IpAddr,
    status: u16,
    upstream: u16,
    wait_us: u64,
}

impl Step {
    /// With 499 the client gave up.
    fn is_error(&self) -> bool {
        self.status >= 400 && self.status != 499
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = prop_oneof![
        (0u32..40).prop_map(|i| IpAddr::from((0xc633_6400 + i).to_be_bytes())),
        // A few /64s of several hosts each, and IPv4-mapped addresses.
        (0u128..5, 0u128..3).prop_map(|(net, host)| IpAddr::from(
            ((0x2001_0db8u128 << 96) | (net << 64) | host).to_be_bytes()
        )),
        (0u128..5).prop_map(|i| IpAddr::from((0xffff_c633_6400_u128 + i).to_be_bytes())),
    ];
    let step = (
        client,
        prop_oneof![Just(200), Just(304), 400u16..600],
        0u16..2,
        0u64..4_000,
    )
        .prop_map(|(client, status, upstream, wait_us)| Step {
            client,
            status,
            upstream,
            wait_us,
        });
    proptest::collection::vec(step, 0..300)
}

proptest! {
    /// Against a naïve oracle: everything that went in comes out once, in the right partition and in order.
    #[test]
    fn nothing_is_lost_or_doubled(steps in steps(), max_events in 1usize..20, max_sources in 1usize..20, burst in 0u32..5) {
        let config = BatchConfig { linger: 2 * MS, good_linger: 5 * MS, burst, max_events, max_sources };
        let mut batcher = Batcher::new(config, identity()).unwrap();
        let mut now = Duration::ZERO;
        let mut out = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            now += Duration::from_micros(step.wait_us);
            if let Some(due) = batcher.due().filter(|due| *due <= now) {
                out.extend(batcher.take(due, 0, 0));
            }
            let path = format!("/{i}");
            let answer = ObservedResponse {
                client: step.client,
                at_ms: i as i64,
                status: step.status,
                method: "GET",
                path: &path,
                host: "",
                user_agent: "",
                upstream: step.upstream,
                learned_from: LearnedFrom::Peer,
                signatures: &[],
                cross_site: false,
            };
            if let Err(back) = batcher.push(answer.into(), now) {
                prop_assert!(batcher.due().unwrap() <= now, "full and not due");
                out.extend(batcher.take(now, 0, 0));
                batcher.push(back, now).unwrap();
            }
            let linger = if step.is_error() { 2 * MS } else { 5 * MS };
            prop_assert!(batcher.due().unwrap() <= now + linger, "later than one linger");
        }
        out.extend(batcher.take(now, 0, 0));

        let mut sequences = [0; PARTITIONS as usize];
        let mut paths: Vec<(u16, i64, String)> = Vec::new();
        let mut counts: BTreeMap<(Prefix, u16), (u32, u32, u32, i64)> = BTreeMap::new();
        for (partition, batch) in &out {
            prop_assert!(batch.events.len() <= max_events && batch.counts.len() <= max_sources);
            prop_assert_eq!(batch.sequence, sequences[usize::from(*partition)]);
            sequences[usize::from(*partition)] += 1;
            for event in &batch.events {
                prop_assert_eq!(Prefix::single(event.client).partition(PARTITIONS), *partition);
                paths.push((event.status, event.at_ms, event.path.clone()));
            }
            for count in &batch.counts {
                prop_assert_eq!(count.source.partition(PARTITIONS), *partition);
                let sum = counts.entry((count.source, count.upstream)).or_default();
                *sum = (sum.0 + count.requests, sum.1 + count.errors, sum.2 + count.server_errors, sum.3.max(count.at_ms));
            }
        }
        paths.sort_by_key(|(_, at, _)| *at);

        let mut expected_paths = Vec::new();
        let mut expected: BTreeMap<(Prefix, u16), (u32, u32, u32, i64)> = BTreeMap::new();
        for (i, step) in steps.iter().enumerate() {
            let sum = expected.entry((Prefix::single(step.client), step.upstream)).or_default();
            sum.0 += 1;
            sum.1 += u32::from(step.is_error());
            sum.2 += u32::from(step.status >= 500);
            sum.3 = i as i64;
            if step.is_error() {
                expected_paths.push((step.status, i as i64, format!("/{i}")));
            }
        }
        prop_assert_eq!(paths, expected_paths);
        prop_assert_eq!(counts, expected);
    }
}

#[test]
fn minutes_of_a_log_that_is_read_up_at_once_stay_minutes() {
    let mut batcher = batcher(10, 0);
    let at = |at_ms| Observation {
        at_ms,
        ..answer("198.51.100.7", 200)
    };
    for second in 0..120 {
        for _ in 0..20 {
            batcher.push(at(second * 1_000), 5 * MS).unwrap();
        }
    }
    let batches = batcher.take(5 * MS, 120_000, 0);
    let mut counts: Vec<_> = batches[0]
        .1
        .counts
        .iter()
        .map(|c| (c.at_ms, c.requests))
        .collect();
    counts.sort_unstable();
    let expected: Vec<_> = (0..120).map(|second| (second * 1_000, 20)).collect();
    assert_eq!(counts, expected);
    // A live client's answers of one flush are one count.
    for at_ms in 130_000..130_050 {
        batcher.push(at(at_ms), 30 * MS).unwrap();
    }
    let batches = batcher.take(50 * MS, 130_050, 0);
    assert_eq!(batches[0].1.counts.len(), 1);
    assert_eq!(batches[0].1.counts[0].at_ms, 130_049);
}

#[test]
fn under_load_batches_go_by_size_or_after_50_ms_at_most() {
    let config = BatchConfig {
        max_events: 50,
        ..BatchConfig::default()
    };
    let mut batcher = Batcher::new(config, identity()).unwrap();
    let (mut now, mut oldest, mut sizes) = (Duration::ZERO, None, Vec::new());
    for n in 0..100_000_u32 {
        now += Duration::from_micros(if n % 20_000 < 10_000 { 7 } else { 900 });
        if batcher.due().is_some_and(|due| due <= now) {
            let waited = now - oldest.take().unwrap();
            assert!(waited <= 50 * MS, "{waited:?}");
            let flushed = batcher.take(now, 0, 0);
            sizes.push(flushed.iter().map(|(_, batch)| batch.events.len()).sum::<usize>());
        }
        let status = if n % 3 == 0 { 404 } else { 200 };
        batcher.push(answer("198.51.100.7", status), now).unwrap();
        oldest.get_or_insert(now);
    }
    assert!(sizes.contains(&50), "none is full: {:?}", sizes.iter().max());
    assert!(sizes.len() < 50_000, "{} flushes of 100,000 answers", sizes.len());
}

#[test]
fn a_good_answer_that_is_reported_is_an_event_and_no_error() {
    let mut batcher = batcher(10, 0);
    let good = ObservedResponse {
        client: "198.51.100.7".parse().unwrap(),
        at_ms: 1_000,
        status: 200,
        method: "POST",
        path: "/login",
        host: "h",
        user_agent: "ua",
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        signatures: &[],
        cross_site: true,
    };
    batcher.push(good.reported(), 5 * MS).unwrap();
    // It waits for no company.
    assert_eq!(batcher.due(), Some(5 * MS));
    let batches = batcher.take(5 * MS, 1_001, 0);
    let batch = &batches[0].1;
    assert_eq!((batch.events.len(), batch.events[0].path.as_str()), (1, "/login"));
    assert!(batch.events[0].cross_site);
    assert_eq!((batch.counts[0].requests, batch.counts[0].errors), (1, 0));
}

#[test]
fn what_servers_pass_over_pushes_no_path_out_of_what_is_reported() {
    let path = format!("/dav/{}../x7.php", "./".repeat(130));
    let answer = ObservedResponse {
        client: "198.51.100.7".parse().unwrap(),
        at_ms: 1_000,
        status: 404,
        method: "GET",
        path: &path,
        host: "h",
        user_agent: "ua",
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        signatures: &[],
        cross_site: false,
    };
    assert_eq!(answer.reported().request.unwrap().path, "/x7.php");
}

#[test]
fn a_request_that_the_client_gave_up_is_counted_and_no_error() {
    let mut batcher = batcher(10, 0);
    for status in [499, 0] {
        batcher
            .push(answer("198.51.100.7", status), Duration::ZERO)
            .unwrap();
    }
    let batches = batcher.take(5 * MS, 1_001, 0);
    let batch = &batches[0].1;
    assert_eq!(batch.events, []);
    assert_eq!((batch.counts[0].requests, batch.counts[0].errors), (2, 0));
}

/// A good answer whose request matched `count` signatures.
fn recognised(count: usize) -> Observation {
    let signature = MatchedSignature {
        id: "x".repeat(40),
        class: "deserialization".to_owned(),
        severity: "critical".to_owned(),
    };
    ObservedResponse {
        client: "198.51.100.7".parse().unwrap(),
        at_ms: 1_000,
        status: 200,
        method: "GET",
        path: "/x",
        host: "h",
        user_agent: "ua",
        upstream: 0,
        learned_from: LearnedFrom::Peer,
        signatures: &vec![signature; count],
        cross_site: false,
    }
    .into()
}

#[test]
fn a_good_answer_is_reported_by_itself_if_its_request_was_recognised() {
    let mut batcher = batcher(10, 0);
    batcher.push(recognised(9), MS).unwrap();
    let batches = batcher.take(MS, 1_001, 0);
    let events = &batches[0].1.events;
    assert_eq!(events[0].status, 200);
    assert_eq!(events[0].signatures.len(), MAX_MATCHED);
}

#[test]
fn a_flush_has_room_for_so_many_signatures() {
    let mut batcher = batcher(10, 0);
    let full = (0..).find(|_| batcher.push(recognised(MAX_MATCHED), MS).is_err());
    assert_eq!(full, Some(MAX_MATCHES / MAX_MATCHED));
    let [(_, batch)] = &batcher.take(MS, 1_001, 0)[..] else {
        panic!("one source is in one partition")
    };
    assert_eq!(batch.events.len(), MAX_MATCHES / MAX_MATCHED);
    batcher.push(recognised(MAX_MATCHED), MS).unwrap();
}

#[test]
fn words_longer_than_an_edge_has_are_left_out() {
    let long = MatchedSignature {
        id: "x".repeat(MAX_MATCHED_BYTES),
        ..MatchedSignature::default()
    };
    let answer = ObservedResponse {
        signatures: &[long],
        cross_site: false,
        client: "198.51.100.7".parse().unwrap(),
        at_ms: 1_000,
        status: 200,
        method: "",
        path: "",
        host: "",
        user_agent: "",
        upstream: 0,
        learned_from: LearnedFrom::Peer,
    };
    assert_eq!(Observation::from(answer).request.unwrap().signatures, []);
}
