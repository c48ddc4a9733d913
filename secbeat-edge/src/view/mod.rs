//! The JSON of `/api/v1`, which the command line reads and prints. Views are made of the values of those who own a state,
//! and no owner knows them.

mod allowed;
mod bans;
mod detection;
mod enforcer;
mod inputs;
mod lists;
mod packets;
mod stats;
mod telemetry;

pub(crate) use self::{
    allowed::{AllowedView, Commented, views as allowed_views},
    bans::{BanRequest, BanView, UnbanRequest, Unbanned, outlasted},
    detection::DetectionView,
    enforcer::{EnforcerView, ModeRequest, ReconcileView},
    inputs::{AccessLogView, AuthzView, CertificateView, ProxyView},
    lists::ListsView,
    packets::{AttachmentView, PacketsView},
    stats::StatsView,
    telemetry::{EventsView, SpoolView, TelemetryView},
};
