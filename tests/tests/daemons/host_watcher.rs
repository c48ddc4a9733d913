//! The edge's watch on its host's network, in a namespace that changes under it.

use std::{
    io::Write as _,
    process::Stdio,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use secbeat_edge::{HostChange, HostWatcher, LinkChange, LinkEvent};
use secbeat_tests::lab::{executable::Program, netns::Namespace};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
};

/// What the watcher tells at most so often.
const SPACING: Duration = Duration::from_millis(200);

/// A watcher in a namespace of its own, not running yet.
struct Watched {
    namespace: Namespace,
    runtime: Runtime,
    watcher: HostWatcher,
}

impl Watched {
    fn new() -> Self {
        let namespace = Namespace::new("watched");
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let watcher = namespace.enter(|| {
            let _guard = runtime.enter();
            HostWatcher::new()
        });
        Self {
            namespace,
            runtime,
            watcher,
        }
    }

    fn run(self) -> Running {
        let (sender, receiver) = mpsc::channel(1);
        let (runtime, watcher) = (self.runtime, self.watcher);
        let thread = self
            .namespace
            .spawn(move || runtime.block_on(watcher.run(sender)));
        Running {
            thread: Some(thread),
            namespace: self.namespace,
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            receiver,
        }
    }
}

struct Running {
    thread: Option<JoinHandle<()>>,
    namespace: Namespace,
    runtime: Runtime,
    receiver: mpsc::Receiver<Vec<HostChange>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It ends when nobody listens to it any more, and lets go of the namespace.
        self.receiver.close();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Running {
    fn next_within(&mut self, patience: Duration) -> Option<Vec<HostChange>> {
        let receiver = &mut self.receiver;
        self.runtime
            .block_on(async { tokio::time::timeout(patience, receiver.recv()).await.ok()? })
    }

    /// The next change of an interface other than those of addresses and routes that come with it.
    #[track_caller]
    fn next_link(&mut self, name: &str) -> LinkChange {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let changes = self
                .next_within(left)
                .unwrap_or_else(|| panic!("nothing was told of {name}"));
            let mut links = changes.into_iter().filter_map(|change| match change {
                HostChange::Link(link) if link.name == name => Some(link),
                _ => None,
            });
            if let Some(link) = links.next() {
                assert_eq!(links.next(), None, "one thing happened to {name}");
                return link;
            }
        }
    }
}

fn add_veth(namespace: &Namespace) {
    namespace.ip(&["link", "add", "nic", "type", "veth", "peer", "name", "peer"]);
}

/// Replaces the default route so many times, at full speed.
fn replace_default_route(namespace: &Namespace, times: usize) {
    let mut ip = namespace
        .command(Program::Ip)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = ip.stdin.take().unwrap();
    for n in 0..times {
        writeln!(commands, "route replace default via 192.0.2.{}", 2 + n % 2).unwrap();
    }
    drop(commands);
    assert!(ip.wait().unwrap().success());
}

fn with_route(namespace: &Namespace) {
    add_veth(namespace);
    namespace.add_address("nic", "192.0.2.1/24");
    namespace.ip(&["link", "set", "nic", "up"]);
}

#[test]
fn an_interface_that_is_made_again_is_gone_and_then_appears_with_its_new_index() {
    let mut host = Watched::new().run();
    add_veth(&host.namespace);
    let first = host.namespace.ifindex("nic");
    let change = |index, name: &str, event| LinkChange {
        index,
        name: name.to_owned(),
        event,
    };
    assert_eq!(host.next_link("nic"), change(first, "nic", LinkEvent::Appeared));
    host.namespace.ip(&["link", "set", "nic", "up"]);
    host.namespace.ip(&["link", "set", "nic", "down"]);
    host.namespace.ip(&["link", "set", "nic", "name", "wan"]);
    let from = "nic".to_owned();
    assert_eq!(
        host.next_link("wan"),
        change(first, "wan", LinkEvent::Renamed { from })
    );
    host.namespace.ip(&["link", "delete", "wan"]);
    assert_eq!(host.next_link("wan"), change(first, "wan", LinkEvent::Gone));
    add_veth(&host.namespace);
    let second = host.namespace.ifindex("nic");
    assert_ne!(second, first);
    assert_eq!(host.next_link("nic"), change(second, "nic", LinkEvent::Appeared));
}

#[test]
fn an_interface_that_leaves_its_bridge_is_not_gone() {
    let mut host = Watched::new().run();
    add_veth(&host.namespace);
    host.next_link("nic");
    host.namespace.ip(&["link", "add", "bridge", "type", "bridge"]);
    host.namespace.ip(&["link", "set", "nic", "master", "bridge"]);
    host.namespace.ip(&["link", "set", "nic", "nomaster"]);
    host.namespace.ip(&["link", "delete", "nic"]);
    assert_eq!(host.next_link("nic").event, LinkEvent::Gone);
}

#[test]
fn a_thousand_route_changes_are_told_once_every_200_ms() {
    let watched = Watched::new();
    with_route(&watched.namespace);
    let mut host = watched.run();
    while host.next_within(2 * SPACING).is_some() {}
    let start = Instant::now();
    let namespace = host.namespace.clone();
    let burst = thread::spawn(move || replace_default_route(&namespace, 1000));
    let mut told = Vec::new();
    while let Some(changes) = host.next_within(5 * SPACING) {
        told.extend(changes.contains(&HostChange::Routes).then(|| start.elapsed()));
    }
    burst.join().unwrap();
    let between = told.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(!told.is_empty(), "nothing was told");
    assert!(
        between.is_none_or(|between| between >= SPACING / 2),
        "told at {told:?}"
    );
}

#[test]
fn what_overflowed_the_socket_is_made_up_for() {
    let watched = Watched::new();
    with_route(&watched.namespace);
    replace_default_route(&watched.namespace, 5000);
    // There is no room for this.
    watched.namespace.ip(&["link", "delete", "nic"]);
    add_veth(&watched.namespace);
    let index = watched.namespace.ifindex("nic");
    let mut host = watched.run();
    let mut told = Vec::new();
    while let Some(changes) = host.next_within(5 * SPACING) {
        told.extend(changes);
    }
    for change in [
        HostChange::Addresses,
        HostChange::Routes,
        HostChange::Resolvers,
        HostChange::Sessions,
    ] {
        assert!(told.contains(&change), "no {change:?} in {told:?}");
    }
    let last = told.into_iter().rev().find_map(|change| match change {
        HostChange::Link(link) if link.name == "nic" => Some(link),
        _ => None,
    });
    let (name, event) = ("nic".to_owned(), LinkEvent::Appeared);
    assert_eq!(last, Some(LinkChange { index, name, event }));
}
