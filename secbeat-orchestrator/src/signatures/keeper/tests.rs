use secbeat_bus::{AuditQuery, Write, make_all, memory::MemoryServer};
use secbeat_common::{
    sign::{SecretKey, Signer},
    wire::Audited,
};

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

/// An orchestrator with the fleet's key.
struct Lab {
    server: MemoryServer,
    keeper: Keeper,
    trust: Trust,
    signer: Signer,
}

impl Lab {
    async fn start() -> Self {
        let server = MemoryServer::new(0);
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        let signer = Signer::from(Some(key));
        let keeper = join(&server, &trust, &signer);
        make_all(&keeper.bus, WINDOW).await.unwrap();
        Self {
            server,
            keeper,
            trust,
            signer,
        }
    }

    async fn audited(&self) -> Vec<SignatureChange> {
        let query = AuditQuery {
            kind: Some("signatures".to_owned()),
            limit: 100,
            ..AuditQuery::default()
        };
        let records = self.keeper.audit.query(&query).await.unwrap().into_iter();
        let changes = records.map(|record| match record {
            Audited::Signatures(record) => record.change,
            other => panic!("{other:?}"),
        });
        changes.collect()
    }
}

fn join(server: &MemoryServer, trust: &Trust, signer: &Signer) -> Keeper {
    let bus = server.join().bus();
    let known = watch::Sender::new(Known::default());
    tokio::spawn(follow(bus.clone(), trust.clone(), Arc::default(), known.clone()));
    Keeper {
        bucket: SignatureBucket::new(&bus, trust.clone(), signer.clone()),
        audit: AuditLog::new(&bus),
        bus,
        known,
    }
}

fn file(id: &str) -> SignatureText {
    let text = format!(
        "[[signature]]\nid = \"{id}\"\ntitle = \"Ours\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n\
         any = [{{ in = \"path\", contains = \"/ours\" }}]\n"
    );
    SignatureText {
        name: "shop.toml".to_owned(),
        text,
    }
}

fn alice() -> String {
    "alice".to_owned()
}

#[tokio::test]
async fn what_is_published_and_disabled_is_known_everywhere_and_audited() {
    let lab = Lab::start().await;
    let published = lab.keeper.publish(vec![file("ours")], alice()).await.unwrap();
    let ids = || vec!["env-file".to_owned(), "ours".to_owned()];
    let disabled = lab.keeper.disable(ids(), "export".to_owned(), alice()).await;
    let disabled = disabled.unwrap();
    assert!(disabled.changed_at_ms > published.changed_at_ms);
    assert_eq!(disabled.files, published.files);
    let other = join(&lab.server, &lab.trust, &lab.signer);
    let mut followed = other.known.subscribe();
    let known = followed
        .wait_for(|known| known.set.is_some())
        .await
        .unwrap()
        .clone();
    assert_eq!(known.set, Some(disabled));
    assert_eq!(known.catalogue.get("ours").unwrap().title, "Ours");
    let enabled = other.enable(vec!["ours".to_owned()], alice()).await.unwrap();
    assert_eq!(enabled.disabled("ours"), None);
    assert!(enabled.disabled("env-file").is_some());
    let withdrawn = other.publish(Vec::new(), alice()).await.unwrap();
    assert_eq!((withdrawn.files.len(), withdrawn.disabled.len()), (0, 1));
    let told: Vec<_> = lab.audited().await;
    let [
        SignatureChange::Published { signatures: 1, .. },
        SignatureChange::Disabled { ids: disabled, note },
        SignatureChange::Enabled { .. },
        SignatureChange::Published { signatures: 0, .. },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((disabled, note.as_str()), (&ids(), "export"));
}

#[tokio::test]
async fn what_is_wrong_changes_nothing() {
    let lab = Lab::start().await;
    let published = lab.keeper.publish(vec![file("ours")], alice()).await.unwrap();
    let wrong = lab
        .keeper
        .publish(vec![file("env-file")], alice())
        .await
        .unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("shop.toml:1: signature env-file: another signature has this id"),
        "{wrong}"
    );
    let twice = vec![file("one"), file("two")];
    let bad = BadSignatures::Twice("shop.toml".to_owned());
    assert_eq!(lab.keeper.publish(twice, alice()).await, Err(bad.into()));
    let not_disabled = Refusal::NotDisabled(vec!["ours".to_owned()]);
    assert_eq!(
        lab.keeper.enable(vec!["ours".to_owned()], alice()).await,
        Err(not_disabled)
    );
    assert_eq!(lab.keeper.bucket.held().await.unwrap().set, Some(published));
    assert_eq!(lab.audited().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_put_in_its_place_is_replaced_by_what_was_published() {
    let lab = Lab::start().await;
    let published = lab.keeper.publish(vec![file("ours")], alice()).await.unwrap();
    tokio::spawn(lab.keeper.clone().restore_lost());
    let bucket = lab.server.join().bus().bucket(subjects::RULES_BUCKET);
    let older = FleetSignatures {
        changed_at_ms: 1,
        ..FleetSignatures::default()
    };
    for value in [
        b"nothing".to_vec(),
        lab.signer.seal(&older, 0).unwrap(),
        Signer::default().seal(&older, 0).unwrap(),
    ] {
        bucket
            .write(Write::put(subjects::SIGNATURES_KEY, value))
            .await
            .unwrap();
        tokio::time::sleep(2 * RECHECK).await;
        assert_eq!(
            lab.keeper.bucket.held().await.unwrap().set,
            Some(published.clone())
        );
        assert_eq!(lab.keeper.known.borrow().set, Some(published.clone()));
    }
}
