mod commands;
mod couriers;
mod entries;
mod mail;
mod texts;
mod webhooks;

use std::path::PathBuf;

use secbeat_common::wire::{PERMANENT, Reason};
use secbeat_daemon::geo::Geo;
use secbeat_orchestrator_core::notices::{
    Banned, Digest, Notice, Summary, Terms, Trouble, TroubleKind, Unbanned, What,
};

use super::{NotifyEntry, message::Message, receiver::Receiver};
use crate::clock::moment;

/// What an attacker would like to have in a message.
const HOSTILE: &str = "@everyone <!channel> <@U1> [x](https://evil.example) **b** `c` \"q\" \\ {{ 7*7 }}\r\nBcc: victim@example.org\u{1b}[2J\u{202e}";

/// The entries of a config.
fn entries(toml: &str) -> Result<Vec<NotifyEntry>, String> {
    #[derive(serde::Deserialize)]
    struct Config {
        notify: Vec<NotifyEntry>,
    }
    let config: Config = toml::from_str(toml).map_err(|error| error.message().to_owned())?;
    Ok(config.notify)
}

fn receiver(toml: &str) -> Receiver {
    let mut all = Receiver::all(&entries(&format!("[[notify]]\n{toml}")).unwrap()).unwrap();
    all.pop().unwrap()
}

fn wrong(toml: &str) -> (String, String) {
    Receiver::all(&entries(toml).unwrap()).unwrap_err()
}

fn ban(reason: Reason, actor: &str, note: &str) -> Notice {
    Notice {
        at_ms: 1_795_168_807_000,
        what: What::Banned(Banned {
            target: "198.51.100.7".parse().unwrap(),
            reason,
            actor: actor.to_owned(),
            note: note.to_owned(),
            expires_at_ms: PERMANENT,
            strikes: 0,
        }),
    }
}

fn unban(actor: &str, note: &str) -> Notice {
    Notice {
        at_ms: 1_795_168_807_000,
        what: What::Unbanned(Unbanned {
            target: "198.51.100.7".parse().unwrap(),
            actor: actor.to_owned(),
            note: note.to_owned(),
        }),
    }
}

fn begun(kind: TroubleKind, subject: &str, detail: &str) -> Notice {
    Notice {
        at_ms: 1_795_168_807_000,
        what: What::Begun {
            trouble: Trouble {
                kind,
                subject: subject.to_owned(),
            },
            detail: detail.to_owned(),
        },
    }
}

fn over(kind: TroubleKind, subject: &str) -> Notice {
    Notice {
        at_ms: 1_795_168_897_000,
        what: What::Over {
            trouble: Trouble {
                kind,
                subject: subject.to_owned(),
            },
            lasted_ms: 90_000,
        },
    }
}

fn summary(notices: impl IntoIterator<Item = Notice>) -> Summary {
    let mut digest = Digest::new(Terms {
        gather: std::time::Duration::ZERO,
        max_per_hour: 1,
    });
    for notice in notices {
        digest.add(notice, moment());
    }
    digest.take_all()
}

fn message(notices: impl IntoIterator<Item = Notice>) -> Message {
    Message::new(
        &summary(notices),
        "orchestrator-1",
        &Geo::default(),
        1_795_168_900_000,
    )
}

/// A message in which everything that others can choose is hostile.
fn hostile() -> Message {
    message([
        ban(Reason::Manual, HOSTILE, HOSTILE),
        unban(HOSTILE, HOSTILE),
        begun(TroubleKind::EdgeUnprotected, HOSTILE, HOSTILE),
    ])
}

/// A file with a secret, for nobody else to read.
fn secret(folder: &tempfile::TempDir, name: &str, secret: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.path().join(name);
    std::fs::write(&path, secret).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
