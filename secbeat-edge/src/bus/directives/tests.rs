use std::{sync::Arc, time::Duration};

use secbeat_bus::{
    Write,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::sign::{SecretKey, Signer};

use super::*;

/// An edge that follows directives, and an orchestrator's key.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    signer: Signer,
    filter: TelemetryFilter,
    garbage: Arc<Garbage>,
}

impl Lab {
    fn start() -> Self {
        let server = MemoryServer::new(0);
        let member = server.join();
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        let (filter, garbage) = (TelemetryFilter::default(), Arc::<Garbage>::default());
        let (bus, told, reported) = (member.bus(), filter.clone(), garbage.clone());
        tokio::spawn(async move { follow_directives(bus, told, trust, &reported).await });
        Self {
            server,
            member,
            signer: Some(key).into(),
            filter,
            garbage,
        }
    }

    async fn tell(&self, sources: SourceLengths) {
        let directives = DirectiveBucket::new(&self.server.join().bus(), self.signer.clone());
        directives.keep(&Interest::default(), &sources).await.unwrap();
        // Longer than the pause before the bucket is looked for again.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn sources(v4: u8) -> SourceLengths {
    serde_json::from_str(&format!(r#"{{"ipv4":{v4}}}"#)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_edge_goes_by_what_the_fleet_says_last() {
    let lab = Lab::start();
    assert_eq!(lab.filter.sources(), SourceLengths::default());
    lab.tell(sources(24)).await;
    assert_eq!(lab.filter.sources(), sources(24));
    lab.tell(sources(28)).await;
    assert_eq!(lab.filter.sources(), sources(28));
    lab.member.disconnect();
    lab.tell(sources(30)).await;
    assert_eq!(lab.filter.sources(), sources(28), "what was read last stays");
    lab.member.reconnect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(lab.filter.sources(), sources(30));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_trusts_changes_nothing_and_is_counted() {
    let lab = Lab::start();
    lab.tell(sources(24)).await;
    let bucket = lab.server.join().bus().bucket(subjects::RULES_BUCKET);
    let unsigned = Signer::default().seal(&sources(8), 0).unwrap();
    bucket
        .write(Write::put(subjects::SOURCES_KEY, unsigned))
        .await
        .unwrap();
    bucket
        .write(Write::put(subjects::INTEREST_KEY, "nothing"))
        .await
        .unwrap();
    bucket.write(Write::put("of_a_later_release", "x")).await.unwrap();
    bucket.write(Write::delete(subjects::SOURCES_KEY)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.filter.sources(), sources(24));
    assert_eq!(lab.garbage.count(), 2);
}
