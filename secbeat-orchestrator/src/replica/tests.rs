use std::sync::Arc;

use secbeat_bus::{
    Garbage, KeyState, RefusedCommands, Write, WriteOutcome,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::{
    sign::{SecretKey, Signer, Trust},
    wire::{Decision, Layer, Reason},
};
use uuid::Uuid;

use super::*;
use crate::{
    config::Config,
    samples::{HOUR_MS, ban, target},
};

/// A replica over a bus in memory, and another orchestrator that writes to it.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    bans: BanBucket,
    audit: AuditLog,
    inputs: mpsc::Receiver<Input>,
    revisions: SharedRevisions,
    restored: watch::Receiver<bool>,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Lab {
    /// Prepares what the bus holds before the replica starts.
    async fn start(prepare: impl AsyncFnOnce(&BanBucket, &AuditLog)) -> Self {
        let server = MemoryServer::new(now_ms());
        let other = server.join().bus();
        make_all(&other, Duration::from_secs(60)).await.unwrap();
        let key = SecretKey::generate().unwrap();
        let trust: Trust = [key.public()].into_iter().collect();
        let bans = BanBucket::new(&other, trust.clone(), Signer::from(Some(key)));
        let audit = AuditLog::new(&other);
        prepare(&bans, &audit).await;
        let member = server.join();
        let (sender, inputs) = mpsc::channel(16);
        let (restoring, restored) = watch::channel(false);
        let revisions = SharedRevisions::default();
        let replica = Replica {
            bus: member.bus(),
            clock: secbeat_bus::samples::clock(&member.bus()),
            inputs: sender,
            reader: CommandReader::new(trust, RefusedCommands::default(), Arc::new(Garbage::default())),
            revisions: revisions.clone(),
            rules: watch::channel(InForce::of(&Config::default())).1,
            memory: Duration::from_secs(24 * 3600),
            restored: restoring,
        };
        Self {
            server,
            member,
            bans,
            audit,
            inputs,
            revisions,
            restored,
            running: tokio::spawn(replica.run()),
        }
    }

    /// What the engine is told next.
    async fn told(&mut self) -> String {
        match self.inputs.recv().await {
            Some(Input::Event(event)) => shown(event),
            other => panic!("{other:?}"),
        }
    }
}

fn shown(event: Event) -> String {
    let bans = |bans: Vec<Written>| {
        let shown = bans
            .into_iter()
            .map(|ban| format!("{}@{}", ban.command.target, ban.revision));
        shown.collect::<Vec<_>>().join(" ")
    };
    let audit = |audit: Vec<AuditRecord>| {
        let shown = audit
            .into_iter()
            .map(|record| format!("{} {}", record.decision.kind(), record.target));
        shown.collect::<Vec<_>>().join(", ")
    };
    match event {
        Event::Restore {
            bans: held,
            audit: records,
            ..
        } => {
            format!("restore [{}] audit [{}]", bans(held), audit(records))
        }
        Event::Recheck {
            bans: held,
            lifted,
            audit: records,
        } => {
            let lifted: Vec<_> = lifted
                .iter()
                .map(|gone| format!("{}@{}", gone.target, gone.revision))
                .collect();
            format!(
                "recheck [{}] lifted [{}] audit [{}]",
                bans(held),
                lifted.join(" "),
                audit(records)
            )
        }
        Event::Banned(ban) => format!("banned {}", bans(vec![*ban])),
        Event::Lifted(gone) => format!("lifted {}@{}", gone.target, gone.revision),
        Event::Spoiled { target, revision } => format!("spoiled {target}@{revision}"),
        Event::Observed(record) => format!("observed {}", record.target),
        other => panic!("{other:?} is nothing that a replica tells"),
    }
}

async fn put(bans: &BanBucket, n: u8, over: u64) -> u64 {
    let over = KeyState {
        revision: over,
        seen: over,
        ..KeyState::default()
    };
    match bans.put(&ban(n), over, now_ms()).await {
        Ok(WriteOutcome::Written(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

async fn lift(bans: &BanBucket, n: u8, revision: u64) {
    let over = KeyState {
        revision,
        expires_at_ms: now_ms() + HOUR_MS,
        seen: revision,
    };
    let id = Uuid::from_u128(n.into());
    assert!(matches!(
        bans.lift(&target(n), id, over, now_ms()).await,
        Ok(WriteOutcome::Written(_))
    ));
}

async fn record(audit: &AuditLog, n: u8, decision: Decision) {
    let record = AuditRecord {
        at_ms: now_ms(),
        target: target(n),
        actor: "alice".to_owned(),
        decision,
    };
    audit.append(&mut vec![record]).await.unwrap();
}

fn unban(n: u8) -> Decision {
    Decision::Unban {
        list: None,
        command_id: Uuid::from_u128(n.into()),
        strikes: 0,
        note: String::new(),
    }
}

fn observed() -> Decision {
    Decision::Observed {
        reason: Reason::ErrorFlood,
        note: String::new(),
        expires_at_ms: now_ms() + HOUR_MS,
        strikes: 0,
        evidence: None,
        layer: Layer::Kernel,
        events: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_told_what_the_bus_remembers_and_then_every_change() {
    let mut lab = Lab::start(async |bans, audit| {
        put(bans, 1, 0).await;
        put(bans, 2, 0).await;
        lift(bans, 2, 2).await;
        record(audit, 2, unban(2)).await;
        record(audit, 3, Decision::Disallow).await;
    })
    .await;
    assert_eq!(
        lab.told().await,
        "restore [198.51.100.1/32@1] audit [unban 198.51.100.2/32]"
    );
    lab.restored.wait_for(|restored| *restored).await.unwrap();
    put(&lab.bans, 4, 0).await;
    assert_eq!(lab.told().await, "banned 198.51.100.4/32@4");
    lift(&lab.bans, 1, 1).await;
    assert_eq!(lab.told().await, "lifted 198.51.100.1/32@5");
    record(&lab.audit, 5, observed()).await;
    assert_eq!(lab.told().await, "observed 198.51.100.5/32");
    let held = lab.revisions.lock().of(&target(4));
    assert_eq!((held.revision, held.seen), (4, 5));
    assert_eq!(lab.revisions.lock().of(&target(1)).revision, 0);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_obeyed_spoils_a_ban() {
    let mut lab = Lab::start(async |bans, _| {
        put(bans, 1, 0).await;
    })
    .await;
    assert_eq!(lab.told().await, "restore [198.51.100.1/32@1] audit []");
    let bucket = lab.server.join().bus().bucket(BANS_BUCKET);
    bucket
        .write(Write::put(target(1).key(), "no command"))
        .await
        .unwrap();
    assert_eq!(lab.told().await, "spoiled 198.51.100.1/32@2");
    bucket.write(Write::delete(target(1).key())).await.unwrap();
    assert_eq!(lab.told().await, "spoiled 198.51.100.1/32@3");
    // Its key names no target.
    bucket.write(Write::put("nobody", "x")).await.unwrap();
    put(&lab.bans, 2, 0).await;
    assert_eq!(lab.told().await, "banned 198.51.100.2/32@5");
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_the_engine_is_told_what_it_missed() {
    let mut lab = Lab::start(async |bans, _| {
        put(bans, 1, 0).await;
        put(bans, 2, 0).await;
    })
    .await;
    assert_eq!(
        lab.told().await,
        "restore [198.51.100.1/32@1 198.51.100.2/32@2] audit []"
    );
    // Heard live, and once more afterwards, since a connection may have been dead for long when it ends.
    record(&lab.audit, 1, unban(1)).await;
    lab.member.disconnect();
    lift(&lab.bans, 2, 2).await;
    record(&lab.audit, 2, unban(2)).await;
    put(&lab.bans, 3, 0).await;
    lab.member.reconnect();
    assert_eq!(
        lab.told().await,
        "recheck [198.51.100.1/32@1 198.51.100.3/32@4] lifted [198.51.100.2/32@3] \
         audit [unban 198.51.100.1/32, unban 198.51.100.2/32]"
    );
    record(&lab.audit, 4, observed()).await;
    assert_eq!(lab.told().await, "observed 198.51.100.4/32");
}

#[tokio::test(start_paused = true)]
async fn the_audit_is_read_again_from_a_minute_before_the_last_change() {
    let mut lab = Lab::start(async |_, audit| record(audit, 1, unban(1)).await).await;
    assert_eq!(lab.told().await, "restore [] audit [unban 198.51.100.1/32]");
    tokio::time::advance(Duration::from_secs(300)).await;
    put(&lab.bans, 2, 0).await;
    assert_eq!(lab.told().await, "banned 198.51.100.2/32@1");
    lab.member.disconnect();
    record(&lab.audit, 3, unban(3)).await;
    lab.member.reconnect();
    assert_eq!(
        lab.told().await,
        "recheck [198.51.100.2/32@1] lifted [] audit [unban 198.51.100.3/32]"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_was_made_anew_is_read_from_its_first_revision() {
    let mut lab = Lab::start(async |bans, _| {
        put(bans, 1, 0).await;
        put(bans, 2, 0).await;
    })
    .await;
    lab.told().await;
    lab.server.delete(BANS_BUCKET);
    // The replica makes what is missing.
    lab.member.disconnect();
    lab.member.reconnect();
    assert_eq!(lab.told().await, "recheck [] lifted [] audit []");
    assert_eq!(lab.revisions.lock().of(&target(1)), Default::default());
    put(&lab.bans, 2, 0).await;
    assert_eq!(lab.told().await, "banned 198.51.100.2/32@1");
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_cannot_be_read_is_tried_again() {
    let mut lab = Lab::start(async |_, _| {}).await;
    assert_eq!(lab.told().await, "restore [] audit []");
    lab.member.disconnect();
    record(&lab.audit, 2, unban(2)).await;
    // Half a minute on its way: the audit falls silent before.
    lab.server.delay(Duration::from_secs(30));
    lab.member.reconnect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(lab.inputs.is_empty());
    lab.server.delay(Duration::ZERO);
    assert_eq!(
        lab.told().await,
        "recheck [] lifted [] audit [unban 198.51.100.2/32]"
    );
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_told_when_it_lacks_bans_that_the_bucket_has() {
    let server = MemoryServer::new(now_ms());
    let bus = server.join().bus();
    make_all(&bus, Duration::from_secs(60)).await.unwrap();
    let bucket = bus.bucket(BANS_BUCKET);
    let write = async || bucket.write(Write::put("v4.c6336401.32", "x")).await.unwrap();
    write().await;
    let (sender, mut inputs) = mpsc::channel(16);
    let (heard, stuck) = (Arc::new(AtomicU64::new(1)), Notify::new());
    tokio::spawn({
        let heard = heard.clone();
        async move { compare(&bus, &sender, &heard, &stuck).await }
    });
    tokio::time::sleep(LOOK * 5).await;
    assert!(inputs.is_empty());
    write().await;
    for is_up_to_date in [false, true] {
        match inputs.recv().await {
            Some(Input::Event(Event::UpToDate(told))) => assert_eq!(told, is_up_to_date),
            other => panic!("{other:?}"),
        }
        heard.store(2, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bucket_whose_changes_do_not_come_is_read_again() {
    let mut lab = Lab::start(async |_, _| {}).await;
    assert_eq!(lab.told().await, "restore [] audit []");
    // This change, and what comes after it, is an hour on its way.
    lab.server.delay(Duration::from_secs(3600));
    put(&lab.bans, 2, 0).await;
    lab.server.delay(Duration::ZERO);
    let told = match lab.inputs.recv().await {
        Some(Input::Event(Event::UpToDate(is_up_to_date))) => is_up_to_date,
        other => panic!("{other:?}"),
    };
    assert!(!told);
    assert_eq!(lab.told().await, "recheck [198.51.100.2/32@1] lifted [] audit []");
    assert!(matches!(
        lab.inputs.recv().await,
        Some(Input::Event(Event::UpToDate(true)))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_not_read_again_for_a_busy_engine() {
    let mut lab = Lab::start(async |_, _| {}).await;
    assert_eq!(lab.told().await, "restore [] audit []");
    for n in 1..=40 {
        put(&lab.bans, n, 0).await;
    }
    // More than wait for it.
    tokio::time::sleep(LOOK * 4).await;
    let (mut banned, mut others) = (0, Vec::new());
    while let Ok(Some(input)) = tokio::time::timeout(LOOK * 4, lab.inputs.recv()).await {
        match input {
            Input::Event(Event::Banned(_)) => banned += 1,
            Input::Event(Event::UpToDate(is_up_to_date)) => others.push(is_up_to_date),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((banned, others), (40, vec![false, true]));
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_engine_and_at_a_server_that_is_too_old() {
    let mut lab = Lab::start(async |_, _| {}).await;
    lab.told().await;
    lab.server.be_too_old();
    lab.member.disconnect();
    lab.member.reconnect();
    let error = lab.running.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the NATS server at memory is 2.10.0; SecBeat needs 2.11 or newer"
    );
    let lab = Lab::start(async |_, _| {}).await;
    drop(lab.inputs);
    assert!(lab.running.await.unwrap().is_ok());
}
