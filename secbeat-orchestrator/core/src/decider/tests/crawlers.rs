//! Crawlers: who says to be one is looked up when it is banned.

use super::*;
use crate::{
    decider::{Checked, Crawler, CrawlerConfig, Identity, Suspect},
    ledger::Suppression,
};

const AGENT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn rig() -> Rig {
    rig_with(None)
}

fn rig_with(rules: Option<Vec<crate::analyzers::Rule>>) -> Rig {
    Rig::ready_with(|config| {
        config.crawlers = CrawlerConfig {
            crawlers: vec![Crawler {
                name: "Googlebot".to_owned(),
                agents: vec!["googlebot".to_owned()],
            }],
            rules,
        };
    })
}

/// 50 errors of `client` with this agent.
fn errors(rig: &mut Rig, client: &str, agent: &str) -> Vec<Effect> {
    let event = TelemetryEvent {
        user_agent: agent.to_owned(),
        ..error(client, rig.now.wall_ms)
    };
    let batch = rig.batch("edge-1", vec![event; 50]);
    rig.telemetry(client, batch)
}

fn looked_up(effects: &[Effect]) -> Vec<Suspect> {
    let suspects = effects.iter().filter_map(|effect| match effect {
        Effect::LookUp(suspect) => Some(suspect.clone()),
        _ => None,
    });
    suspects.collect()
}

fn lifts(effects: &[Effect]) -> usize {
    let is_lift = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Write(WriteRequest {
                write: Write::Lift { .. },
                ..
            })
        )
    };
    effects.iter().filter(is_lift).count()
}

fn verified(host: &str) -> Identity {
    Identity::Verified {
        crawler: "Googlebot".to_owned(),
        host: host.to_owned(),
    }
}

fn checked(rig: &Rig, suspect: Suspect, identity: Identity) -> Event {
    Event::Crawler(Box::new(Checked {
        suspect,
        identity,
        at_ms: rig.now.wall_ms,
        until_ms: rig.now.wall_ms + 600_000,
    }))
}

#[test]
fn a_crawler_is_banned_until_it_is_verified_and_then_no_more() {
    let mut rig = rig();
    let effects = errors(&mut rig, CLIENT, AGENT);
    let [command] = &written(&effects)[..] else {
        panic!("{effects:?}");
    };
    let [suspect] = &looked_up(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(suspect.claims.as_deref(), Some("Googlebot"));
    assert_eq!(
        (suspect.source, suspect.address),
        (target(CLIENT), CLIENT.parse().unwrap())
    );
    let fate = Fate::Written { revision: 7 };
    rig.done(command, fate);
    let event = checked(&rig, suspect.clone(), verified("crawl.googlebot.com"));
    assert_eq!(lifts(&rig.handle(event)), 1);
    assert_eq!(rig.ban_of(CLIENT), None);
    rig.pass(1000);
    let effects = errors(&mut rig, CLIENT, AGENT);
    assert_eq!((written(&effects), looked_up(&effects)), (Vec::new(), Vec::new()));
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    let suppressed = crate::evidence::Outcome::Suppressed(Suppression::Crawler {
        crawler: "Googlebot".to_owned(),
        host: "crawl.googlebot.com".to_owned(),
    });
    assert_eq!(facts.findings[0].outcome, suppressed);
    assert_eq!(facts.crawler.unwrap().identity, verified("crawl.googlebot.com"));
    assert_eq!(facts.strikes, 0);
    // It may have another owner by then.
    rig.pass(600_000);
    let effects = errors(&mut rig, CLIENT, AGENT);
    assert_eq!((written(&effects).len(), looked_up(&effects).len()), (1, 1));
}

#[test]
fn who_only_says_to_be_a_crawler_stays_banned() {
    let mut rig = rig();
    let effects = errors(&mut rig, CLIENT, AGENT);
    let suspect = looked_up(&effects).remove(0);
    let refused = Identity::NotVerified {
        why: "it has no name".to_owned(),
    };
    let event = checked(&rig, suspect, refused.clone());
    assert_eq!(rig.handle(event), []);
    assert!(rig.ban_of(CLIENT).is_some());
    let facts = rig.decider.explain(CLIENT.parse().unwrap(), rig.now);
    assert_eq!(facts.crawler.unwrap().identity, refused);
    // Nobody asks again for every ban.
    rig.pass(400_000);
    rig.tick();
    let effects = errors(&mut rig, CLIENT, AGENT);
    assert_eq!((written(&effects).len(), looked_up(&effects).len()), (1, 0));
}

#[test]
fn who_says_something_else_is_not_looked_up_and_who_was_only_counted_is() {
    let mut rig = rig();
    assert_eq!(looked_up(&errors(&mut rig, CLIENT, "curl/8")), []);
    let mut batch = rig.batch("edge-1", Vec::new());
    batch.counts = vec![requests("203.0.113.9/32", rig.now.wall_ms, 1000)];
    let effects = rig.telemetry("203.0.113.9", batch);
    let [suspect] = &looked_up(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(suspect.claims, None);
    // Nobody knows which address of the /64 it was.
    let mut batch = rig.batch("edge-1", Vec::new());
    batch.counts = vec![requests("2001:db8:9::/64", rig.now.wall_ms, 1000)];
    let effects = rig.telemetry("2001:db8:9::", batch);
    assert_eq!((written(&effects).len(), looked_up(&effects).len()), (1, 0));
}

#[test]
fn other_bans_of_a_crawler_stay() {
    // Of a rule that lets no crawler go.
    let mut rig = rig_with(Some(vec![crate::analyzers::Rule::RequestFlood]));
    let suspect = Suspect {
        source: target(CLIENT),
        address: CLIENT.parse().unwrap(),
        claims: None,
    };
    assert_eq!(looked_up(&errors(&mut rig, CLIENT, AGENT)), []);
    let event = checked(&rig, suspect.clone(), verified("crawl.googlebot.com"));
    assert_eq!(lifts(&rig.handle(event)), 0);
    assert!(rig.ban_of(CLIENT).is_some());
    // Of an operator.
    let mut rig = rig_with(None);
    rig.ordered(1, CLIENT, 600);
    let event = checked(&rig, suspect, verified("crawl.googlebot.com"));
    assert_eq!(lifts(&rig.handle(event)), 0);
    assert!(rig.ban_of(CLIENT).is_some());
}
