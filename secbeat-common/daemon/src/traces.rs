//! The way of each ban as a trace, sent to an `OpenTelemetry` collector by OTLP over HTTP.
//!
//! A trace's id has 16 bytes, as a ban's has: they are the same, and the trace's root span has the last 8 of them. So every
//! daemon adds its spans to a trace without a word about it on the bus, and who knows a ban, from the audit say, knows its trace.
//!
//! The environment says where to, by the variables of the `OpenTelemetry` specification; nothing is sent unless it does. Spans
//! wait in a queue of a bounded length, and are dropped rather than waited for.

use std::{
    borrow::Cow,
    env,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use opentelemetry::{
    InstrumentationScope, Key, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, Status, TraceState},
};
pub use opentelemetry::{KeyValue, trace::SpanKind};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
        SpanProcessor as _,
    },
};
use tracing::{error, info, warn};
use ureq::{Agent, http::Uri};
use uuid::Uuid;

use super::http;

/// Where spans go, the one that counts first; either turns traces on.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
/// Says `true` to turn them off again.
const DISABLED: &str = "OTEL_SDK_DISABLED";
/// File with the certificates to trust instead of the system's.
const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const SERVICE_NAME: Key = Key::from_static_str("service.name");
/// What the SDK calls a service that nobody has named.
const UNNAMED: &str = "unknown_service";
/// Time that a collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time that the end of a daemon waits for it.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Of a collector's answer, at most.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Takes spans. All clones are one; one that is made by default takes nothing.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<BatchSpanProcessor>>);

/// A step of a ban's way.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: &'static str,
    pub kind: SpanKind,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<KeyValue>,
    /// The reason why it led nowhere, if so.
    pub failure: Option<String>,
}

/// Position of a span in its trace.
struct Place {
    id: SpanId,
    parent: SpanId,
    /// Whether another process sends the parent.
    is_remote: bool,
}

impl Traces {
    /// Returns what the environment wants of `service`, of which this is `instance`. If that cannot be, nothing is traced: bans
    /// do not depend on it.
    #[must_use]
    pub fn from_env(service: &'static str, instance: &str) -> Self {
        let endpoint = ENDPOINTS.iter().find_map(|name| Some((*name, variable(name)?)));
        let is_off = variable(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let Some((name, endpoint)) = endpoint.filter(|_| !is_off) else {
            return Self::default();
        };
        match processor(service, instance, &endpoint).context(name) {
            Ok((processor, collector)) => {
                info!(collector, "the ways of bans are traced");
                Self(Some(Arc::new(processor)))
            }
            Err(error) => {
                error!("nothing is traced: {error:#}");
                Self::default()
            }
        }
    }

    #[must_use]
    pub const fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The root span of the trace of `ban`.
    pub fn root(&self, ban: Uuid, span: Span) {
        let place = Place {
            id: root_of(ban),
            parent: SpanId::INVALID,
            is_remote: false,
        };
        self.add(ban, &place, span);
    }

    /// A span below the root, which is this process's too.
    pub fn child(&self, ban: Uuid, span: Span) {
        self.below_root(ban, false, span);
    }

    /// A span below the root, which is another process's.
    pub fn remote_child(&self, ban: Uuid, span: Span) {
        self.below_root(ban, true, span);
    }

    fn below_root(&self, ban: Uuid, is_remote: bool, span: Span) {
        let place = Place {
            id: RandomIdGenerator::default().new_span_id(),
            parent: root_of(ban),
            is_remote,
        };
        self.add(ban, &place, span);
    }

    fn add(&self, ban: Uuid, place: &Place, span: Span) {
        let Some(processor) = &self.0 else { return };
        let trace = TraceId::from_bytes(ban.into_bytes());
        processor.on_end(SpanData {
            span_context: SpanContext::new(trace, place.id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: place.parent,
            parent_span_is_remote: place.is_remote,
            span_kind: span.kind,
            name: Cow::Borrowed(span.name),
            start_time: span.start,
            end_time: span.end,
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.failure.map_or(Status::Unset, Status::error),
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

/// A variable that is set, and not to nothing.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns what sends to `endpoint`, and the collector's name there.
fn processor(
    service: &'static str,
    instance: &str,
    endpoint: &str,
) -> anyhow::Result<(BatchSpanProcessor, String)> {
    let url: Uri = endpoint.parse().context("no URL")?;
    ensure!(
        matches!(url.scheme_str(), Some("http" | "https")),
        "no URL such as http://collector.example:4318"
    );
    let host = url.host().context("it names no host")?;
    let collector = url
        .port()
        .map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let roots = http::roots(variable(CERTIFICATE).as_deref().map(Path::new)).context(CERTIFICATE)?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector {
            agent: http::client(roots, PATIENCE),
            is_away: AtomicBool::new(false),
        })
        .build()?;
    let stated = Resource::builder().build();
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ]);
    let name = stated.get(&SERVICE_NAME).map(|name| name.to_string());
    if name.is_none_or(|name| name.is_empty() || name.starts_with(UNNAMED)) {
        resource = resource.with_service_name(service);
    }
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    processor.set_resource(&resource.build());
    Ok((processor, collector))
}

/// The root span's id: of a UUID version 7 these bytes are random.
fn root_of(ban: Uuid) -> SpanId {
    let (_, low) = ban.as_u64_pair();
    SpanId::from_bytes(low.to_be_bytes())
}

/// The client that reaches the collector, on the processor's own thread.
#[derive(Debug)]
struct Collector {
    agent: Agent,
    /// Whether it did not take the last batch, which has been said.
    is_away: AtomicBool,
}

impl Collector {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &body[..]))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }

    /// Says when it goes, and when it is back.
    fn watch(&self, problem: Option<String>) {
        match problem {
            None if self.is_away.swap(false, Relaxed) => info!("the collector takes traces again"),
            Some(problem) if !self.is_away.swap(true, Relaxed) => {
                warn!("the collector takes no traces, which are dropped: {problem}");
            }
            None | Some(_) => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        self.watch(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        });
        Ok(answer?)
    }
}
