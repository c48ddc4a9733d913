//! What the fleet keeps on the bus.

use futures::future::join_all;
use secbeat_common::{
    digest::Digest,
    prefix::Prefix,
    sign::{SecretKey, Signer, Trust},
    sources::SourceLengths,
    subjects,
    wire::{
        Action, AllowEntry, AuditRecord, BlockCommand, Decision, Drops, EnforcedAt, EnforcedBans, Interest,
        Layer, Lease, NO_LEASE, PERMANENT, Presence, Reason, Scope, SeenEvent, Speaks, Spooled,
    },
};
use tokio::sync::watch as channel;
use uuid::Uuid;

use super::*;
use crate::{
    AllowBucket, AllowFollower, AllowReader, Allowlist, AuditLog, AuditQuery, BanBucket, ChangedDirectives,
    DirectiveBucket, EdgeBucket, Follower, Found, KeyState, LeaseBucket, Over, TelemetryFrom, TelemetryLog,
    Update, make_all,
};

const NOW_MS: i64 = 1_800_000_000_000;
const WINDOW: Duration = Duration::from_secs(60);

/// A fleet with a key, which made its buckets and logs.
struct Fleet {
    bus: Bus,
    trust: Trust,
    signer: Signer,
}

impl Fleet {
    async fn new(lab: &impl Lab) -> Self {
        let bus = lab.join().await;
        make_all(&bus, WINDOW).await.expect("making everything");
        let key = SecretKey::generate().unwrap();
        Self {
            bus,
            trust: [key.public()].into_iter().collect(),
            signer: Some(key).into(),
        }
    }

    fn bans(&self) -> BanBucket {
        BanBucket::new(&self.bus, self.trust.clone(), self.signer.clone())
    }

    fn allow(&self) -> AllowBucket {
        AllowBucket::new(&self.bus, self.trust.clone(), self.signer.clone())
    }

    /// Follows the allowlist.
    fn allowlist(&self) -> channel::Receiver<Option<Allowlist>> {
        let (known, list) = channel::channel(None);
        let reader = AllowReader::new(
            self.trust.clone(),
            crate::RefusedCommands::default(),
            Arc::default(),
        );
        tokio::spawn(AllowFollower::new(&self.bus, reader, || NOW_MS, known).run());
        list
    }
}

async fn listed(list: &mut channel::Receiver<Option<Allowlist>>, is_so: impl Fn(&Allowlist) -> bool) {
    let known = list.wait_for(|list| list.as_ref().is_some_and(&is_so));
    let known = tokio::time::timeout(PATIENCE, known).await;
    drop(known.expect("the allowlist in time").expect("an allowlist"));
}

fn network(n: u8) -> Prefix {
    format!("198.51.100.{n}").parse().unwrap()
}

fn ban(n: u8, lasts_ms: i64) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(n.into()),
        action: Action::Block,
        target: network(n),
        reason: Reason::Manual,
        note: String::new(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: NOW_MS,
        expires_at_ms: NOW_MS + lasts_ms,
        issuer: "alice".to_owned(),
        layer: Layer::Kernel,
        epoch: NO_LEASE,
    }
}

fn over(revision: u64, expires_at_ms: i64) -> KeyState {
    KeyState {
        revision,
        expires_at_ms,
        seen: revision,
    }
}

pub async fn a_ban_is_put_read_and_lifted(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let bans = fleet.bans();
    let command = ban(7, 3_600_000);
    assert_eq!(bans.get(&command.target).await, Ok((0, Found::Nothing)));
    assert_eq!(
        bans.put(&command, KeyState::default(), NOW_MS).await,
        Ok(WriteOutcome::Written(1))
    );
    assert_eq!(
        bans.get(&command.target).await,
        Ok((1, Found::Ban(command.clone())))
    );
    assert_eq!(
        bans.put(&command, KeyState::default(), NOW_MS).await,
        Ok(WriteOutcome::Conflict)
    );
    let held = over(1, command.expires_at_ms);
    assert_eq!(
        bans.lift(&command.target, command.id, held, NOW_MS).await,
        Ok(WriteOutcome::Written(2))
    );
    assert_eq!(
        bans.get(&command.target).await,
        Ok((2, Found::Lifted(command.id)))
    );
}

