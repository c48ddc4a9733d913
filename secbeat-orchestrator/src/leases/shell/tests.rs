use std::cell::OnceCell;

use secbeat_bus::{
    make_all,
    memory::{MemoryBus, MemoryServer},
};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

use super::*;

thread_local! {
    static START: OnceCell<Instant> = const { OnceCell::new() };
}

/// Tokio's clock, which a test has paused. All tasks of a test are on its thread.
fn clock() -> i64 {
    let start = START.with(|start| *start.get_or_init(Instant::now));
    i64::try_from(start.elapsed().as_millis()).unwrap() + 1_000_000
}

/// An orchestrator that shares the partitions.
struct Member {
    connection: MemoryBus,
    table: watch::Receiver<LeaseTable>,
    rules: watch::Sender<InForce>,
    shares: watch::Receiver<Shares>,
    _changes: mpsc::UnboundedReceiver<Ownership>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Member {
    fn start(server: &MemoryServer, name: &str) -> Self {
        Self::with(server, name, "")
    }

    /// One with this config.
    fn with(server: &MemoryServer, name: &str, config: &str) -> Self {
        let connection = server.join();
        let (sender, table) = watch::channel(LeaseTable::default());
        let identity = Identity {
            name: name.to_owned(),
            process: "1".to_owned(),
        };
        let (rules, config) = watch::channel(InForce::of(&toml::from_str(config).unwrap()));
        let (leases, changes, shares) = Leases::new(connection.bus(), identity, clock, config, sender);
        let (stop, stopped) = oneshot::channel();
        Self {
            connection,
            table,
            shares,
            _changes: changes,
            rules,
            stop,
            running: tokio::spawn(leases.run(async { drop(stopped.await) })),
        }
    }

    /// The partitions that it acts for now.
    fn owned(&self) -> Vec<u16> {
        let (table, now_ms) = (self.table.borrow(), clock());
        (0..PARTITIONS)
            .filter(|n| table.epoch(*n, now_ms).is_some())
            .collect()
    }
}

async fn server() -> MemoryServer {
    let server = MemoryServer::new(1_800_000_000_000);
    make_all(&server.join().bus(), Duration::from_secs(60))
        .await
        .unwrap();
    server
}

/// Looks until it is so, and returns how long that took. At no time do two act for one partition.
async fn until(members: &[&Member], is_so: impl Fn(&[Vec<u16>]) -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        let owned: Vec<_> = members.iter().map(|member| member.owned()).collect();
        for partition in 0..PARTITIONS {
            let owners = owned.iter().filter(|owned| owned.contains(&partition)).count();
            assert!(owners <= 1, "{owners} own partition {partition}");
        }
        if is_so(&owned) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{owned:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn counts(owned: &[Vec<u16>]) -> Vec<usize> {
    owned.iter().map(Vec::len).collect()
}

#[tokio::test(start_paused = true)]
async fn two_share_the_partitions_and_each_knows_of_the_other() {
    let server = server().await;
    let a = Member::start(&server, "a");
    until(&[&a], |owned| counts(owned) == [16]).await;
    let b = Member::start(&server, "b");
    until(&[&a, &b], |owned| counts(owned) == [8, 8]).await;
    let shares = a.shares.borrow().clone();
    assert_eq!(
        (shares.instance.as_str(), shares.members),
        ("a-1", vec!["a-1".to_owned(), "b-1".to_owned()])
    );
    let holders = |name: &str| {
        shares
            .partitions
            .iter()
            .filter(|shares| shares.holder.as_deref() == Some(name))
            .count()
    };
    assert_eq!((holders("a-1"), holders("b-1")), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn who_stops_in_order_is_followed_at_once() {
    let server = server().await;
    let (a, b) = (Member::start(&server, "a"), Member::start(&server, "b"));
    until(&[&a, &b], |owned| counts(owned) == [8, 8]).await;
    a.stop.send(()).unwrap();
    a.running.await.unwrap();
    assert!(until(&[&b], |owned| counts(owned) == [16]).await < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_stops_acting_before_another_takes_over() {
    let server = server().await;
    let (a, b) = (Member::start(&server, "a"), Member::start(&server, "b"));
    until(&[&a, &b], |owned| counts(owned) == [8, 8]).await;
    a.connection.disconnect();
    let took = until(&[&a, &b], |owned| counts(owned) == [0, 16]).await;
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    let unread = |member: &Member| member.shares.borrow().unread_since_ms;
    let since = unread(&a);
    assert!(since.is_some(), "it says how old it is what it knows");
    assert_eq!(unread(&b), None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(unread(&a), since);
    a.connection.reconnect();
    until(&[&a, &b], |owned| counts(owned) == [8, 8]).await;
    assert_eq!(unread(&a), None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_neither_doubles_nor_loses_a_partition() {
    let server = server().await;
    let (a, b) = (Member::start(&server, "a"), Member::start(&server, "b"));
    a.connection.faults().lose_acknowledgements(6);
    b.connection.faults().lose_writes(6);
    until(&[&a, &b], |owned| counts(owned) == [8, 8]).await;
}

#[tokio::test(start_paused = true)]
async fn epochs_grow_also_when_the_bucket_is_made_anew() {
    let server = server().await;
    let a = Member::start(&server, "a");
    until(&[&a], |owned| counts(owned) == [16]).await;
    let before = a.table.borrow().epoch(3, clock()).unwrap();
    server.delete(subjects::LEASES_BUCKET);
    make_all(&server.join().bus(), Duration::from_secs(60))
        .await
        .unwrap();
    a.connection.disconnect();
    a.connection.reconnect();
    until(&[&a], |owned| {
        counts(owned) == [16] && a.table.borrow().epoch(3, clock()).unwrap() > before
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_was_never_connected_has_nothing_to_give_back() {
    let server = server().await;
    server.stop();
    let a = Member::start(&server, "a");
    let begun = Instant::now();
    a.stop.send(()).unwrap();
    a.running.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_goes_by_another_config_is_named_until_it_is_gone() {
    let server = server().await;
    let (a, same) = (Member::start(&server, "a"), Member::start(&server, "b"));
    let other = Member::with(&server, "c", "[[rule]]\nname = \"path-scan\"\n");
    until(&[&a, &same, &other], |owned| counts(owned) == [6, 5, 5]).await;
    let differing = |member: &Member| -> Vec<(String, Vec<String>)> {
        let shares = member.shares.borrow();
        let differing = shares.differing.iter().cloned();
        differing.map(|it| (it.orchestrator, it.keys)).collect()
    };
    let rule = || vec!["rule".to_owned()];
    assert_eq!(differing(&a), [("c-1".to_owned(), rule())]);
    assert_eq!(differing(&same), differing(&a));
    let others = [("a-1".to_owned(), rule()), ("b-1".to_owned(), rule())];
    assert_eq!(differing(&other), others);
    // A reload is told.
    let rules = a.rules.borrow().clone();
    other.rules.send_replace(rules);
    until(&[&a, &same, &other], |_| {
        differing(&a).is_empty() && differing(&other).is_empty()
    })
    .await;
    other.stop.send(()).unwrap();
    other.running.await.unwrap();
    until(&[&a, &same], |owned| counts(owned) == [8, 8]).await;
}
