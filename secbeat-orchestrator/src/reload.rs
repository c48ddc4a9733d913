//! SIGHUP: what a running orchestrator takes over from a changed config.

use std::{sync::Arc, time::Duration};

use secbeat_bus::{Bus, broker::broker, make_all};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::reload::{RefusedConfig, Reloads};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use crate::{
    config::{ApiConfig, Config},
    feeds::Entries,
    rules::InForce,
    token::Token,
};

/// How long NATS may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes over what can be without a restart, and says what cannot.
#[derive(Debug)]
pub(crate) struct Reloader {
    /// What the orchestrator runs with.
    running: Config,
    tokens: watch::Sender<Vec<Token>>,
    rules: watch::Sender<InForce>,
    feeds: Entries,
    reloads: Reloads,
    bus: Bus,
}

/// What follows the tokens and the rules in use.
type Followers = (watch::Receiver<Vec<Token>>, watch::Receiver<InForce>);

impl Reloader {
    pub(crate) fn new(running: &Config, bus: Bus) -> (Self, Followers) {
        let (tokens, known) = watch::channel(running.api.token.clone());
        let (rules, in_force) = watch::channel(InForce::of(running));
        let feeds = Entries::new(Arc::new(running.feeds.clone()));
        let running = running.clone();
        let reloader = Self {
            running,
            tokens,
            rules,
            feeds,
            reloads: Reloads::default(),
            bus,
        };
        (reloader, (known, in_force))
    }

    /// The feeds of the config, as they are in use.
    pub(crate) fn feeds(&self) -> Entries {
        self.feeds.clone()
    }

    /// Returns the config that was refused last, until one is taken over.
    pub(crate) fn refused(&self) -> watch::Receiver<Option<RefusedConfig>> {
        self.reloads.refused()
    }

    /// Takes over the tokens, the rules and the feeds of `changed`, or nothing if they do not fit the rest of what the orchestrator runs with.
    pub(crate) async fn reload(&mut self, changed: anyhow::Result<Config>) {
        let taken = match changed {
            Ok(changed) => self.take_over(changed).await,
            Err(error) => Err(format!("{error:#}")),
        };
        let taken = taken.as_ref().copied().map_err(String::as_str);
        self.reloads.note(taken);
        if let Err(why) = taken {
            error!("the config cannot be used, and nothing changes: {why}");
        }
    }

    /// Takes `changed` over, or returns the key that does not fit and why.
    async fn take_over(&mut self, changed: Config) -> Result<(), String> {
        let waiting = waiting(&self.running, &changed);
        let next = Config {
            api: ApiConfig {
                token: changed.api.token,
                ..self.running.api.clone()
            },
            rules: changed.rules,
            feeds: changed.feeds,
            ..self.running.clone()
        };
        if let Some((key, why)) = next.api.contradiction() {
            return Err(format!("{key}: {why}"));
        }
        if let Some((key, why)) = next.contradiction_of_rules() {
            let table = format!("[{}]", key.split('.').next().unwrap_or_default());
            let hint = match waiting.contains(&table.as_str()) {
                true => format!("; the change of {table} takes a restart"),
                false => String::new(),
            };
            return Err(format!("{key}: {why}{hint}"));
        }
        let tokens = next.api.token.len();
        self.tokens.send_replace(next.api.token.clone());
        let are_new = format!("{:?}", self.running.rules) != format!("{:?}", next.rules);
        let has_new_feeds = format!("{:?}", self.running.feeds) != format!("{:?}", next.feeds);
        self.running = next;
        info!(tokens, "config reloaded");
        if has_new_feeds {
            let feeds = self.running.feeds.clone();
            info!(feeds = feeds.len(), "the config's feeds are in use");
            self.feeds.send_replace(Arc::new(feeds));
        }
        if are_new {
            self.replace_rules().await;
        } else if has_new_feeds {
            // The others are told. No telemetry is read again, so nobody is woken.
            self.rules.send_if_modified(|in_force| {
                *in_force = InForce::of(&self.running);
                false
            });
        }
        if !waiting.is_empty() {
            let waiting = waiting.join(", ");
            warn!("the config has changed in {waiting}: that takes a restart");
        }
        Ok(())
    }

    async fn replace_rules(&self) {
        let rules = InForce::of(&self.running);
        // A longer window needs a longer memory of the bus. Where it is away, the replica sees to it once it is back.
        let made = tokio::time::timeout(PATIENCE, make_all(&self.bus, rules.window)).await;
        if !matches!(made, Ok(Ok(()))) {
            debug!(
                "cannot have {} remember as much as the rules need yet: {made:?}",
                broker()
            );
        }
        let count = rules.decided.detect.rules.len();
        self.rules.send_replace(rules);
        info!(
            rules = count,
            "the config's rules are in force: telemetry of their longest window is read again"
        );
    }
}

