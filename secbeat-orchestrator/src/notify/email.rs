//! Receivers that are told by mail.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use lettre::{
    SmtpTransport, Transport as _,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};
use uuid::Uuid;

use super::{
    entry::{MailTls, NotifyEntry},
    message::Message,
    outcome::{Failure, Retry, Wrong},
    secret_file::SecretSource,
    shapes,
    text::{cut, shown, without},
};

/// Time that the server may take for each of its answers.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct EmailReceiver {
    server: String,
    port: u16,
    tls: MailTls,
    login: Option<(String, SecretSource)>,
    from: Mailbox,
    to: Vec<Mailbox>,
    ca_file: Option<PathBuf>,
}

impl EmailReceiver {
    pub(super) fn new(entry: &NotifyEntry) -> Result<Self, Wrong> {
        let required = |key: &'static str| ("kind", format!("an email requires {key}"));
        let mailbox = |key: &'static str, text: &str| {
            let mailbox = text.parse::<Mailbox>();
            mailbox.map_err(|error| (key, format!("invalid mail address `{text}`: {error}")))
        };
        let login = match (&entry.username, &entry.password_file) {
            (None, None) => None,
            (Some(name), Some(file)) => Some((name.clone(), SecretSource::File(file.clone()))),
            (Some(_), None) => return Err(("username", "it requires password_file".to_owned())),
            (None, Some(_)) => return Err(("password_file", "it requires username".to_owned())),
        };
        if login.is_some() && entry.tls == MailTls::None {
            let why = "the password would cross the network in plain text: use \"starttls\" or \"tls\"";
            return Err(("tls", why.to_owned()));
        }
        if entry.to.is_empty() {
            return Err(required("to"));
        }
        let from = entry.from.as_deref().ok_or_else(|| required("from"))?;
        let to = entry.to.iter().map(|to| mailbox("to", to));
        Ok(Self {
            server: entry.server.clone().ok_or_else(|| required("server"))?,
            port: entry.port.unwrap_or(match entry.tls {
                MailTls::Starttls => 587,
                MailTls::Tls => 465,
                MailTls::None => 25,
            }),
            tls: entry.tls,
            login,
            from: mailbox("from", from)?,
            to: to.collect::<Result<_, _>>()?,
            ca_file: entry.ca_file.clone(),
        })
    }

    pub(super) fn tell(&self, message: &Message) -> Result<String, Failure> {
        let later = |error: anyhow::Error| Failure {
            why: format!("{error:#}"),
            retry: Retry::Later,
        };
        let password = self.login.as_ref().map(|(_, file)| file.read()).transpose();
        let password = password.map_err(later)?.map(|password| password.0);
        let transport = self.transport(password.as_deref()).map_err(later)?;
        let mail = self.mail(message).map_err(|error| Failure {
            why: format!("{error:#}"),
            retry: Retry::Never,
        })?;
        let sent = transport.send(&mail);
        let secrets: Vec<_> = password.as_deref().into_iter().collect();
        let shown = |text: &str| cut(&shown(&without(text, &secrets)), 200);
        match sent {
            Ok(answer) => {
                let said: Vec<_> = answer.message().collect();
                Ok(format!("{} {}", answer.code(), shown(&said.join(" "))))
            }
            Err(error) => Err(Failure {
                why: shown(&chain(&error)),
                retry: if error.is_permanent() {
                    Retry::Never
                } else {
                    Retry::Later
                },
            }),
        }
    }

    fn transport(&self, password: Option<&str>) -> anyhow::Result<SmtpTransport> {
        let host = nix::unistd::gethostname().unwrap_or_default();
        let host = host.to_string_lossy().into_owned();
        let mut builder = SmtpTransport::builder_dangerous(self.server.as_str())
            .port(self.port)
            .timeout(Some(PATIENCE))
            .hello_name(ClientId::Domain(if host.is_empty() {
                "localhost".to_owned()
            } else {
                host
            }))
            .tls(match self.tls {
                MailTls::Starttls => Tls::Required(self.parameters()?),
                MailTls::Tls => Tls::Wrapper(self.parameters()?),
                MailTls::None => Tls::None,
            });
        if let (Some((name, _)), Some(password)) = (&self.login, password) {
            builder = builder.credentials(Credentials::new(name.clone(), password.to_owned()));
        }
        Ok(builder.build())
    }

    fn parameters(&self) -> anyhow::Result<TlsParameters> {
        let mut builder = TlsParameters::builder(self.server.clone());
        if let Some(file) = &self.ca_file {
            let reading = || format!("reading certificates in {}", file.display());
            let pem = std::fs::read(file).with_context(reading)?;
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(Certificate::from_pem(&pem).with_context(reading)?);
        }
        builder.build().context("setting up TLS")
    }

    fn mail(&self, message: &Message) -> anyhow::Result<lettre::Message> {
        let domain = self.from.email.domain();
        // RFC 3834: nobody answers it by himself.
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(cut(&message.title, 150))
            .message_id(Some(format!("<{}@{domain}>", Uuid::new_v4())))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let text = format!(
            "{}\n\n-- \nSecBeat at {}, {}\n",
            shapes::all(message),
            message.orchestrator,
            message.at
        );
        Ok(mail.body(text)?)
    }
}

/// An error with what led to it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some repeat what led to them.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
