use futures::FutureExt as _;

use super::*;

fn events(capacity: usize) -> Events<u64> {
    Events::new(capacity, 1000)
}

/// What `reader` is told without waiting.
fn told(reader: &mut Reader<u64>) -> Vec<String> {
    std::iter::from_fn(|| reader.next().now_or_never().flatten())
        .map(|told| match told {
            NextEvent::Event(event) => format!("{} edge-{}", event.id, event.what),
            NextEvent::Lagged(missed) => format!("lagged {missed:?}"),
        })
        .collect()
}

#[test]
fn each_reader_is_told_what_comes_after_it_did() {
    let events = events(10);
    events.tell(0);
    let mut early = events.follow(None);
    events.tell(1);
    let mut late = events.follow(None);
    events.tell(2);
    assert_eq!(told(&mut early), ["1000-1 edge-1", "1000-2 edge-2"]);
    assert_eq!(told(&mut late), ["1000-2 edge-2"]);
    assert_eq!(told(&mut late), [""; 0]);
}

#[test]
fn a_reader_that_comes_back_goes_on_where_it_was() {
    let events = events(3);
    (0..5).for_each(|n| events.tell(n));
    let resume = |id: &str| told(&mut events.follow(Some(id.parse().unwrap())));
    assert_eq!(resume("1000-3"), ["1000-4 edge-4"]);
    assert_eq!(
        resume("1000-1"),
        ["1000-2 edge-2", "1000-3 edge-3", "1000-4 edge-4"]
    );
    assert_eq!(resume("1000-0")[..2], ["lagged Some(1)", "1000-2 edge-2"]);
    assert_eq!(resume("999-3")[..2], ["lagged None", "1000-2 edge-2"]);
    assert_eq!(resume("1000-77"), [""; 0]);
}

#[test]
fn a_reader_too_slow_for_the_history_is_told_how_much_it_missed() {
    let events = events(2);
    let mut slow = events.follow(None);
    (0..5).for_each(|n| events.tell(n));
    assert_eq!(
        told(&mut slow),
        ["lagged Some(3)", "1000-3 edge-3", "1000-4 edge-4"]
    );
}

#[test]
fn at_the_end_readers_end_after_the_last_event() {
    let events = events(2);
    let mut reader = events.follow(None);
    events.tell(0);
    events.end();
    assert!(matches!(
        reader.next().now_or_never(),
        Some(Some(NextEvent::Event(_)))
    ));
    assert_eq!(reader.next().now_or_never(), Some(None));
}

#[test]
fn what_is_no_events_id_is_refused() {
    assert!("x".parse::<EventId>().is_err());
}
