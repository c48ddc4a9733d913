//! A fleet keeps its feeds: over failovers, refused lists and removals.

use secbeat_bus::{Bus, FeedBucket, make_all, memory::MemoryServer};
use secbeat_common::{
    sign::{SecretKey, Signer, Trust},
    wire::{FeedVerdict, FleetFeed},
};
use secbeat_daemon::time::now_ms;
use tokio::sync::watch;

use super::*;
use crate::leases::{Share, Shares};

struct Lab {
    server: MemoryServer,
    trust: Trust,
    signer: Signer,
}

/// One orchestrator.
struct Orchestrator {
    feeds: Feeds,
    shares: watch::Sender<Shares>,
}

impl Lab {
    async fn start() -> Self {
        let server = MemoryServer::new(0);
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        make_all(&server.join().bus(), Duration::from_secs(60))
            .await
            .unwrap();
        let lab = Self {
            server,
            trust,
            signer: Some(key).into(),
        };
        // It makes the bucket, as in a fleet the one that tells edges of rules does.
        assert_eq!(lab.held().await, None);
        lab
    }

    fn bucket(&self, bus: &Bus) -> FeedBucket {
        FeedBucket::new(bus, self.trust.clone(), self.signer.clone())
    }

    fn join(&self, entries: Vec<FeedEntry>) -> Orchestrator {
        let bus = self.server.join().bus();
        let feeds = Feeds::new(&bus, self.bucket(&bus), Entries::new(Arc::new(entries)));
        let (shares, owned) = watch::channel(Shares::default());
        tokio::spawn(keep(feeds.clone(), self.trust.clone(), Default::default(), owned));
        Orchestrator { feeds, shares }
    }

    /// What the bus has of the only feed.
    async fn held(&self) -> Option<FleetFeed> {
        self.bucket(&self.server.join().bus())
            .held("drop")
            .await
            .unwrap()
            .feed
    }
}

impl Orchestrator {
    fn own(&self, is_first: bool) {
        self.shares.send_replace(Shares {
            instance: "a".to_owned(),
            partitions: vec![Share {
                partition: 0,
                holder: Some("a".to_owned()),
                epoch: is_first.then_some(1),
            }],
            ..Shares::default()
        });
    }

    async fn await_record(&self, what: &str, is_so: impl Fn(&FleetFeed) -> bool) -> FleetFeed {
        let mut known = self.feeds.known.subscribe();
        let waiting = known.wait_for(|known| known.feeds.get("drop").is_some_and(&is_so));
        let known = tokio::time::timeout(SOON, waiting).await;
        known
            .unwrap_or_else(|_| panic!("not in time: {what}"))
            .unwrap()
            .feeds["drop"]
            .clone()
    }
}

fn digest(feed: &FleetFeed) -> [u8; 32] {
    feed.content.as_ref().unwrap().digest
}

#[tokio::test]
async fn the_first_orchestrator_asks_and_the_next_one_goes_by_what_it_left() {
    let lab = Lab::start().await;
    let tagged = answer(
        "200 OK",
        &["etag: \"v1\"", "last-modified: Sun, 29 Nov 2026 10:00:00 GMT"],
        b"198.51.100.7\n",
    );
    let unchanged = answer("304 Not Modified", &[], b"");
    let (address, asked) = serve(vec![tagged, unchanged]);
    let entries = vec![entry(&address, "mode = \"ban\"\nevery = \"1h\"\nttl = \"2d\"")];
    let (one, other) = (lab.join(entries.clone()), lab.join(entries));
    one.own(true);
    other.own(false);
    let first = one
        .await_record("a list is taken", |feed| feed.content.is_some())
        .await;
    assert_eq!(first.verdict, FeedVerdict::Ban);
    assert_eq!(first.ends_at_ms - first.fresh_at_ms, 2 * 24 * 3_600_000);
    let waits = first.next_at_ms - first.tried_at_ms;
    assert!((3_600_000..3_960_000).contains(&waits), "{waits}");
    assert!(!asked.recv().unwrap().contains("if-none-match"));
    // The other one takes over, and asks nobody: it is not time.
    one.own(false);
    other
        .await_record("the other hears of it", |feed| feed.content.is_some())
        .await;
    other.own(true);
    assert_eq!(other.feeds.due(now_ms()).len(), 0);
    // Nor does it when it looks by itself.
    assert!(other.feeds.bring_due().await);
    assert!(asked.try_recv().is_err(), "the source was asked again at once");
    // An operator has it asked: it has what it had.
    let again = other.feeds.update("drop", false).await.unwrap();
    let sent = asked.recv().unwrap();
    assert!(
        sent.contains("if-none-match: \"v1\"") && sent.contains("if-modified-since: sun, 29 nov"),
        "{sent}"
    );
    assert_eq!(again.content, first.content);
    assert!(again.fresh_at_ms > first.fresh_at_ms);
}