pub async fn a_ban_that_replaced_a_longer_one_stays_as_long(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let bans = fleet.bans();
    bans.put(&ban(7, 3_600_000), KeyState::default(), NOW_MS)
        .await
        .unwrap();
    let short = ban(7, 500);
    let held = over(1, NOW_MS + 3_600_000);
    assert_eq!(bans.put(&short, held, NOW_MS).await, Ok(WriteOutcome::Written(2)));
    // One that replaced nothing ends a second after its time at the latest.
    bans.put(&ban(8, 500), KeyState::default(), NOW_MS).await.unwrap();
    let ended = Ok((4, Found::Nothing));
    until("the other ban has ended", async || {
        bans.get(&network(8)).await == ended
    })
    .await;
    assert_eq!(bans.get(&network(7)).await, Ok((2, Found::Ban(short))));
}

pub async fn bans_are_put_together(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let bans = fleet.bans();
    let for_ever = BlockCommand {
        expires_at_ms: PERMANENT,
        ..ban(2, 0)
    };
    let commands = [
        (ban(1, 3_600_000), KeyState::default()),
        (for_ever.clone(), KeyState::default()),
    ];
    assert_eq!(
        bans.put_all(&commands, NOW_MS).await,
        Ok(WriteOutcome::Written(1))
    );
    assert_eq!(bans.get(&network(2)).await, Ok((2, Found::Ban(for_ever))));
    let again = [
        (ban(3, 3_600_000), KeyState::default()),
        (ban(1, 3_600_000), over(9, 0)),
    ];
    assert_eq!(bans.put_all(&again, NOW_MS).await, Ok(WriteOutcome::Conflict));
    assert_eq!(bans.get(&network(3)).await, Ok((0, Found::Nothing)));
}

pub async fn what_nobody_trusts_is_no_ban(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let intruder = BanBucket::new(&fleet.bus, Trust::default(), Signer::default());
    let command = ban(7, 3_600_000);
    intruder.put(&command, KeyState::default(), NOW_MS).await.unwrap();
    assert_eq!(fleet.bans().get(&command.target).await, Ok((1, Found::Nothing)));
    // One of another target, moved under this key.
    let other = fleet.signer.seal(&ban(8, 3_600_000), 0).unwrap();
    let bucket = fleet.bus.bucket(subjects::BANS_BUCKET);
    write(&bucket, Write::put(network(7).key(), other)).await;
    assert_eq!(fleet.bans().get(&network(7)).await, Ok((2, Found::Nothing)));
}

fn entry(n: u8, comment: &str) -> AllowEntry {
    AllowEntry {
        network: network(n),
        comment: comment.to_owned(),
        until_ms: None,
        added_by: "alice".to_owned(),
        added_at_ms: NOW_MS,
    }
}

pub async fn an_allowlist_is_followed(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let allow = fleet.allow();
    allow.put(&entry(1, "one"), Over::Anything, NOW_MS).await.unwrap();
    let mut list = fleet.allowlist();
    listed(&mut list, |list| list.entries.keys().eq([&network(1)])).await;
    allow.put(&entry(2, "two"), Over::Anything, NOW_MS).await.unwrap();
    listed(&mut list, |list| list.entries.len() == 2).await;
    allow
        .put(&entry(1, "changed"), Over::Anything, NOW_MS)
        .await
        .unwrap();
    listed(&mut list, |list| list.entries[&network(1)].comment == "changed").await;
    allow.remove(&entry(1, "changed")).await.unwrap();
    listed(&mut list, |list| list.entries.keys().eq([&network(2)])).await;
    // What nobody signed takes an entry's place, but not its effect.
    let bucket = fleet.bus.bucket(subjects::ALLOW_BUCKET);
    write(&bucket, Write::delete(network(2).key())).await;
    listed(&mut list, |list| list.lost == [network(2)].into()).await;
    let known = list.borrow().clone().unwrap();
    assert_eq!(known.entries[&network(2)], entry(2, "two"));
}

