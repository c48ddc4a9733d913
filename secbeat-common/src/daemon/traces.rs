//! The way of each ban as a trace, sent to an `OpenTelemetry` collector by OTLP over HTTP.
//!
//! A trace's id has 16 bytes, as a ban's has: they are the same, and the trace's first span has the last 8 of them. So every
//! daemon adds its part to a trace without a word about it on the bus, and who knows a ban, from the audit say, knows its trace.
//!
//! The environment says where to, by the variables of the `OpenTelemetry` specification; nothing is sent unless it does. Spans
//! wait in a queue of a bounded length, and are dropped rather than waited for.

use std::{
    borrow::Cow,
    env,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use async_trait::async_trait;
use opentelemetry::{
    InstrumentationScope, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, Status, TraceState},
};
pub use opentelemetry::{KeyValue, trace::SpanKind};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, SpanData, SpanProcessor as _},
};
use tracing::{info, warn};
use ureq::Agent;
use uuid::Uuid;

use super::http;

/// Where spans go. Any of them turns traces on.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// Says `true` to turn them off again.
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// File with the certificates to trust instead of the system's.
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// What a daemon calls itself, in place of its own name.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
/// How long a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a daemon waits for it.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Of a collector's answer, at most.
const MAX_ANSWER: u64 = 64 * 1024;

/// Takes the parts of traces. All clones are one; one that is made by default takes nothing.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<BatchSpanProcessor>>);

/// A part of a ban's way.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: &'static str,
    pub kind: SpanKind,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<KeyValue>,
    /// Why it led nowhere, if so.
    pub failure: Option<String>,
}

impl Traces {
    /// What the environment wants of `service`, of which this is `instance`.
    ///
    /// # Errors
    ///
    /// When it says what cannot be.
    pub fn from_env(service: &'static str, instance: &str) -> anyhow::Result<Self> {
        let is_off = env::var(DISABLED).is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        let Some(endpoint) = ENDPOINTS.iter().find_map(|name| env::var(name).ok()) else {
            return Ok(Self::default());
        };
        if is_off || endpoint.is_empty() {
            return Ok(Self::default());
        }
        let roots = http::roots(env::var_os(CERTIFICATE).as_deref().map(Path::new)).context(CERTIFICATE)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector(http::client(roots, PATIENCE)))
            .build()
            .context("the collector of traces (OTEL_EXPORTER_OTLP_*)")?;
        let mut resource = Resource::builder().with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ]);
        if env::var_os(SERVICE_NAME).is_none() {
            resource = resource.with_service_name(service);
        }
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource.build());
        info!(endpoint, "the ways of bans are traced");
        Ok(Self(Some(Arc::new(processor))))
    }

    #[must_use]
    pub const fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The whole way of `ban`, as far as who decides it sees it.
    pub fn whole(&self, ban: Uuid, part: Part) {
        self.add(ban, root(ban), SpanId::INVALID, part);
    }

    /// A part of the way of `ban`.
    pub fn part(&self, ban: Uuid, part: Part) {
        self.add(ban, RandomIdGenerator::default().new_span_id(), root(ban), part);
    }

    fn add(&self, ban: Uuid, id: SpanId, parent: SpanId, part: Part) {
        let Some(processor) = &self.0 else { return };
        let trace = TraceId::from_bytes(ban.into_bytes());
        processor.on_end(SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: part.kind,
            name: Cow::Borrowed(part.name),
            start_time: part.start,
            // Of two clocks one may be behind.
            end_time: part.end.max(part.start),
            attributes: part.attributes,
            dropped_attributes_count: 0,
            events: opentelemetry_sdk::trace::SpanEvents::default(),
            links: opentelemetry_sdk::trace::SpanLinks::default(),
            status: part.failure.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("secbeat").build(),
        });
    }

    /// Sends what waits. For a thread that may block, for a moment.
    pub fn end(&self) {
        if let Some(processor) = &self.0
            && let Err(error) = processor.shutdown_with_timeout(LAST_PATIENCE)
        {
            warn!(%error, "the last traces were not sent");
        }
    }
}

/// The first span of a ban's trace: of a UUID version 7 these bytes are random.
fn root(ban: Uuid) -> SpanId {
    let (_, low) = ban.as_u64_pair();
    SpanId::from_bytes(low.to_be_bytes())
}

/// The client that reaches the collector, on the processor's own thread.
#[derive(Debug)]
struct Collector(Agent);

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.run(request.map(|body| body.to_vec()))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}