#[tokio::test]
async fn what_is_refused_leaves_the_last_list_in_force_and_is_told() {
    let lab = Lab::start().await;
    let answers = vec![
        ok(&addresses(100)),
        ok(&addresses(10)),
        answer("500 Oops", &[], b""),
        ok("<html>maintenance"),
        ok(&addresses(10)),
        ok(&addresses(10)),
        ok(&addresses(9)),
    ];
    let (address, _asked) = serve(answers);
    let one = lab.join(vec![entry(&address, "")]);
    let first = one.feeds.update("drop", false).await.unwrap();
    assert_eq!(
        (first.verdict, first.content.as_ref().unwrap().networks()),
        (FeedVerdict::Observe, 100)
    );
    for (what, is_refused, attempts) in [
        ("it has 10 entries, and had 100", true, 1),
        ("it answered 500", false, 2),
        ("a page of HTML", true, 3),
    ] {
        let next = one.feeds.update("drop", false).await.unwrap();
        let trouble = next.trouble.clone().unwrap();
        assert!(trouble.why.contains(what), "{trouble:?}");
        assert_eq!((trouble.is_refused, trouble.attempts), (is_refused, attempts));
        assert_eq!(
            (digest(&next), next.ends_at_ms),
            (digest(&first), first.ends_at_ms)
        );
        let pause = next.next_at_ms - next.tried_at_ms;
        assert_eq!(pause, 60_000 << (attempts - 1));
    }
    let forced = one.feeds.update("drop", true).await.unwrap();
    assert_eq!(forced.trouble, None);
    let content = forced.content.clone().unwrap();
    assert_eq!((content.networks(), content.added, content.removed), (10, 0, 90));
    // The same again takes no place on the bus.
    let same = one.feeds.update("drop", false).await.unwrap();
    let kept = same.content.clone().unwrap();
    assert_eq!(
        (kept.slot, kept.taken_at_ms, kept.removed),
        (content.slot, content.taken_at_ms, 0)
    );
    let tested = one.feeds.test("drop").await.unwrap();
    assert_eq!((tested.added.len(), tested.removed.len()), (0, 1));
    assert_eq!(lab.held().await, Some(same));
}

#[tokio::test]
async fn a_feed_that_the_config_changes_is_asked_anew_and_one_that_it_lacks_is_removed() {
    let lab = Lab::start().await;
    let (address, _asked) = serve(vec![
        ok("198.51.100.7\n198.51.100.9\n"),
        ok("198.51.100.7\n198.51.100.9\n"),
    ]);
    let one = lab.join(vec![entry(&address, "")]);
    one.own(true);
    one.await_record("a list is taken", |feed| feed.content.is_some())
        .await;
    one.own(false);
    // What it had is not asked for: the list is to be sifted in another way.
    let changed = lab.join(vec![entry(
        &address,
        "mode = \"ban\"\nexclude = [\"198.51.100.9\"]",
    )]);
    changed.own(true);
    let next = changed
        .await_record("the config holds", |feed| feed.verdict == FeedVerdict::Ban)
        .await;
    assert_eq!((next.trouble, next.content.unwrap().networks()), (None, 1));
    changed.own(false);
    let without = lab.join(Vec::new());
    without.own(true);
    let mut known = changed.feeds.known.subscribe();
    let gone = known.wait_for(|known| known.feeds.is_empty());
    tokio::time::timeout(SOON, gone).await.unwrap().unwrap();
    assert_eq!(lab.held().await, None);
}

#[tokio::test]
async fn a_list_of_partners_is_never_taken_for_one_of_attackers() {
    let lab = Lab::start().await;
    let (partners, _asked) = serve(vec![ok("198.51.100.7\n")]);
    let one = lab.join(vec![entry(&partners, "mode = \"allow\"")]);
    one.feeds.update("drop", false).await.unwrap();
    // The name is used again, and the new source does not answer.
    let (attackers, _asked) = serve(vec![answer("500 Oops", &[], b""), ok("203.0.113.9\n")]);
    let other = lab.join(vec![entry(&attackers, "mode = \"ban\"")]);
    let failed = other.feeds.update("drop", false).await.unwrap();
    assert_eq!(failed.verdict, FeedVerdict::Allow);
    assert_eq!(
        other.feeds.due(now_ms()).len(),
        0,
        "it is not asked again at once"
    );
    let taken = other.feeds.update("drop", false).await.unwrap();
    assert_eq!((taken.verdict, taken.trouble), (FeedVerdict::Ban, None));
}

#[tokio::test]
async fn overlaps_are_counted_by_what_edges_have() {
    let lab = Lab::start().await;
    let (address, _asked) = serve(vec![
        ok("198.51.100.0/24\n203.0.113.0/24\n"),
        ok("198.51.100.7\n"),
    ]);
    let mut other = entry(&address, "");
    other.name = "other".to_owned();
    let one = lab.join(vec![entry(&address, ""), other]);
    for name in ["drop", "other"] {
        one.feeds.update(name, false).await.unwrap();
    }
    assert_eq!(one.feeds.overlaps("drop").await.unwrap()["other"], 1);
    assert_eq!(one.feeds.overlaps("other").await.unwrap()["drop"], 1);
    let unknown = one.feeds.update("none", false).await.unwrap_err();
    assert_eq!(unknown, Refusal::Unknown("none".to_owned()));
    assert!(one.feeds.record("drop").unwrap().in_force(now_ms()).is_some());
}