pub async fn an_entry_of_the_allowlist_is_restored_only_where_nothing_counts(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let allow = fleet.allow();
    allow.put(&entry(1, "new"), Over::Anything, NOW_MS).await.unwrap();
    allow.put(&entry(1, "lost"), Over::Nothing, NOW_MS).await.unwrap();
    let bucket = fleet.bus.bucket(subjects::ALLOW_BUCKET);
    assert_eq!(bucket.status().await.unwrap().last_revision, 1);
    allow.remove(&entry(1, "new")).await.unwrap();
    allow.put(&entry(1, "lost"), Over::Nothing, NOW_MS).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().last_revision, 2);
    // What nobody signed does not count.
    write(&bucket, Write::delete(network(2).key())).await;
    allow.put(&entry(2, "lost"), Over::Nothing, NOW_MS).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().last_revision, 4);
}

pub async fn an_allowlist_that_was_made_anew_tells_what_it_lost(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let allow = fleet.allow();
    allow.put(&entry(1, "one"), Over::Anything, NOW_MS).await.unwrap();
    allow.put(&entry(2, "two"), Over::Anything, NOW_MS).await.unwrap();
    let mut list = fleet.allowlist();
    listed(&mut list, |list| list.entries.len() == 2).await;
    lab.delete_bucket(subjects::ALLOW_BUCKET).await;
    make_all(&fleet.bus, WINDOW).await.unwrap();
    allow.put(&entry(2, "two"), Over::Anything, NOW_MS).await.unwrap();
    restart(lab, &fleet.bus).await;
    listed(&mut list, |list| {
        list.lost == [network(1)].into() && list.entries.len() == 2
    })
    .await;
    allow.put(&entry(1, "one"), Over::Nothing, NOW_MS).await.unwrap();
    listed(&mut list, |list| list.lost.is_empty()).await;
}

fn decision(n: u8, at_ms: i64, actor: &str, decision: Decision) -> AuditRecord {
    AuditRecord {
        at_ms,
        target: network(n),
        actor: actor.to_owned(),
        decision,
    }
}

fn unban(id: u128) -> Decision {
    Decision::Unban {
        command_id: Uuid::from_u128(id),
        strikes: 0,
    }
}

fn observed(events: Vec<SeenEvent>) -> Decision {
    Decision::Observed {
        reason: Reason::ErrorFlood,
        note: String::new(),
        expires_at_ms: NOW_MS,
        strikes: 0,
        evidence: None,
        layer: Layer::Kernel,
        events,
    }
}

async fn append(audit: &AuditLog, mut records: Vec<AuditRecord>) {
    audit.append(&mut records).await.expect("appending audit records");
    assert_eq!(records, []);
}

pub async fn audit_records_are_written_once(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let record = |n| decision(1, NOW_MS, "alice", unban(n));
    append(&audit, vec![record(1), record(2)]).await;
    // A batch of which one is there already, and one by itself.
    append(&audit, vec![record(2), record(3), record(4)]).await;
    append(&audit, vec![record(4)]).await;
    let query = AuditQuery {
        limit: 100,
        ..AuditQuery::default()
    };
    assert_eq!(audit.query(&query).await, Ok([1, 2, 3, 4].map(record).to_vec()));
}

pub async fn the_latest_audit_records_come_first_of_all(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let record = |n: i64| decision(1, NOW_MS + n, "alice", Decision::Disallow);
    let by_bob = |n: i64| decision(1, NOW_MS + n, "bob", Decision::Disallow);
    let mut records: Vec<_> = (0..200).map(record).collect();
    records[3] = by_bob(3);
    records[150] = by_bob(150);
    append(&audit, records).await;
    let query = |limit, actor: Option<&str>| AuditQuery {
        limit,
        actor: actor.map(str::to_owned),
        ..AuditQuery::default()
    };
    assert_eq!(
        audit.query(&query(3, None)).await,
        Ok([197, 198, 199].map(record).to_vec())
    );
    assert_eq!(audit.query(&query(1, Some("bob"))).await, Ok(vec![by_bob(150)]));
    // Found in stretches that grow from the end backwards.
    assert_eq!(
        audit.query(&query(2, Some("bob"))).await,
        Ok(vec![by_bob(3), by_bob(150)])
    );
    assert_eq!(
        audit.query(&query(9, Some("bob"))).await,
        Ok(vec![by_bob(3), by_bob(150)])
    );
    assert_eq!(audit.query(&query(0, None)).await, Ok(Vec::new()));
}

