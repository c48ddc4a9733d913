//! From what happens to what a receiver gets.

use std::time::Duration;

use secbeat_common::wire::{AuditRecord, Decision};
use secbeat_orchestrator_core::notices::{Every, Reported};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    webhooks::{Request, serve},
    *,
};
use crate::{
    engine::Happening,
    events::Events,
    notify::{Facts, Notifier, NotifyStats},
};

fn decided(n: u8) -> Happening {
    Happening::Decided(Box::new(AuditRecord {
        at_ms: 1,
        target: format!("198.51.100.{n}").parse().unwrap(),
        actor: "alice".to_owned(),
        decision: Decision::Unban {
            command_id: Uuid::from_u128(n.into()),
            strikes: 0,
            note: String::new(),
            list: None,
        },
    }))
}

fn webhook(address: std::net::SocketAddr, more: &str) -> Receiver {
    receiver(&format!(
        "name = \"a\"\nkind = \"webhook\"\nurl = \"http://{address}/hidden-path\"\ndigest = \"0s\"\n{more}"
    ))
}

/// The body that comes next; time passes meanwhile.
async fn next(told: &std::sync::mpsc::Receiver<Request>) -> Value {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(request) = told.try_recv() {
            return serde_json::from_str(&request.body).unwrap();
        }
        assert!(std::time::Instant::now() < end, "nothing came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Messages whose fate is known.
fn settled(stats: &NotifyStats) -> u64 {
    let counts = stats.read()[0].counts.clone();
    counts.sent + counts.given_up
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_is_tried_again_and_told_what_it_missed() {
    let (address, told) = serve(&["503 Busy", "200 OK", "400 Never", "200 OK"]);
    let (notifier, stats) = Notifier::start(vec![webhook(address, "")], "orchestrator-1", &Geo::default());
    let events = Events::default();
    let (facts, looked) = mpsc::channel::<Facts>(1);
    let running = tokio::spawn(notifier.run(events.clone(), looked, mpsc::channel(1).1));
    tokio::task::yield_now().await;
    let mut bodies = Vec::new();
    events.tell(decided(1));
    for n in 2..=5 {
        bodies.push(next(&told).await);
        // The second attempt is of the same message; what comes next is another one.
        while settled(&stats) < n - 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if n > 2 && n < 5 {
            events.tell(decided(u8::try_from(n).unwrap()));
        }
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[2]["unbans"]["named"][0]["target"], "198.51.100.3/32");
    assert_eq!(bodies[3]["unbans"]["named"][0]["target"], "198.51.100.4/32");
    assert_eq!(bodies[3]["left_out"]["messages"], 1);
    assert_eq!(bodies[3]["left_out"]["undelivered"], 1);
    events.end();
    running.await.unwrap();
    drop(facts);
    let counts = stats.read()[0].counts.clone();
    assert_eq!(
        (counts.sent, counts.failed, counts.given_up, counts.failing),
        (2, 2, 1, None)
    );
}

#[tokio::test]
async fn nobody_waits_for_a_receiver_that_does_not_answer_and_the_rest_is_told_at_the_end() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, told) = serve(&["200 OK"]);
    let receivers = vec![
        webhook(silent.local_addr().unwrap(), "events = [\"not-ready\"]"),
        webhook(address, "events = [\"unban\"]\n").renamed("b", Duration::from_secs(3600)),
    ];
    let (notifier, stats) = Notifier::start(receivers, "orchestrator-1", &Geo::default());
    let events = Events::new(10_000, 1);
    let (_facts, looked) = mpsc::channel::<Facts>(1);
    let running = tokio::spawn(notifier.run(events.clone(), looked, mpsc::channel(1).1));
    tokio::task::yield_now().await;
    for n in 0..=255 {
        events.tell(decided(n));
    }
    while stats.read()[1].counts.waiting < 256 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    events.end();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .unwrap()
        .unwrap();
    let body: Value = serde_json::from_str(&told.recv().unwrap().body).unwrap();
    assert_eq!(body["unbans"]["count"], 256);
}

#[tokio::test]
async fn a_report_is_posted_to_whoever_wants_one_of_that_time() {
    let report = |every, lines: &[&str]| Notice {
        at_ms: 1_795_219_200_000,
        what: What::Reported(Reported {
            every,
            from_ms: 1_795_132_800_000,
            until_ms: 1_795_219_200_000,
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            totals: vec![("bans", 7)],
        }),
    };
    let (address, told) = serve(&["200 OK"]);
    let receivers = vec![webhook(address, "events = []\nreport = \"day\"")];
    let (notifier, _) = Notifier::start(receivers, "orchestrator-1", &Geo::default());
    assert_eq!(notifier.reports().into_iter().collect::<Vec<_>>(), [Every::Day]);
    let (_facts, looked) = mpsc::channel::<Facts>(1);
    let (tell, reports) = mpsc::channel(1);
    let events = Events::default();
    let running = tokio::spawn(notifier.run(events.clone(), looked, reports));
    events.tell(decided(1));
    tell.send(report(Every::Week, &["of a week"])).await.unwrap();
    tell.send(report(Every::Day, &["Report of a day: 7 banned", HOSTILE]))
        .await
        .unwrap();
    let body = next(&told).await;
    assert_eq!(body["title"], "SecBeat: Report of a day: 7 banned");
    let text = body["text"].as_str().unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(!text.contains(['\r', '\u{1b}', '\u{202e}']), "{text}");
    assert_eq!(
        body["reports"],
        serde_json::json!([{
            "every": "day", "from": "2026-11-20T00:00:00.000Z", "until": "2026-11-21T00:00:00.000Z", "totals": {"bans": 7}
        }])
    );
    assert_eq!(body["unbans"]["count"], 0, "it is told of no event");
    events.end();
    running.await.unwrap();
}
