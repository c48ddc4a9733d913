//! A GET from a server of somebody else, which may have sent the same before.

use std::{path::Path, time::Duration};

use ureq::{
    Agent, Body, Error, Proxy,
    http::{
        Response,
        header::{
            CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
            LOCATION,
        },
    },
};
use url::Url;

use super::{client_by, roots};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Gets what servers publish that the system's certificates, or those in a file, vouch for. It goes by the proxy that the environment
/// names (`HTTPS_PROXY`, `NO_PROXY`), but not to this host.
#[derive(Debug)]
pub struct Getter {
    through_proxy: Agent,
    direct: Agent,
    patience: Duration,
    /// Whether plain HTTP may be used to other hosts.
    insecure: bool,
}

/// What an earlier answer said of itself: the server need not send the same again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// It has what it had.
    Unchanged,
    New {
        body: Vec<u8>,
        validators: Validators,
    },
}

impl Getter {
    /// A client that waits for each whole answer as long as `patience`.
    ///
    /// # Errors
    ///
    /// Returns an error if `ca_file` has no certificate.
    pub fn new(ca_file: Option<&Path>, patience: Duration, insecure: bool) -> anyhow::Result<Self> {
        let roots = roots(ca_file)?;
        Ok(Self {
            through_proxy: client_by(Proxy::try_from_env(), roots.clone(), patience),
            direct: client_by(None, roots, patience),
            patience,
            insecure,
        })
    }

    /// Gets what is at `url`, unless it is what had these validators. It has at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// Why there is nothing to be used, without what the URL may have of a password.
    pub fn get(&self, url: &str, known: &Validators, max_bytes: u64) -> Result<Got, String> {
        let mut url = Url::parse(url).map_err(|error| format!("invalid URL: {error}"))?;
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            let response = self.ask(&url, known)?;
            let status = response.status().as_u16();
            match status {
                200 => return self.read(response, max_bytes),
                304 if *known != Validators::default() => return Ok(Got::Unchanged),
                301 | 302 | 303 | 307 | 308 => {
                    let place = text(response.headers(), &LOCATION);
                    let place = place.ok_or_else(|| format!("it answered {status} without a Location"))?;
                    let next = url.join(&place);
                    url = next.map_err(|error| format!("it redirects to an invalid URL: {error}"))?;
                }
                _ => return Err(format!("it answered {status}, and not 200")),
            }
        }
        Err(format!("it redirects more than {MAX_REDIRECTS} times"))
    }

    /// Whether it may be asked.
    fn check(&self, url: &Url) -> Result<(), String> {
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.insecure || is_this_host(url) => Ok(()),
            scheme => Err(format!(
                "{scheme}://{} is not encrypted: anyone on the way could change it",
                url.host_str().unwrap_or_default()
            )),
        }
    }

    fn ask(&self, url: &Url, known: &Validators) -> Result<Response<Body>, String> {
        let agent = if is_this_host(url) {
            &self.direct
        } else {
            &self.through_proxy
        };
        let mut request = agent.get(url.as_str());
        let sent = [
            (IF_NONE_MATCH, &known.etag),
            (IF_MODIFIED_SINCE, &known.last_modified),
        ];
        for (name, value) in sent {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.call().map_err(|error| self.why(&error))
    }

    fn read(&self, mut response: Response<Body>, max_bytes: u64) -> Result<Got, String> {
        let headers = response.headers();
        let validators = Validators {
            etag: text(headers, &ETAG),
            last_modified: text(headers, &LAST_MODIFIED),
        };
        let stated: Option<u64> = text(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let body = response.body_mut().with_config().limit(max_bytes).read_to_vec();
        let body = body.map_err(|error| match error {
            Error::BodyExceedsLimit(_) => format!("it has more than {max_bytes} bytes"),
            error => format!("the connection broke off: {}", self.why(&error)),
        })?;
        match stated {
            Some(stated) if stated != body.len() as u64 => Err(format!(
                "the connection broke off: {} of {stated} bytes came",
                body.len()
            )),
            _ => Ok(Got::New { body, validators }),
        }
    }

    fn why(&self, error: &Error) -> String {
        match error {
            Error::Timeout(_) => format!("no answer within {} s", self.patience.as_secs_f64()),
            Error::BadUri(_) | Error::Http(_) => "the URL is invalid".to_owned(),
            Error::HostNotFound => "there is no host of that name".to_owned(),
            error => error.to_string(),
        }
    }
}

/// Whether `url` is one of this host's own servers.
fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    /// Longest header that is kept, in bytes.
    const LONGEST: usize = 512;
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
}