pub async fn audit_records_are_found_by_target_kind_actor_and_time(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let records = vec![
        decision(1, NOW_MS, "alice", unban(1)),
        decision(2, NOW_MS + 1, "bob", unban(2)),
        decision(2, NOW_MS + 2, "alice", Decision::Disallow),
        decision(3, NOW_MS + 3, "alice", Decision::Disallow),
    ];
    append(&audit, records.clone()).await;
    let find = async |query: AuditQuery| {
        let query = AuditQuery { limit: 100, ..query };
        let found = audit.query(&query).await.expect("a query");
        found
            .into_iter()
            .map(|record| record.at_ms - NOW_MS)
            .collect::<Vec<_>>()
    };
    let all = AuditQuery::default;
    assert_eq!(
        find(AuditQuery {
            targets: vec![network(2)],
            ..all()
        })
        .await,
        [1, 2]
    );
    assert_eq!(
        find(AuditQuery {
            targets: vec![network(3), network(1)],
            ..all()
        })
        .await,
        [0, 3]
    );
    assert_eq!(
        find(AuditQuery {
            targets: vec![network(9)],
            ..all()
        })
        .await,
        [0_i64; 0]
    );
    assert_eq!(
        find(AuditQuery {
            kind: Some("disallow".to_owned()),
            ..all()
        })
        .await,
        [2, 3]
    );
    assert_eq!(
        find(AuditQuery {
            actor: Some("bob".to_owned()),
            ..all()
        })
        .await,
        [1]
    );
    assert_eq!(
        find(AuditQuery {
            since_ms: NOW_MS + 2,
            ..all()
        })
        .await,
        [2, 3]
    );
}

pub async fn decisions_are_read_without_their_events(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    let event: SeenEvent = serde_json::from_str(
        r#"{"at_ms":1,"edge":"edge-1","client":"203.0.113.7","learned_from":"peer","answer":{"status":404,"method":"GET","user_agent":"curl/8"},"path":"/missing","host":"example.org"}"#,
    )
    .unwrap();
    let records = vec![
        decision(1, NOW_MS, "detector", observed(vec![event])),
        decision(1, NOW_MS + 1, "alice", Decision::Disallow),
        decision(1, NOW_MS + 2, "alice", unban(1)),
    ];
    append(&audit, records).await;
    let expected = vec![
        decision(1, NOW_MS, "detector", observed(Vec::new())),
        decision(1, NOW_MS + 2, "alice", unban(1)),
    ];
    // By the server's clock, not by that of the records.
    assert_eq!(audit.decisions_since(0).await, Ok(expected));
    assert_eq!(audit.decisions_since(NOW_MS * 2).await, Ok(Vec::new()));
}

pub async fn observed_bans_are_heard_from_now_on(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let audit = AuditLog::new(&fleet.bus);
    append(
        &audit,
        vec![decision(1, NOW_MS, "detector", observed(Vec::new()))],
    )
    .await;
    let mut heard = Box::pin(audit.observed_from_now().await.unwrap());
    let later = decision(2, NOW_MS, "detector", observed(Vec::new()));
    append(
        &audit,
        vec![decision(2, NOW_MS, "alice", unban(1)), later.clone()],
    )
    .await;
    assert_eq!(next(&mut heard).await, later);
}

fn lease(holder: &str) -> Lease {
    Lease {
        holder: Some(holder.to_owned()),
        since_ms: NOW_MS,
    }
}

