//! HTTP with a certificate authority: a connection for each request, of which an order needs a dozen.

use std::{
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::fmt::rfc2822;
use parking_lot::Mutex;
use secbeat_daemon::time::wall_ms;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::ring, pki_types::ServerName},
};

use super::super::{config::AcmeConfig, roots};

/// For one request, its connection included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer, in bytes. A chain of certificates has a few thousand.
const MAX_ANSWER: usize = 1024 * 1024;

/// Speaks with the server of a directory. Its clones share what they were told.
#[derive(Clone)]
pub(super) struct AcmeClient {
    tls: TlsConnector,
    wait_until_ms: Arc<Mutex<Option<i64>>>,
}

impl AcmeClient {
    /// # Errors
    ///
    /// Returns an error if there are no certificates to trust.
    pub(super) fn new(config: &AcmeConfig) -> anyhow::Result<Self> {
        let roots = match &config.ca {
            Some(path) => roots::from_file(path).context("proxy.acme.ca_file")?,
            None => roots::from_system(),
        };
        ensure!(
            !roots.is_empty(),
            "there is no certificate that could vouch for the directory's server; set proxy.acme.ca_file"
        );
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("setting up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config).into(),
            wait_until_ms: Arc::default(),
        })
    }

    /// Until when the server has asked to be left alone, with a refusal since this was asked last.
    pub(super) fn take_wait_until_ms(&self) -> Option<i64> {
        self.wait_until_ms.lock().take()
    }

    async fn ask(&self, mut request: Request<BodyWrapper<Bytes>>) -> anyhow::Result<Response<Full<Bytes>>> {
        let uri = std::mem::take(request.uri_mut());
        let is_query = *request.method() != Method::POST;
        let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!("invalid URL `{uri}` of the certificate authority: expected https://…");
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse::<Uri>()?;
        let host = HeaderValue::from_str(authority.as_str())?;
        request.headers_mut().insert(HOST, host);

        let name = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = authority.port_u16().unwrap_or(443);
        let connecting = || format!("connecting to {authority}");
        let stream = TcpStream::connect((name.as_str(), port))
            .await
            .with_context(connecting)?;
        let server = ServerName::try_from(name).with_context(connecting)?;
        let stream = self.tls.connect(server, stream).await.with_context(connecting)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .with_context(connecting)?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| anyhow!(error))?.to_bytes();
            anyhow::Ok(Response::from_parts(head, Full::new(body)))
        };
        let asking = || format!("asking {uri}");
        // What breaks the connection, the exchange tells as well; it may have all that it needs when that ends.
        let connection = async {
            let _ = connection.await;
            pending::<Infallible>().await
        };
        let response = tokio::select! {
            response = exchange => response.with_context(asking)?,
            never = connection => match never {},
        };
        if response.status().is_success() {
            return Ok(response);
        }
        self.note_wait(&response);
        let kind = response.headers().get(CONTENT_TYPE);
        let explains = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        ensure!(
            explains && !is_query,
            "asking {uri}: the server answers {}",
            response.status()
        );
        Ok(response)
    }

    fn note_wait(&self, response: &Response<Full<Bytes>>) {
        let asks = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let said = response.headers().get(RETRY_AFTER);
        let said = said.filter(|_| asks.contains(&response.status()));
        if let Some(until) = said.and_then(|said| wait_until_ms(said.to_str().ok()?, wall_ms())) {
            *self.wait_until_ms.lock() = Some(until);
        }
    }
}

/// Returns when `Retry-After` ends (RFC 9110, section 10.2.3): after so many seconds, or at a time.
fn wait_until_ms(said: &str, now_ms: i64) -> Option<i64> {
    let said = said.trim();
    match said.parse::<i64>() {
        Ok(seconds) => Some(now_ms.saturating_add(seconds.max(0).saturating_mul(1000))),
        Err(_) => Some(rfc2822::parse(said).ok()?.timestamp().as_millisecond()),
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let late = || {
                anyhow!(
                    "the certificate authority did not answer within {} s",
                    PATIENCE.as_secs()
                )
            };
            let asked = timeout(PATIENCE, client.ask(request)).await;
            let response = asked.map_err(|_| late()).flatten();
            response
                .map(Into::into)
                .map_err(|error| Error::Other(error.into()))
        })
    }
}

/// A time of the server as the edge has it.
pub(super) fn in_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::wait_until_ms;

    #[test]
    fn the_servers_word_on_waiting_is_understood_in_both_forms() {
        assert_eq!(wait_until_ms("120", 1000), Some(121_000));
        assert_eq!(wait_until_ms("-5", 1000), Some(1000));
        assert_eq!(wait_until_ms("99999999999999999999", 0), None);
        assert_eq!(wait_until_ms("Thu, 01 Jan 1970 00:01:00 GMT", 0), Some(60_000));
        assert_eq!(wait_until_ms("soon", 0), None);
    }
}
