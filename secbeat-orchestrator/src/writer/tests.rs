use secbeat_bus::{
    Found, make_all,
    memory::{MemoryBus, MemoryServer},
};
use secbeat_common::{
    sign::{Signer, Trust},
    subjects,
};
use secbeat_orchestrator_core::writer::{Fate, Urgency, Write, WriteRequest};

use super::*;
use crate::samples::{ban, target};

/// A writer over a bus in memory.
struct Lab {
    server: MemoryServer,
    member: MemoryBus,
    writer: WriterHandle,
    inputs: mpsc::Receiver<Input>,
    bans: BanBucket,
    _sender: mpsc::Sender<Input>,
    _leases: watch::Sender<LeaseTable>,
}

impl Lab {
    async fn start() -> Self {
        let server = MemoryServer::new(now_ms());
        let member = server.join();
        make_all(&member.bus(), Duration::from_secs(60)).await.unwrap();
        let bans = BanBucket::new(&member.bus(), Trust::default(), Signer::default());
        let (sender, inputs) = mpsc::channel(1024);
        let (table, leases) = watch::channel(LeaseTable::default());
        let config = Config {
            bans: bans.clone(),
            revisions: SharedRevisions::default(),
            leases,
            inputs: sender.downgrade(),
        };
        let (writer, writing) = config.build();
        tokio::spawn(writing);
        Self {
            server,
            member,
            writer,
            inputs,
            bans,
            _sender: sender,
            _leases: table,
        }
    }

    fn request(&self, n: u8, write: Write, urgency: Urgency) {
        self.writer.tell(Event::Request(WriteRequest {
            target: target(n),
            write,
            urgency,
            basis: 0,
            shortens: false,
        }));
    }

    /// The next ban or unban that is done, by the number of its target.
    async fn done(&mut self) -> (u128, Fate) {
        match self.inputs.recv().await {
            Some(Input::Event(decider::Event::Done { id, fate })) => (id.as_u128(), fate),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ban_is_written_and_lifted() {
    let mut lab = Lab::start().await;
    let command = ban(1);
    lab.request(1, Write::Ban(Box::new(command.clone())), Urgency::Now);
    assert_eq!(lab.done().await, (1, Fate::Written { revision: 1 }));
    assert_eq!(
        lab.bans.get(&target(1)).await,
        Ok((1, Found::Ban(Box::new(command.clone()))))
    );
    let lift = Write::Lift {
        id: command.id,
        at_ms: now_ms(),
        expires_at_ms: command.expires_at_ms,
    };
    lab.request(1, lift, Urgency::Now);
    assert_eq!(lab.done().await, (1, Fate::Lifted));
    assert_eq!(lab.bans.get(&target(1)).await, Ok((2, Found::Lifted(command.id))));
}

#[tokio::test(start_paused = true)]
async fn a_ban_whose_acknowledgement_was_lost_is_written_once() {
    let mut lab = Lab::start().await;
    lab.member.faults().lose_acknowledgements(1);
    lab.request(1, Write::Ban(Box::new(ban(1))), Urgency::Now);
    assert_eq!(lab.done().await, (1, Fate::Written { revision: 1 }));
    let bucket = lab.server.join().bus().bucket(subjects::BANS_BUCKET);
    assert_eq!(bucket.status().await.unwrap().last_revision, 1);
}

#[tokio::test(start_paused = true)]
async fn a_ban_that_was_lost_on_its_way_is_written_again() {
    let mut lab = Lab::start().await;
    lab.member.faults().lose_writes(2);
    lab.request(1, Write::Ban(Box::new(ban(1))), Urgency::Now);
    assert_eq!(lab.done().await, (1, Fate::Written { revision: 1 }));
}

#[tokio::test(start_paused = true)]
async fn many_bans_are_written_together_and_one_by_one_where_the_server_takes_no_batches() {
    for takes_batches in [true, false] {
        let mut lab = Lab::start().await;
        lab.server.take_batches(takes_batches);
        for n in 1..=100 {
            lab.request(n, Write::Ban(Box::new(ban(n))), Urgency::Bulk);
        }
        let mut done = Vec::new();
        while done.len() < 100 {
            match lab.done().await {
                (n, Fate::Written { revision }) => done.push((n, revision)),
                other => panic!("{other:?}"),
            }
        }
        done.sort_unstable();
        let targets: Vec<_> = done.iter().map(|(n, _)| *n).collect();
        assert_eq!(targets, (1..=100).collect::<Vec<_>>());
        let mut revisions: Vec<_> = done.iter().map(|(_, revision)| *revision).collect();
        revisions.sort_unstable();
        assert_eq!(revisions, (1..=100).collect::<Vec<_>>(), "{takes_batches}");
    }
}
