//! Plain messages.

use super::*;
use crate::Published;

async fn publish(bus: &Bus, subject: &str, payload: &str) {
    bus.publish(subject.to_owned(), payload.to_owned().into())
        .await
        .unwrap();
}

/// Subscribes, and waits until the server knows.
async fn subscribed(bus: &Bus, subject: &str) -> Messages<Published> {
    let mut heard = bus.subscribe(subject).await.unwrap();
    publish(bus, "acks.probe", "").await;
    assert_eq!(next(&mut heard).await.subject, "acks.probe");
    heard
}

pub async fn a_subscriber_hears_what_it_asked_for(lab: &impl Lab) {
    let (a, b) = (lab.join().await, lab.join().await);
    let mut heard = subscribed(&b, "acks.*").await;
    for subject in ["other.1", "acks", "acks.1.2", "acks.1"] {
        publish(&a, subject, "x").await;
    }
    assert_eq!(next(&mut heard).await.subject, "acks.1");
}

pub async fn every_subscriber_hears_everything_in_order(lab: &impl Lab) {
    let (a, b, c) = (lab.join().await, lab.join().await, lab.join().await);
    let mut from_b = subscribed(&b, "acks.*").await;
    let mut from_c = subscribed(&c, "acks.>").await;
    // The other subscriber's message.
    assert_eq!(next(&mut from_b).await.subject, "acks.probe");
    for n in 0..100 {
        publish(&a, "acks.1", &n.to_string()).await;
    }
    for heard in [&mut from_b, &mut from_c] {
        let messages = take(heard, 100).await;
        let payloads: Vec<_> = messages.iter().map(|message| message.payload.clone()).collect();
        assert_eq!(payloads, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

pub async fn a_subscription_outlives_a_reconnect(lab: &impl Lab) {
    let bus = lab.join().await;
    let mut heard = subscribed(&bus, "acks.*").await;
    restart(lab, &bus).await;
    publish(&bus, "acks.1", "after").await;
    assert_eq!(next(&mut heard).await.payload, "after");
}
