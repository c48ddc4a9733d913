use std::time::Duration;

use secbeat_bus::{
    Write,
    memory::{MemoryBus, MemoryServer},
    samples,
};
use secbeat_common::wire::{Ack, Enforcement, XdpInterface};
use uuid::Uuid;

use super::*;

/// A watch over a bus in memory.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    inputs: mpsc::Receiver<Input>,
    garbage: Arc<Garbage>,
}

impl Lab {
    fn start() -> Self {
        let server = MemoryServer::new(0);
        let member = server.join();
        let (sender, inputs) = mpsc::channel(16);
        let garbage = Arc::new(Garbage::default());
        let watch = FleetWatch {
            bus: member.bus(),
            inputs: sender,
            garbage: garbage.clone(),
        };
        tokio::spawn(watch.run());
        Self {
            server,
            member,
            inputs,
            garbage,
        }
    }

    /// What the engine is told next.
    async fn told(&mut self) -> String {
        match self.inputs.recv().await {
            Some(Input::Event(Event::EdgeHeard(record))) => format!("{} is there", record.edge_id),
            Some(Input::Event(Event::EdgeLeft(edge_id))) => format!("{edge_id} has left"),
            Some(Input::Event(Event::Acks { batch, .. })) => {
                format!("{} acknowledges {}", batch.edge_id, batch.acks.len())
            }
            other => panic!("{other:?}"),
        }
    }

    /// The bucket, once the watch has made it.
    async fn edges(&self) -> EdgeBucket {
        let bus = self.server.join().bus();
        while bus.bucket(subjects::EDGES_BUCKET).status().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        EdgeBucket::new(&bus)
    }
}

fn presence(edge_id: &str) -> Presence {
    samples::presence(edge_id, 0)
}

fn acks(edge_id: &str) -> Vec<u8> {
    let ack = Ack {
        command_id: Uuid::nil(),
        target: "198.51.100.7".parse().unwrap(),
        issued_at_ms: 0,
        outcome: Enforcement::Enforced,
    };
    let batch = AckBatch {
        edge_id: edge_id.to_owned(),
        at_ms: 0,
        acks: vec![ack],
        banned: Vec::new(),
    };
    wire::encode(&batch).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_engine_hears_of_edges_that_come_and_go() {
    let mut lab = Lab::start();
    let edges = lab.edges().await;
    edges.put(&presence("web-1")).await.unwrap();
    assert_eq!(lab.told().await, "web-1 is there");
    edges.put(&presence("web-2")).await.unwrap();
    assert_eq!(lab.told().await, "web-2 is there");
    edges.remove("web-1").await.unwrap();
    assert_eq!(lab.told().await, "web-1 has left");
    // What it missed of edges that are there still comes with the snapshot.
    lab.member.disconnect();
    lab.member.reconnect();
    assert_eq!(lab.told().await, "web-2 is there");
    assert_eq!(lab.told().await, "web-1 has left");
}

#[tokio::test(start_paused = true)]
async fn the_engine_hears_acknowledgements_over_reconnects() {
    let mut lab = Lab::start();
    let edge = lab.server.join().bus();
    lab.edges().await;
    edge.publish(subjects::acks("web-1"), acks("web-1").into())
        .await
        .unwrap();
    assert_eq!(lab.told().await, "web-1 acknowledges 1");
    lab.member.disconnect();
    lab.member.reconnect();
    edge.publish(subjects::acks("web-2"), acks("web-2").into())
        .await
        .unwrap();
    assert_eq!(lab.told().await, "web-2 acknowledges 1");
}

#[tokio::test(start_paused = true)]
async fn nobody_speaks_for_another_edge() {
    let mut lab = Lab::start();
    let edge = lab.server.join().bus();
    let edges = lab.edges().await;
    let stolen = serde_json::to_vec(&presence("web-2")).unwrap();
    let bucket = edge.bucket(subjects::EDGES_BUCKET);
    bucket.write(Write::put("web-1", stolen)).await.unwrap();
    bucket.write(Write::put("web-1", "no record")).await.unwrap();
    for payload in [acks("web-2"), b"no acknowledgement".to_vec()] {
        edge.publish(subjects::acks("web-1"), payload.into())
            .await
            .unwrap();
    }
    edges.put(&presence("web-3")).await.unwrap();
    assert_eq!(lab.told().await, "web-3 is there");
    // Records and acknowledgements come by two ways.
    while lab.garbage.count() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(lab.inputs.is_empty());
}

#[test]
fn what_an_edge_says_of_itself_is_bounded() {
    let mut record = presence("edge-1");
    let long = "\u{e9}".repeat(100_000);
    record.version.clone_from(&long);
    record.refused_config = Some(long.clone());
    let interface = XdpInterface {
        name: long.clone(),
        mode: long.clone(),
        observes: false,
        unprotected: Some(long),
    };
    record.interfaces = vec![interface; 1000];
    let bounded = record.bounded();
    let written = serde_json::to_vec(&bounded).unwrap();
    assert!(written.len() < 256 * 1024, "{} bytes", written.len());
    assert_eq!((bounded.version.len(), bounded.interfaces.len()), (256, 256));
    assert_eq!(bounded.refused_config.map(|why| why.len()), Some(256));
    let refused = Enforcement::Refused("x".repeat(100_000));
    let read: Enforcement = serde_json::from_str(&serde_json::to_string(&refused).unwrap()).unwrap();
    assert_eq!(read, Enforcement::Refused("x".repeat(256)));
}
