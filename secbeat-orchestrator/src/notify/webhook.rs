//! Receivers that are told by an HTTP POST.

use std::{path::PathBuf, time::Duration};

use axum::http::{HeaderName, HeaderValue, Uri};
use secbeat_daemon::{
    credentials::Secret,
    http::{Post, Poster},
};
use serde_json::Value;

use super::{
    entry::{NotifyEntry, Shape},
    message::Message,
    outcome::{Failure, Retry, Wrong},
    secret_file::SecretSource,
    shapes,
    template::Template,
    text::{cut, shown, without},
};

/// Time that one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const JSON: &str = "application/json";

#[derive(Debug)]
pub(super) struct WebhookReceiver {
    url: SecretSource,
    token: Option<SecretSource>,
    headers: Vec<(String, SecretSource)>,
    content_type: String,
    body: Body,
    ca_file: Option<PathBuf>,
}

#[derive(Debug)]
enum Body {
    Shape(Shape),
    Template(Box<Template>),
}

/// What one request takes.
struct Target {
    url: String,
    token: Option<String>,
    headers: Vec<(String, String)>,
}

impl WebhookReceiver {
    pub(super) fn new(entry: &NotifyEntry) -> Result<Self, Wrong> {
        let url = match (&entry.url, &entry.url_file) {
            (Some(_), Some(_)) => return Err(("url_file", "one of url and url_file has to go".to_owned())),
            (Some(url), None) => {
                check_url(&url.0).map_err(|why| ("url", why))?;
                SecretSource::Given(url.clone())
            }
            (None, Some(file)) => SecretSource::File(file.clone()),
            (None, None) if entry.shape == Shape::Pagerduty => {
                SecretSource::Given(Secret(PAGERDUTY.to_owned()))
            }
            (None, None) => return Err(("kind", "a webhook requires url or url_file".to_owned())),
        };
        let is_needed = matches!(entry.shape, Shape::Pagerduty | Shape::Gotify) && entry.template.is_none();
        if is_needed && entry.token_file.is_none() {
            return Err(("shape", "this one requires token_file".to_owned()));
        }
        if entry.template.is_some() && entry.shape != Shape::default() {
            return Err(("template", "one of template and shape has to go".to_owned()));
        }
        let content_type = content_type(entry)?;
        let body = match &entry.template {
            None => Body::Shape(entry.shape),
            Some(text) => {
                let is_json = content_type.contains("json");
                let template = Template::new(text, is_json).map_err(|why| ("template", why))?;
                Body::Template(Box::new(template))
            }
        };
        let is_ours = |name: &str| name.eq_ignore_ascii_case("content-type");
        let headers = entry.headers.iter().filter(|(name, _)| !is_ours(name));
        Ok(Self {
            url,
            token: entry.token_file.clone().map(SecretSource::File),
            headers: headers
                .map(|(name, value)| (name.clone(), SecretSource::Given(value.clone())))
                .collect(),
            content_type,
            body,
            ca_file: entry.ca_file.clone(),
        })
    }

    pub(super) fn tell(&self, message: &Message) -> Result<String, Failure> {
        let target = self.target().map_err(|error| Failure {
            why: format!("{error:#}"),
            retry: Retry::Later,
        })?;
        let told = self.post(&target, message);
        let told = told.map_err(|failure| Failure {
            why: target.redact(&failure.why),
            ..failure
        });
        told.map(|answer| target.redact(&answer))
    }

