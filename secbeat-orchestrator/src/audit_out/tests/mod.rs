mod copies;
mod records;

use secbeat_common::{
    subjects::AuditPart,
    wire::{AuditRecord, Decision, Evidence, Layer, Reason},
};
use uuid::Uuid;

use super::record::OutRecord;

/// A ban by a rule, with what an attacker may have put into its note.
fn ban(n: u8, note: &str) -> AuditRecord {
    AuditRecord {
        at_ms: 1_795_168_807_000,
        target: format!("198.51.100.{n}").parse().unwrap(),
        actor: "orchestrator-1".to_owned(),
        decision: Decision::Ban {
            command_id: Uuid::from_u128(n.into()),
            reason: Reason::ErrorFlood,
            note: note.to_owned(),
            expires_at_ms: 1_795_169_107_000,
            strikes: 0,
            evidence: Some(Evidence {
                count: 50,
                window_ms: 60_000,
                at_ms: 1_795_168_806_998,
            }),
            layer: Layer::Kernel,
            edges: None,
            labels: Vec::new(),
            events: Vec::new(),
            list: None,
        },
    }
}

fn out(sequence: u64, record: &AuditRecord) -> OutRecord {
    OutRecord::parse(AuditPart::Bans, sequence, &serde_json::to_vec(record).unwrap()).unwrap()
}