pub async fn a_sign_of_life_ends_by_itself(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let leases = LeaseBucket::new(&fleet.bus);
    let mut follower = LeaseBucket::follow(&fleet.bus);
    assert!(matches!(follower.next().await, Update::Begin(_)));
    assert_eq!(follower.next().await, Update::Complete);
    for operation in [EntryKind::Put, EntryKind::Put, EntryKind::Purge] {
        if operation == EntryKind::Put {
            leases.renew("member.a", &lease("a")).await.unwrap();
        }
        match tokio::time::timeout(PATIENCE, follower.next())
            .await
            .expect("a change in time")
        {
            Update::Changed(entry) => assert_eq!(entry.kind, operation),
            other => panic!("{other:?} is no change"),
        }
    }
    leases.renew("member.a", &lease("a")).await.unwrap();
    leases.remove("member.a").await.unwrap();
    let bucket = fleet.bus.bucket(subjects::LEASES_BUCKET);
    assert_eq!(
        get(&bucket, "member.a").await,
        Some((EntryKind::Purge, String::new(), 5))
    );
}

pub async fn two_orchestrators_take_a_partition_once(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let buses = [fleet.bus, lab.join().await];
    let attempts = buses.iter().map(async |bus| {
        let leases = LeaseBucket::new(bus);
        leases.put("partition.3", &lease("x"), 0).await
    });
    let outcomes = join_all(attempts).await;
    let counted = |wanted| outcomes.iter().filter(|outcome| **outcome == Ok(wanted)).count();
    assert_eq!(
        (counted(WriteOutcome::Written(1)), counted(WriteOutcome::Conflict)),
        (1, 1),
        "{outcomes:?}"
    );
}

fn presence(edge_id: &str) -> Presence {
    Presence {
        edge_id: edge_id.to_owned(),
        boot_id: Uuid::from_u128(1),
        version: "0.1.0".to_owned(),
        speaks: Speaks::edge(),
        started_at_ms: NOW_MS,
        at_ms: NOW_MS,
        enforcement: EnforcedAt::Both,
        observe_only: false,
        interfaces: Vec::new(),
        bans: EnforcedBans {
            active: 0,
            fleet: Digest::default().extract(NOW_MS),
            set_aside: 0,
            unwritten: 0,
            synced: true,
        },
        allowlist: 0,
        drops: Drops { packets: 0, bytes: 0 },
        telemetry_lost: 0,
        spool: Spooled { batches: 0, bytes: 0 },
        bus_revision: 0,
    }
}

pub async fn edges_come_and_go(lab: &impl Lab) {
    let (orchestrator, edge) = (lab.join().await, lab.join().await);
    let records = EdgeBucket::new(&edge);
    assert_missing(&records.put(&presence("web-1")).await);
    let mut follower = EdgeBucket::follow(&orchestrator);
    assert!(matches!(follower.next().await, Update::Begin(_)));
    assert_eq!(follower.next().await, Update::Complete);
    records.put(&presence("web-1")).await.unwrap();
    let heard = async |follower: &mut Follower| match follower.next().await {
        Update::Changed(entry) => (entry.key, entry.kind, entry.value),
        other => panic!("{other:?} is no change"),
    };
    let (key, _, value) = heard(&mut follower).await;
    assert_eq!(key, "web-1");
    assert_eq!(
        serde_json::from_slice::<Presence>(&value).unwrap(),
        presence("web-1")
    );
    records.remove("web-1").await.unwrap();
    let (key, operation, _) = heard(&mut follower).await;
    assert_eq!((key.as_str(), operation), ("web-1", EntryKind::Delete));
    // No edge can take another's record away with its own.
    let bucket = edge.bucket(subjects::EDGES_BUCKET);
    assert_refused(&bucket.write(Write::purge("web-1", "")).await);
}