    fn target(&self) -> anyhow::Result<Target> {
        let url = self.url.read()?.0;
        check_url(&url).map_err(anyhow::Error::msg)?;
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| anyhow::Ok((name.clone(), value.read()?.0)));
        Ok(Target {
            url,
            token: self
                .token
                .as_ref()
                .map(SecretSource::read)
                .transpose()?
                .map(|token| token.0),
            headers: headers.collect::<anyhow::Result<_>>()?,
        })
    }

    fn post(&self, target: &Target, message: &Message) -> Result<String, Failure> {
        let never = |why: String| Failure {
            why,
            retry: Retry::Never,
        };
        let poster = Poster::new(self.ca_file.as_deref(), PATIENCE).map_err(|error| Failure {
            why: format!("{error:#}"),
            retry: Retry::Later,
        })?;
        let (url, bodies) = self.bodies(target, message).map_err(never)?;
        let headers = self.headers(target);
        let mut answered = String::new();
        for body in bodies {
            let post = Post {
                url: &url,
                headers: &headers,
                body: &body,
            };
            let answer = poster.post(&post).map_err(|why| Failure {
                why,
                retry: Retry::Later,
            })?;
            let said = cut(&shown(answer.body.trim()), 120);
            answered = match said.is_empty() {
                true => format!("status {}", answer.status),
                false => format!("status {}: {said}", answer.status),
            };
            let retry = match answer.status {
                200..=299 => continue,
                300..=399 => return Err(never(format!("{answered}; redirects are not followed"))),
                408 | 425 | 429 | 500..=599 => answer.retry_after_s.map_or(Retry::Later, Retry::After),
                _ => Retry::Never,
            };
            return Err(Failure { why: answered, retry });
        }
        Ok(answered)
    }

    fn headers(&self, target: &Target) -> Vec<(String, String)> {
        let mut headers = vec![("content-type".to_owned(), self.content_type.clone())];
        headers.extend(target.headers.iter().cloned());
        if let Some(token) = &target.token {
            match self.body {
                Body::Shape(Shape::Pagerduty) => {}
                Body::Shape(Shape::Gotify) => headers.push(("x-gotify-key".to_owned(), token.clone())),
                _ => headers.push(("authorization".to_owned(), format!("Bearer {token}"))),
            }
        }
        headers
    }

    /// Returns where to, and what: a request for each body.
    fn bodies(&self, target: &Target, message: &Message) -> Result<(String, Vec<String>), String> {
        let url = target.url.clone();
        let shape = match &self.body {
            Body::Template(template) => return Ok((url, vec![template.render(message)?])),
            Body::Shape(shape) => *shape,
        };
        let token = target.token.as_deref().unwrap_or_default();
        let (url, bodies) = match shape {
            Shape::GenericJson => (
                url,
                vec![serde_json::to_value(message).map_err(|error| error.to_string())?],
            ),
            Shape::Slack => (url, vec![shapes::slack(message)]),
            Shape::Discord => (url, vec![shapes::discord(message)]),
            Shape::Teams => (url, vec![shapes::teams(message)]),
            Shape::Ntfy => {
                let (server, topic) = topic(&url)?;
                (server, vec![shapes::ntfy(&topic, message)])
            }
            Shape::Gotify => (gotify_url(&url), vec![shapes::gotify(message)]),
            Shape::Pagerduty => (url, shapes::pagerduty(token, message)),
        };
        Ok((url, bodies.iter().map(Value::to_string).collect()))
    }
}

impl Target {
    /// `text` without what is secret here: receivers may repeat it.
    fn redact(&self, text: &str) -> String {
        let path = self.url.splitn(4, '/').nth(3).filter(|path| path.len() > 7);
        let values = self.headers.iter().map(|(_, value)| value.as_str());
        let secrets: Vec<_> = [self.url.as_str()]
            .into_iter()
            .chain(path)
            .chain(self.token.as_deref())
            .chain(values)
            .collect();
        without(text, &secrets)
    }
}

fn content_type(entry: &NotifyEntry) -> Result<String, Wrong> {
    let mut content_type = JSON.to_owned();
    for (name, value) in &entry.headers {
        let is_valid = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(&value.0).is_ok();
        if !is_valid {
            return Err((
                "headers",
                format!("invalid header `{name}`: its name or its value cannot be sent"),
            ));
        }
        if name.eq_ignore_ascii_case("content-type") {
            if entry.template.is_none() {
                return Err(("headers", "the shape says what content-type is".to_owned()));
            }
            content_type.clone_from(&value.0);
        }
    }
    Ok(content_type)
}

/// Says what is wrong with a URL, without it.
fn check_url(url: &str) -> Result<(), String> {
    let uri = url.parse::<Uri>().ok();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    let uri = uri.filter(|uri| is_http(uri) && uri.host().is_some_and(|host| !host.is_empty()));
    match uri {
        None => Err("invalid URL: expected one such as https://example.org/path".to_owned()),
        Some(uri)
            if uri
                .authority()
                .is_some_and(|authority| authority.as_str().contains('@')) =>
        {
            Err("a name and a password within the URL are not used: set token_file, or headers".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// The server of ntfy, and the topic, which is the last part of its URL.
fn topic(url: &str) -> Result<(String, String), String> {
    match url.trim_end_matches('/').rsplit_once('/') {
        Some((server, topic)) if !server.ends_with('/') && !topic.is_empty() => {
            Ok((format!("{server}/"), topic.to_owned()))
        }
        _ => Err("the URL names no topic: expected https://ntfy.example.org/TOPIC".to_owned()),
    }
}

fn gotify_url(url: &str) -> String {
    match url.trim_end_matches('/') {
        message if message.ends_with("/message") => message.to_owned(),
        server => format!("{server}/message"),
    }
}
