//! A receiver as its entry in the config describes it.

use secbeat_orchestrator_core::notices::Terms;

use super::{
    command::CommandReceiver,
    email::EmailReceiver,
    entry::{Kind, NotifyEntry, Shape},
    filter::Filter,
    message::Message,
    outcome::{Failure, Wrong},
    webhook::WebhookReceiver,
};

/// Whom to tell, of what, and how.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) filter: Filter,
    pub(super) terms: Terms,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Webhook(Box<WebhookReceiver>),
    Email(Box<EmailReceiver>),
    Command(CommandReceiver),
}

impl Receiver {
    /// Returns what `entries` describe.
    ///
    /// # Errors
    ///
    /// The key that does not do, as `notify[0].url`, and why.
    pub(crate) fn all(entries: &[NotifyEntry]) -> Result<Vec<Self>, (String, String)> {
        let mut receivers: Vec<Self> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let at = |(key, why): Wrong| (format!("notify[{index}].{key}"), why);
            if receivers.iter().any(|receiver| receiver.name == entry.name) {
                return Err(at(("name", format!("two receivers are named `{}`", entry.name))));
            }
            receivers.push(Self::new(entry).map_err(at)?);
        }
        Ok(receivers)
    }

    fn new(entry: &NotifyEntry) -> Result<Self, Wrong> {
        if entry.events.is_empty() && entry.report.is_none() {
            return Err((
                "events",
                "empty: name at least one event, or set `report`".to_owned(),
            ));
        }
        if entry.report.is_some() && entry.shape == Shape::Pagerduty && entry.template.is_none() {
            return Err((
                "report",
                "PagerDuty takes incidents, and a report is none".to_owned(),
            ));
        }
        refuse_strangers(entry)?;
        let way = match entry.kind {
            Kind::Webhook => Way::Webhook(Box::new(WebhookReceiver::new(entry)?)),
            Kind::Email => Way::Email(Box::new(EmailReceiver::new(entry)?)),
            Kind::Command => Way::Command(CommandReceiver::new(entry)?),
        };
        Ok(Self {
            name: entry.name.clone(),
            kind: entry.kind,
            filter: Filter::new(entry),
            terms: Terms {
                gather: entry.digest,
                max_per_hour: entry.max_per_hour.get(),
            },
            way,
        })
    }

    /// Tells it, and returns what it answered. Blocks, for some ten seconds at most.
    pub(super) fn tell(&self, message: &Message) -> Result<String, Failure> {
        match &self.way {
            Way::Webhook(webhook) => webhook.tell(message),
            Way::Email(email) => email.tell(message),
            Way::Command(command) => command.tell(message),
        }
    }
}

/// Keys of another kind would do nothing.
fn refuse_strangers(entry: &NotifyEntry) -> Result<(), Wrong> {
    let of = [
        ("url", Kind::Webhook, entry.url.is_some()),
        ("url_file", Kind::Webhook, entry.url_file.is_some()),
        ("shape", Kind::Webhook, entry.shape != Shape::default()),
        ("token_file", Kind::Webhook, entry.token_file.is_some()),
        ("headers", Kind::Webhook, !entry.headers.is_empty()),
        ("template", Kind::Webhook, entry.template.is_some()),
        ("server", Kind::Email, entry.server.is_some()),
        ("port", Kind::Email, entry.port.is_some()),
        ("tls", Kind::Email, entry.tls != super::entry::MailTls::default()),
        ("username", Kind::Email, entry.username.is_some()),
        ("password_file", Kind::Email, entry.password_file.is_some()),
        ("from", Kind::Email, entry.from.is_some()),
        ("to", Kind::Email, !entry.to.is_empty()),
        ("command", Kind::Command, !entry.command.is_empty()),
        ("timeout", Kind::Command, entry.timeout.is_some()),
    ];
    if entry.kind == Kind::Command && entry.ca_file.is_some() {
        return Err(("ca_file", "a command needs none".to_owned()));
    }
    match of.iter().find(|(_, kind, is_set)| *is_set && *kind != entry.kind) {
        None => Ok(()),
        Some((key, kind, _)) => {
            let (kind, own) = (kind.name(), entry.kind.name());
            Err((
                *key,
                format!("it is for kind = \"{kind}\", and this is \"{own}\""),
            ))
        }
    }
}

#[cfg(test)]
impl Receiver {
    /// The same under another name, which gathers for as long.
    pub(super) fn renamed(mut self, name: &str, gather: std::time::Duration) -> Self {
        name.clone_into(&mut self.name);
        self.terms.gather = gather;
        self
    }
}
