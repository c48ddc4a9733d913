use super::*;

fn feed(changed_at_ms: i64, digest: u8, ends_at_ms: i64) -> FleetFeed {
    FleetFeed {
        name: "drop".to_owned(),
        verdict: FeedVerdict::Ban,
        ttl_ms: 1_000,
        changed_at_ms,
        content: Some(FeedContent {
            digest: [digest; 32],
            ..FeedContent::default()
        }),
        ends_at_ms,
        ..FleetFeed::default()
    }
}

fn in_force(digest: u8, ends_at_ms: i64) -> Option<InForce> {
    Some(InForce {
        digest: [digest; 32],
        verdict: FeedVerdict::Ban,
        ends_at_ms,
    })
}

fn is_due(feeds: &Feeds, now_ms: i64) -> bool {
    !feeds.due(now_ms).is_empty()
}

#[test]
fn a_list_is_put_in_force_if_it_is_news_or_its_end_has_moved_far() {
    let feeds = Feeds::default();
    feeds.hear(feed(1, 7, 2_000), Vec::new());
    assert!(is_due(&feeds, 1_000), "nothing is in force");
    feeds.note("drop", in_force(7, 2_000), None);
    assert!(!is_due(&feeds, 1_000));
    // The source has the same, again and again.
    feeds.hear(feed(2, 7, 2_099), Vec::new());
    assert!(!is_due(&feeds, 1_000));
    feeds.hear(feed(3, 7, 2_100), Vec::new());
    assert!(is_due(&feeds, 1_000));
    feeds.note("drop", in_force(7, 2_100), None);
    feeds.hear(feed(4, 8, 2_100), Vec::new());
    assert!(is_due(&feeds, 1_000), "another list");
    // One that was there before.
    feeds.note("drop", in_force(8, 2_100), None);
    feeds.hear(feed(3, 7, 2_100), Vec::new());
    assert!(!is_due(&feeds, 1_000));
    let other_verdict = FleetFeed {
        verdict: FeedVerdict::Observe,
        ..feed(5, 8, 2_100)
    };
    feeds.hear(other_verdict, Vec::new());
    assert!(is_due(&feeds, 1_000));
}

#[test]
fn a_list_whose_time_has_ended_is_taken_out_of_force() {
    let feeds = Feeds::default();
    feeds.hear(feed(1, 7, 2_000), Vec::new());
    assert!(!is_due(&feeds, 2_000), "it never was in force");
    feeds.note("drop", in_force(7, 2_000), None);
    assert!(!is_due(&feeds, 1_999));
    assert!(is_due(&feeds, 2_000));
    feeds.note("drop", None, None);
    assert!(!is_due(&feeds, 2_000));
}

#[test]
fn the_fleet_is_told_which_list_the_kernel_has() {
    let feeds = Feeds::default();
    feeds.hear(feed(1, 7, 2_000), Vec::new());
    let told = |feeds: &Feeds| feeds.told(|_| (3, 180)).remove(0);
    assert_eq!(told(&feeds).digest, "");
    feeds.note("drop", in_force(7, 2_000), None);
    let held = told(&feeds);
    assert_eq!(
        (held.digest.as_str(), held.packets, held.bytes),
        ("0707070707070707", 3, 180)
    );
    feeds.hear(feed(2, 8, 2_000), Vec::new());
    feeds.note("drop", in_force(7, 2_000), Some("too large".to_owned()));
    let held = told(&feeds);
    assert_eq!(
        (held.digest.as_str(), held.trouble.as_deref()),
        ("", Some("too large"))
    );
}
