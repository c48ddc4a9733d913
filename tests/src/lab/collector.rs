//! A collector of OpenTelemetry's traces, which keeps them: OTLP over HTTP/1.1, decoded by OpenTelemetry's own schema.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use parking_lot::Mutex;
use prost::Message as _;

use crate::lab::netns::Namespace;

/// The port that is OTLP's over HTTP.
const PORT: u16 = 4318;

/// What has daemons in its namespace send traces there.
pub const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
/// And soon.
pub const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// A span, and which service sent it.
#[derive(Clone, Debug)]
pub struct Received {
    pub service: String,
    pub span: Span,
}

/// One that listens for as long as the test's process lives.
#[derive(Clone, Debug)]
pub struct Collector(Arc<Mutex<Vec<Received>>>);

impl Collector {
    /// Listens in `namespace`, on loopback.
    ///
    /// # Panics
    ///
    /// When it cannot.
    #[must_use]
    pub fn start(namespace: &Namespace) -> Self {
        let listener = listen(namespace);
        let received = Arc::default();
        let collector = Self(received);
        let taker = collector.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let taker = taker.clone();
                std::thread::spawn(move || while taker.take(&connection).is_ok() {});
            }
        });
        collector
    }

    /// The spans of one trace, in the order of their starts.
    #[must_use]
    pub fn trace(&self, id: &[u8]) -> Vec<Received> {
        let all = self.0.lock();
        let mut spans: Vec<_> = all
            .iter()
            .filter(|received| received.span.trace_id == id)
            .cloned()
            .collect();
        spans.sort_by_key(|received| received.span.start_time_unix_nano);
        spans
    }

    /// Takes a request, and answers it.
    fn take(&self, mut connection: &TcpStream) -> io::Result<()> {
        let mut from = BufReader::new(connection);
        let mut length = 0;
        let mut line = String::new();
        from.read_line(&mut line)?;
        if line.trim_end() != "POST /v1/traces HTTP/1.1" {
            return Err(io::Error::other(format!("not OTLP: {line}")));
        }
        loop {
            line.clear();
            if from.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                _ if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let request = ExportTraceServiceRequest::decode(&*body).map_err(io::Error::other)?;
        let mut all = self.0.lock();
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            let service = attribute(&resource.attributes, "service.name").unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            all.extend(spans.map(|span| Received {
                service: service.clone(),
                span,
            }));
        }
        connection.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )
    }
}

/// A collector that never answers.
///
/// # Panics
///
/// When it cannot listen.
#[must_use]
pub fn silent(namespace: &Namespace) -> TcpListener {
    listen(namespace)
}

fn listen(namespace: &Namespace) -> TcpListener {
    namespace
        .enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)))
        .expect("listening for traces")
}

/// A text among attributes.
#[must_use]
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
