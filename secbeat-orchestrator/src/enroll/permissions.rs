//! Permissions of a member on the bus: exactly what its daemon does.
//!
//! An edge publishes what it saw and what it did under its own name, and reads what is meant for all edges. It can write no
//! ban, read no telemetry, and delete or purge nothing but its own heartbeat. No permission of NATS can keep anyone who may read a
//! stream from having a stored message delivered onto any subject: against that, commands are signed
//! ([`secbeat_common::sign`]).

use secbeat_common::subjects::{
    self, ACKS_ALL, ALLOW_BUCKET, AuditPart, BANS_BUCKET, EDGES_BUCKET, FEEDS_BUCKET, LEASES_BUCKET,
    REPORTS_BUCKET, RULES_BUCKET, TELEMETRY_STREAM,
};
use secbeat_daemon::credentials::Role;

use super::roster::Member;

/// Subjects on which a user may publish and subscribe.
pub(super) struct Permissions {
    pub(super) publish: Vec<String>,
    pub(super) subscribe: Vec<String>,
}

pub(super) fn of(Member { name, role, .. }: &Member) -> Permissions {
    match role {
        Role::Edge => edge(name),
        Role::Orchestrator => orchestrator(name),
    }
}

fn edge(name: &str) -> Permissions {
    let mut publish = vec![
        subjects::telemetry_by(name),
        subjects::waf_events(name),
        subjects::service_events(name),
        subjects::acks(name),
        subjects::presence(name),
        // Whether there is one, before telemetry is sent.
        api(&format!("STREAM.INFO.{TELEMETRY_STREAM}")),
        api(&format!("STREAM.INFO.{}", stream_of(EDGES_BUCKET))),
    ];
    // The leases say whether anybody decides.
    for bucket in [
        BANS_BUCKET,
        ALLOW_BUCKET,
        RULES_BUCKET,
        FEEDS_BUCKET,
        LEASES_BUCKET,
    ] {
        publish.extend(reading(&stream_of(bucket)));
    }
    Permissions {
        publish,
        subscribe: vec![format!("{}.>", subjects::inbox(name))],
    }
}

fn orchestrator(name: &str) -> Permissions {
    // What the server can do, before buckets are made.
    let mut publish = vec![api("INFO")];
    publish.extend(AuditPart::ALL.map(AuditPart::all));
    for bucket in [
        BANS_BUCKET,
        ALLOW_BUCKET,
        RULES_BUCKET,
        FEEDS_BUCKET,
        LEASES_BUCKET,
        REPORTS_BUCKET,
    ] {
        publish.push(format!("$KV.{bucket}.>"));
    }
    let buckets = [
        BANS_BUCKET,
        ALLOW_BUCKET,
        RULES_BUCKET,
        FEEDS_BUCKET,
        LEASES_BUCKET,
        EDGES_BUCKET,
        REPORTS_BUCKET,
    ];
    let streams = AuditPart::ALL.map(AuditPart::stream).into_iter();
    let streams = streams.chain([TELEMETRY_STREAM]).map(str::to_owned);
    for stream in streams.chain(buckets.map(stream_of)) {
        for change in ["CREATE", "UPDATE"] {
            publish.push(api(&format!("STREAM.{change}.{stream}")));
        }
        publish.extend(reading(&stream));
    }
    Permissions {
        publish,
        subscribe: vec![format!("{}.>", subjects::inbox(name)), ACKS_ALL.to_owned()],
    }
}

/// Returns what it takes to read a stream.
fn reading(stream: &str) -> Vec<String> {
    vec![
        api(&format!("STREAM.INFO.{stream}")),
        api(&format!("CONSUMER.CREATE.{stream}.>")),
        api(&format!("CONSUMER.CREATE.{stream}")),
        api(&format!("CONSUMER.INFO.{stream}.*")),
        api(&format!("CONSUMER.DELETE.{stream}.*")),
        api(&format!("DIRECT.GET.{stream}.>")),
        api(&format!("STREAM.MSG.GET.{stream}")),
        // Answers that keep the server's pace.
        format!("$JS.FC.{stream}.>"),
    ]
}

fn api(request: &str) -> String {
    format!("$JS.API.{request}")
}

fn stream_of(bucket: &str) -> String {
    format!("KV_{bucket}")
}