/// The tables and keys that a restart would change.
fn waiting(running: &Config, changed: &Config) -> Vec<&'static str> {
    fn shown(config: &Config) -> [(&'static str, String); 12] {
        let Config {
            api,
            trusted_proxies,
            nats,
            detect,
            rules: _,
            ban,
            protect,
            edges,
            evidence,
            audit,
            notify: _,
            geo,
            crawlers,
            feeds: _,
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
            ("[ban]", format!("{ban:?}")),
            ("[protect]", format!("{protect:?}")),
            ("[edges]", format!("{edges:?}")),
            ("[evidence]", format!("{evidence:?}")),
            ("[audit]", format!("{audit:?}")),
            ("[geo]", format!("{geo:?}")),
            ("[crawlers]", format!("{crawlers:?}")),
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
    use secbeat_bus::memory::MemoryServer;

    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn reloader(text: &str) -> (Reloader, Followers) {
        Reloader::new(&config(text), MemoryServer::new(0).join().bus())
    }

    const RULE: &str = "[[rule]]\nname = \"logins\"\ncounts = \"errors\"\npaths = [\"/login\"]\nthreshold = 7\nwindow = \"2m\"\n";

    #[tokio::test]
    async fn rules_are_replaced_together_or_not_at_all() {
        let (mut reloader, (_, mut rules)) = reloader("[ban]\nmax_duration = \"1h\"");
        let names = |rules: &watch::Receiver<InForce>| {
            let config = rules.borrow().config.clone();
            config
                .rules
                .0
                .iter()
                .map(|rule| rule.rule.to_string())
                .collect::<Vec<_>>()
        };
        let refused = reloader.refused();
        let before = names(&rules);
        let built_in = rules.borrow().window;
        reloader.reload(Ok(config(RULE))).await;
        assert!(rules.has_changed().unwrap());
        let after = names(&rules);
        assert_eq!(after.len(), before.len() + 1);
        assert!(after.contains(&"logins".to_owned()));
        {
            let in_force = rules.borrow_and_update();
            assert_eq!(in_force.window, Duration::from_secs(120));
            assert_eq!(in_force.decided.detect.rules.len(), after.len());
            assert!(in_force.decided.max_age > built_in);
        }
        // The running [ban] holds, whatever the file says: the daemon was not restarted.
        let too_long = format!("[ban]\nmax_duration = \"7d\"\n{RULE}ban = \"2d\"\n");
        reloader.reload(Ok(config(&too_long))).await;
        let why = refused.borrow().clone().unwrap().why;
        assert!(why.starts_with("ban.max_duration: "), "{why}");
        assert!(why.ends_with("; the change of [ban] takes a restart"), "{why}");
        reloader.reload(Ok(config(RULE))).await;
        assert_eq!(*refused.borrow(), None);
        assert!(!rules.has_changed().unwrap());
        reloader.reload(Ok(config(""))).await;
        assert_eq!(names(&rules), before);
    }

    #[tokio::test]
    async fn a_refused_config_is_known_until_one_is_taken_over() {
        let (mut reloader, _followers) = reloader("");
        let refused = reloader.refused();
        assert_eq!(*refused.borrow(), None);
        let no_file = || Err(anyhow::anyhow!("no such file").context("reading x.toml"));
        reloader.reload(no_file()).await;
        let first = refused.borrow().clone().unwrap();
        assert_eq!(first.why, "reading x.toml: no such file");
        reloader.reload(Err(anyhow::anyhow!("x.toml:1: syntax"))).await;
        let second = refused.borrow().clone().unwrap();
        assert_eq!(
            (second.since_ms, &second.why[..]),
            (first.since_ms, "x.toml:1: syntax")
        );
        // As it was before.
        reloader.reload(Ok(config(""))).await;
        assert_eq!(*refused.borrow(), None);
    }

    #[tokio::test]
    async fn feeds_are_those_of_the_file_that_was_read_last() {
        let (mut reloader, (_, rules)) = reloader("");
        let mut feeds = reloader.feeds().subscribe();
        let feed = "[[feed]]\nname = \"drop\"\nurl = \"https://a.example/drop.txt\"\n";
        reloader.reload(Ok(config(feed))).await;
        assert!(feeds.has_changed().unwrap());
        assert_eq!(feeds.borrow_and_update()[0].name, "drop");
        assert_eq!(
            rules.borrow().digests,
            config(feed).digests(),
            "as the other orchestrators are told"
        );
        assert!(!rules.has_changed().unwrap(), "no telemetry is read again");
        reloader.reload(Ok(config(feed))).await;
        assert!(!feeds.has_changed().unwrap());
        reloader.reload(Ok(config(""))).await;
        assert!(feeds.borrow().is_empty());
        assert_eq!(rules.borrow().digests, config("").digests());
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

    #[tokio::test]
    async fn tokens_stay_where_they_cannot_go() {
        let hash = "sha256:".to_owned() + &"0".repeat(64);
        let token =
            |name: &str| format!("[[api.token]]\nname = \"{name}\"\nrole = \"read\"\nhash = \"{hash}\"\n");
        let public = "[api]\nlisten = \"192.0.2.1:3030\"\ninsecure = true\n";
        let (mut reloader, (known, _)) = reloader(&format!("{public}{}", token("a")));
        let names = || -> Vec<String> {
            let tokens = known.borrow();
            tokens
                .iter()
                .map(|token| token.name.as_str().to_owned())
                .collect()
        };
        reloader
            .reload(Ok(config(&format!("{public}{}{}", token("b"), token("c")))))
            .await;
        assert_eq!(names(), ["b", "c"]);
        // It still listens for everybody.
        reloader.reload(Ok(config(""))).await;
        assert_eq!(names(), ["b", "c"]);
        reloader.reload(Err(anyhow::anyhow!("no such file"))).await;
        assert_eq!(names(), ["b", "c"]);
    }
}
