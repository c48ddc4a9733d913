//! Views of the REST API and the command line: the JSON of `/api/v1`, made of the cores' values.

mod alerts;
mod audit_copies;
mod bans;
mod bus;
mod change;
mod edges;
mod feeds;
mod findings;
mod leases;
mod lists;
mod notify;
mod overview;
mod propagation;
mod protection;
mod report;
mod rules;
mod signatures;
mod source;
mod stats;
mod telemetry;

pub(crate) use self::source::{OnFeed, tell};
pub use self::{
    alerts::{Alert, alerts},
    audit_copies::AuditCopyView,
    bans::{BanPage, BanView, Fate, Imported, ROOM, Refused, refusal, refusal_code},
    bus::{BusServerView, BusTroubleView},
    change::{Change, EventView},
    edges::{AgreementView, FleetEdge, Standing, StateView},
    feeds::{FeedState, FeedTestView, FeedTroubleView, FeedView},
    findings::{FindingView, Outcome},
    leases::{DifferingView, LeasesView, PartitionView},
    lists::list,
    notify::NotifyView,
    overview::{EdgeGlance, LatestBan, NearView, Overview, RuleGlance, Series},
    propagation::{CommandView, EdgeTimes, EnforcedView, PropagationView, ReasonView},
    report::{Bar, NameCount, Report, ReportStep, RuleReport},
    rules::RuleView,
    signatures::{DisabledView, Origin, PublishedView, SignatureAgreement, SignatureView, signature_change},
    source::{SourceView, render},
    stats::{ApiStats, AuditView, Outcomes, SignatureStats, Stats},
    telemetry::EdgeView,
};
