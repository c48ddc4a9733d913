use std::{sync::Arc, time::Duration};

use secbeat_bus::{
    SignatureBucket, Write,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::{
    sign::{SecretKey, Signer},
    wire::{Detection, FleetSignatures, SignatureText},
};

use super::*;

/// An edge that follows directives, and an orchestrator's key.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    signer: Signer,
    trust: Trust,
    filter: TelemetryFilter,
    garbage: Arc<Garbage>,
    directed: Directed,
    _folder: tempfile::TempDir,
}

impl Lab {
    fn start() -> Self {
        let server = MemoryServer::new(0);
        let member = server.join();
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        let (filter, garbage) = (TelemetryFilter::default(), Arc::<Garbage>::default());
        let folder = tempfile::tempdir().unwrap();
        let directed = Directed {
            filter: filter.clone(),
            signatures: Signatures::default(),
            file: FleetFile::in_folder(folder.path()),
            heard: watch::channel(None).0,
        };
        let (bus, told, reported) = (member.bus(), directed.clone(), garbage.clone());
        let trusted = trust.clone();
        tokio::spawn(async move { follow_directives(bus, told, trusted, &reported).await });
        Self {
            server,
            member,
            signer: Some(key).into(),
            trust,
            filter,
            garbage,
            directed,
            _folder: folder,
        }
    }

    async fn tell(&self, sources: SourceLengths) {
        let directives = DirectiveBucket::new(&self.server.join().bus(), self.signer.clone());
        directives
            .keep(&Interest::default(), &sources, &Detection::default())
            .await
            .unwrap();
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

fn published(changed_at_ms: i64, text: &str) -> FleetSignatures {
    FleetSignatures {
        changed_at_ms,
        changed_by: "alice".to_owned(),
        files: vec![SignatureText {
            name: "own.toml".to_owned(),
            text: text.to_owned(),
        }],
        disabled: Vec::new(),
    }
}

#[tokio::test]
async fn what_the_fleet_published_last_is_in_force_and_kept_for_a_start_without_nats() {
    let lab = Lab::start();
    let config = crate::signatures::SignaturesConfig::default();
    lab.directed.signatures.apply(&config);
    let bucket = SignatureBucket::new(&lab.server.join().bus(), lab.trust.clone(), lab.signer.clone());
    let put = async |set: &FleetSignatures| {
        let held = bucket.held().await.unwrap();
        bucket.put(set, &held).await.unwrap();
    };
    let until = async |what: &dyn Fn() -> bool| {
        let come = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), come).await.unwrap();
    };
    let (good, bad) = (published(2, "# none"), published(3, "no toml"));
    put(&good).await;
    let kept = || lab.directed.file.read(&lab.trust).unwrap();
    until(&|| kept().as_ref() == Some(&good)).await;
    assert_eq!(lab.directed.signatures.in_force().fleet, Some(good.digest()));
    put(&bad).await;
    until(&|| lab.garbage.count() == 1).await;
    put(&published(1, "# replayed")).await;
    until(&|| lab.garbage.count() == 2).await;
    assert_eq!(lab.directed.signatures.in_force().fleet, Some(good.digest()));
    assert_eq!(kept(), Some(good));
}
