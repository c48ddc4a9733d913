use proptest::prelude::*;

use super::{super::tests::finding, *};

const NOW: i64 = 1_795_168_800_000;

fn source(n: u32) -> Prefix {
    Prefix::host((0x0a00_0000 + n).to_be_bytes().into())
}

fn found(held: &mut Held, n: u32, edge: &str, now_ms: i64) {
    let finding = Finding {
        source: source(n),
        ..finding("192.0.2.1", now_ms)
    };
    held.keep(&finding, Brake::Rate, Some(edge), now_ms);
}

fn order(held: &Held) -> Vec<Prefix> {
    held.iter().map(|held| held.finding.source).collect()
}

#[test]
fn ten_thousand_quiet_sources_keep_no_loud_one_out() {
    let mut held = Held::default();
    let most = u32::try_from(MAX_HELD).unwrap();
    for n in 0..most {
        found(&mut held, n, "edge-1", NOW + i64::from(n));
    }
    let loud = most;
    for n in 0..10 {
        let now_ms = NOW + 20_000 + i64::from(n) * 1000;
        found(&mut held, loud, "edge-1", now_ms);
        // The attacker's next ones, a new one each time.
        for more in 1..=200 {
            let quiet = loud + n * 200 + more;
            found(&mut held, quiet, "edge-1", now_ms + i64::from(more));
        }
    }
    assert_eq!(held.len(), MAX_HELD);
    assert_eq!(order(&held)[0], source(loud), "the loudest is decided first");
    assert_eq!(held.by_source[&source(loud)].times, 10);
    // All others were found once. The first 2001 of them lost their places.
    assert_eq!(order(&held)[1], source(2001), "the oldest is decided next");
}

#[test]
fn a_new_source_takes_the_place_of_the_least_loud_and_overtakes_nobody() {
    let mut held = Held::with_room(3);
    for (n, at) in [(1, 0), (2, 1), (3, 2), (1, 3), (2, 4), (2, 5)] {
        found(&mut held, n, "edge-1", NOW + at);
    }
    found(&mut held, 4, "edge-1", NOW + 6);
    assert_eq!(order(&held), [2, 1, 4].map(source));
    // The fourth may have been found twice, as the first was for sure.
    found(&mut held, 5, "edge-1", NOW + 7);
    assert_eq!(order(&held), [2, 1, 5].map(source));
    assert_eq!(held.take(&source(2)).unwrap().finding.source, source(2));
    found(&mut held, 6, "edge-1", NOW + 8);
    assert_eq!(order(&held), [1, 5, 6].map(source), "there was room");
}

#[test]
fn an_edge_that_makes_sources_up_pushes_out_none_of_the_others() {
    let mut held = Held::with_room(100);
    for n in 0..20 {
        found(&mut held, n, "honest", NOW);
    }
    for times in 0..50 {
        for n in 0..200 {
            found(&mut held, 1000 + n, "liar", NOW + times);
        }
    }
    for n in 0..20 {
        assert!(held.by_source.contains_key(&source(n)), "{n}");
    }
    found(&mut held, 20, "honest", NOW + 50);
    let of_liar = held.iter().filter(|held| held.edge.as_deref() == Some("liar"));
    assert_eq!(of_liar.count(), 79);
}

/// [`Held`] without an index: everything is found by looking at all.
#[derive(Default)]
struct Naive(Vec<Entry>);

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    source: Prefix,
    edge: String,
    times: u32,
    missed: u32,
    first_ms: i64,
    last_ms: i64,
}

impl Entry {
    fn loudness(&self) -> (u32, u32, i64, Prefix) {
        (self.times + self.missed, self.times, self.last_ms, self.source)
    }
}

impl Naive {
    fn least_of(&self, edge: &str) -> Option<&Entry> {
        let of_edge = self.0.iter().filter(|entry| entry.edge == edge);
        of_edge.min_by_key(|entry| entry.loudness())
    }

    fn found(&mut self, source: Prefix, edge: &str, now_ms: i64, room: usize) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.source == source) {
            (entry.times, entry.last_ms) = (entry.times + 1, now_ms);
            return;
        }
        let mut missed = 0;
        if self.0.len() == room {
            missed = self.least_of(edge).map_or(0, |entry| entry.times + entry.missed);
            let places = |edge: &str| self.0.iter().filter(|entry| entry.edge == edge).count();
            let sizes = self.0.iter().map(|entry| (places(&entry.edge), &entry.edge));
            let gone = self.least_of(sizes.max().unwrap().1).unwrap().source;
            self.0.retain(|entry| entry.source != gone);
        }
        self.0.push(Entry {
            source,
            edge: edge.to_owned(),
            times: 1,
            missed,
            first_ms: now_ms,
            last_ms: now_ms,
        });
    }

    fn order(&self) -> Vec<Prefix> {
        let mut all = self.0.clone();
        all.sort_by_key(|entry| Reverse((entry.times, Reverse(entry.first_ms), entry.source)));
        all.into_iter().map(|entry| entry.source).collect()
    }
}

proptest! {
    #[test]
    fn what_waits_and_in_which_order_is_what_a_look_at_all_finds(
        room in 1..8usize,
        steps in prop::collection::vec((0..12u32, 0..3u8, 0..4i64, 0..12u8), 0..200),
    ) {
        let (mut held, mut naive, mut now_ms) = (Held::with_room(room), Naive::default(), NOW);
        for (n, edge, later, what) in steps {
            now_ms += later;
            let edge = format!("edge-{edge}");
            match what {
                0 => {
                    held.take(&source(n));
                    naive.0.retain(|entry| entry.source != source(n));
                }
                1 => {
                    held.forget_before(now_ms - 20);
                    naive.0.retain(|entry| entry.last_ms >= now_ms - 20);
                }
                _ => {
                    found(&mut held, n, &edge, now_ms);
                    naive.found(source(n), &edge, now_ms, room);
                }
            }
            prop_assert_eq!(order(&held), naive.order());
            let places = |held: &Held| held.places.of_edges.values().map(BTreeSet::len).sum::<usize>();
            prop_assert_eq!(places(&held), held.len());
            prop_assert_eq!(held.places.sizes.len(), held.places.of_edges.len());
        }
    }

    #[test]
    fn a_source_with_more_than_its_share_of_all_findings_always_waits(
        room in 1..8usize,
        found_in_order in prop::collection::vec(0..20u32, 0..300),
    ) {
        let mut held = Held::with_room(room);
        let mut times = HashMap::<u32, usize>::new();
        for (all, n) in (1..).zip(found_in_order) {
            found(&mut held, n, "edge-1", NOW + i64::from(n));
            *times.entry(n).or_default() += 1;
            for (n, times) in &times {
                let waits = held.by_source.contains_key(&source(*n));
                prop_assert!(waits || times * room <= all, "{} was found {} times of {}", n, times, all);
            }
        }
    }
}