pub async fn directives_are_written_only_if_they_are_news(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    let directives = DirectiveBucket::new(&fleet.bus, fleet.signer.clone());
    let (interest, sources) = (Interest::default(), SourceLengths::default());
    let both = ChangedDirectives {
        interest: true,
        sources: true,
    };
    let none = ChangedDirectives {
        interest: false,
        sources: false,
    };
    assert_eq!(directives.keep(&interest, &sources).await, Ok(both));
    assert_eq!(directives.keep(&interest, &sources).await, Ok(none));
    let bucket = fleet.bus.bucket(subjects::RULES_BUCKET);
    assert_eq!(put(&bucket, subjects::INTEREST_KEY, "something else").await, 3);
    let changed = ChangedDirectives {
        interest: true,
        sources: false,
    };
    assert_eq!(directives.keep(&interest, &sources).await, Ok(changed));
    let held = bucket.get(subjects::INTEREST_KEY).await.unwrap().unwrap();
    let opened = fleet.trust.open::<Interest>(&held.value).unwrap();
    assert_eq!(opened.command, interest);
}

async fn report(bus: &Bus, partition: u16, payload: &str) {
    let subject = subjects::telemetry("web-1", partition);
    bus.publish(subject, payload.to_owned().into()).await.unwrap();
}

/// What comes of these partitions, from `from` on.
async fn telemetry(
    bus: &Bus,
    partitions: &[u16],
    from: TelemetryFrom,
    n: usize,
) -> (Created, Vec<(String, u64)>) {
    let log = TelemetryLog::new(bus);
    let partitions = partitions.iter().copied().collect();
    let (created, mut records) = log.read(&partitions, from).await.expect("reading telemetry");
    let read = take(&mut records, n).await;
    let shown = |record: &crate::Stored| {
        (
            String::from_utf8_lossy(&record.payload).into_owned(),
            record.sequence,
        )
    };
    (created, read.iter().map(shown).collect())
}

pub async fn telemetry_goes_on_where_it_was_read(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    for payload in ["1", "2", "3"] {
        report(&fleet.bus, 0, payload).await;
    }
    let all: Vec<_> = (0..subjects::PARTITIONS).collect();
    let (created, read) = telemetry(&fleet.bus, &all, TelemetryFrom::Time(0), 3).await;
    assert_eq!(
        read,
        [("1".to_owned(), 1), ("2".to_owned(), 2), ("3".to_owned(), 3)]
    );
    assert_eq!(TelemetryLog::new(&fleet.bus).created().await, Ok(created));
    let (_, read) = telemetry(&fleet.bus, &all, TelemetryFrom::After(created, 2), 1).await;
    assert_eq!(read, [("3".to_owned(), 3)]);
    report(&fleet.bus, 0, "4").await;
    let (_, read) = telemetry(&fleet.bus, &all, TelemetryFrom::After(created, 3), 1).await;
    assert_eq!(read, [("4".to_owned(), 4)]);
}

pub async fn telemetry_of_a_new_log_is_read_from_its_beginning(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    report(&fleet.bus, 0, "1").await;
    let (before, _) = telemetry(&fleet.bus, &[0], TelemetryFrom::Time(0), 1).await;
    restart(lab, &fleet.bus).await;
    assert_missing(&TelemetryLog::new(&fleet.bus).created().await);
    make_all(&fleet.bus, WINDOW).await.unwrap();
    report(&fleet.bus, 0, "2").await;
    let (after, read) = telemetry(&fleet.bus, &[0], TelemetryFrom::After(before, 1), 1).await;
    assert_ne!(after, before);
    assert_eq!(read, [("2".to_owned(), 1)]);
}

pub async fn telemetry_comes_by_partition(lab: &impl Lab) {
    let fleet = Fleet::new(lab).await;
    for partition in 0..4 {
        report(&fleet.bus, partition, &partition.to_string()).await;
    }
    let late = subjects::late_telemetry("web-1", 2);
    fleet.bus.publish(late, "late".into()).await.unwrap();
    let waf = subjects::waf_events("web-2");
    fleet.bus.publish(waf, "waf".into()).await.unwrap();
    let (_, read) = telemetry(&fleet.bus, &[2, 3], TelemetryFrom::Time(0), 4).await;
    let expected = [("2", 3), ("3", 4), ("late", 5), ("waf", 6)];
    assert_eq!(
        read,
        expected.map(|(payload, sequence)| (payload.to_owned(), sequence))
    );
}
