//! SIGHUP: what a running orchestrator takes over from a changed config.

use secbeat_common::prefix::Prefix;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::{
    config::{ApiConfig, Config},
    token::Token,
};

/// Takes over what can be without a restart, and says what cannot.
#[derive(Debug)]
pub(crate) struct Reloader {
    /// What the orchestrator runs with.
    running: Config,
    tokens: watch::Sender<Vec<Token>>,
}

impl Reloader {
    pub(crate) fn new(running: &Config) -> (Self, watch::Receiver<Vec<Token>>) {
        let (tokens, known) = watch::channel(running.api.token.clone());
        let running = running.clone();
        (Self { running, tokens }, known)
    }

    /// Takes over the tokens of `changed`, or nothing if they do not fit where the API listens.
    pub(crate) fn reload(&mut self, changed: anyhow::Result<Config>) {
        let changed = match changed {
            Ok(changed) => changed,
            Err(error) => return error!("the config cannot be used, and nothing changes: {error:#}"),
        };
        let waiting = waiting(&self.running, &changed);
        let api = ApiConfig {
            token: changed.api.token,
            ..self.running.api.clone()
        };
        if let Some((key, why)) = api.contradiction() {
            return error!("the config's tokens cannot be used, and nothing changes: {key}: {why}");
        }
        let tokens = api.token.len();
        self.tokens.send_replace(api.token.clone());
        self.running.api = api;
        info!(tokens, "the config was read again: its tokens are in use");
        if !waiting.is_empty() {
            let waiting = waiting.join(", ");
            warn!("the config has changed in {waiting}: that takes a restart");
        }
    }
}

/// The tables and keys that a restart would change.
fn waiting(running: &Config, changed: &Config) -> Vec<&'static str> {
    fn shown(config: &Config) -> [(&'static str, String); 11] {
        let Config {
            api,
            trusted_proxies,
            nats,
            detect,
            rules,
            ban,
            protect,
            edges,
            evidence,
            audit,
            notify: _,
            cleanup_interval,
        } = config;
        let api = ApiConfig {
            token: Vec::new(),
            ..api.clone()
        };
        let proxies: Vec<String> = trusted_proxies.iter().map(Prefix::to_string).collect();
        [
            ("[api]", format!("{api:?}")),
            ("trusted_proxies", format!("{proxies:?}")),
            ("[nats]", format!("{nats:?}")),
            ("[detect]", format!("{detect:?}")),
            ("[[rule]]", format!("{rules:?}")),
            ("[ban]", format!("{ban:?}")),
            ("[protect]", format!("{protect:?}")),
            ("[edges]", format!("{edges:?}")),
            ("[evidence]", format!("{evidence:?}")),
            ("[audit]", format!("{audit:?}")),
            ("cleanup_interval", format!("{cleanup_interval:?}")),
        ]
    }
    // Its secrets are shown to nobody.
    let notify = (running.notify != changed.notify).then_some("[[notify]]");
    let (running, changed) = (shown(running), shown(changed));
    let both = running.into_iter().zip(changed);
    both.filter(|((_, before), (_, after))| before != after)
        .map(|((name, _), _)| name)
        .chain(notify)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_takes_a_restart_is_named() {
        let running = config("cleanup_interval = \"5m\"\n[ban]\nduration = \"5m\"");
        for (text, expected) in [
            ("", vec![]),
            ("[ban]\nduration = \"300s\"", vec![]),
            (
                "[ban]\nduration = \"1h\"\n[detect]\nmax_sources = 7",
                vec!["[detect]", "[ban]"],
            ),
            ("[api]\nlisten = \"127.0.0.1:3031\"", vec!["[api]"]),
            ("cleanup_interval = \"1m\"", vec!["cleanup_interval"]),
            (
                "[[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://a.example/\"",
                vec!["[[notify]]"],
            ),
        ] {
            assert_eq!(waiting(&running, &config(text)), expected, "{text}");
        }
    }

    #[test]
    fn tokens_stay_where_they_cannot_go() {
        let hash = "sha256:".to_owned() + &"0".repeat(64);
        let token =
            |name: &str| format!("[[api.token]]\nname = \"{name}\"\nrole = \"read\"\nhash = \"{hash}\"\n");
        let public = "[api]\nlisten = \"192.0.2.1:3030\"\ninsecure = true\n";
        let (mut reloader, known) = Reloader::new(&config(&format!("{public}{}", token("a"))));
        let names = || -> Vec<String> {
            let tokens = known.borrow();
            tokens
                .iter()
                .map(|token| token.name.as_str().to_owned())
                .collect()
        };
        reloader.reload(Ok(config(&format!("{public}{}{}", token("b"), token("c")))));
        assert_eq!(names(), ["b", "c"]);
        // It still listens for everybody.
        reloader.reload(Ok(config("")));
        assert_eq!(names(), ["b", "c"]);
        reloader.reload(Err(anyhow::anyhow!("no such file")));
        assert_eq!(names(), ["b", "c"]);
    }
}
