//! `[[rule]]`: the detector's rules.

#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use secbeat_common::{
    rules::{AgentPattern, Exclusion, HostPattern, Match, Method, PathPattern, Statuses},
    wire::{Labels, RuleName, ServiceClass, Severity, check_labels},
};
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_orchestrator_core::analyzers::{
    Action, MAX_RULES, MAX_WINDOW_MS, Rule, RuleConfig,
    threshold::{Counts, Distinct, RuleIds, ServiceFilter, SignatureFilter, Threshold, WafFilter},
};
use secbeat_signatures::{Class, Severity as SignatureSeverity};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use strum::IntoStaticStr;
use utoipa::ToSchema;

/// Consequence of a rule's finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Action)]
#[strum(const_into_str, serialize_all = "lowercase")]
pub enum RuleAction {
    /// The client is banned.
    Ban,
    /// A dry run: only the ban that would have been is recorded.
    Observe,
}

impl RuleAction {
    /// The word that users meet.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.into_str()
    }
}

impl From<Action> for RuleAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Ban => Self::Ban,
            Action::Observe => Self::Observe,
        }
    }
}

impl From<RuleAction> for Action {
    fn from(action: RuleAction) -> Self {
        match action {
            RuleAction::Ban => Self::Ban,
            RuleAction::Observe => Self::Observe,
        }
    }
}

/// Most distinct things that a rule counts: each event is compared with all of them.
const MAX_DISTINCT: u32 = 1000;
/// Fewest clients of one provider that a rule may count: fewer say nothing of it.
const MIN_CLIENTS: u32 = 5;

/// All rules in force, the default presets first.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "Vec<Table>")]
pub struct Rules(pub Vec<RuleConfig>);

impl Rules {
    /// Names of the rules that count what the log of `service` tells; where none does, of those that count requests.
    #[must_use]
    pub fn about(&self, service: &str) -> Vec<&str> {
        let of_service = |rule: &&RuleConfig| match &rule.counts {
            Counts::ServiceEvents(filter) => {
                filter.services.is_empty() || filter.services.iter().any(|name| name == service)
            }
            _ => false,
        };
        let of_requests =
            |rule: &&RuleConfig| !matches!(rule.counts, Counts::ServiceEvents(_) | Counts::WafEvents(_));
        let name = |rule: &RuleConfig| rule.rule;
        let mut rules: Vec<_> = self.0.iter().filter(of_service).map(name).collect();
        if rules.is_empty() {
            rules.extend(self.0.iter().filter(of_requests).map(name));
        }
        let all = self.0.iter().filter(|rule| rules.contains(&rule.rule));
        all.map(|rule| rule.rule.name()).collect()
    }

    /// The rules of these names, which a daemon says are in force: as they are here, or as SecBeat ships them if there is none of the name.
    #[must_use]
    pub fn in_force(&self, names: &[String]) -> Self {
        let rule = |name: &String| {
            let known = self.0.iter().find(|rule| rule.rule.name() == name);
            known.cloned().or_else(|| shipped(name))
        };
        Self(names.iter().filter_map(rule).collect())
    }

    /// Those of these names, which a daemon says are in force, that are neither here nor among what SecBeat ships: the daemon goes by another
    /// file, or by this one as it was.
    #[must_use]
    pub fn unknown<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        let names = names.iter().map(String::as_str);
        names
            .filter(|name| !self.has(name) && shipped(name).is_none())
            .collect()
    }

    /// Whether there is a rule of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|rule| rule.rule.name() == name)
    }
}

/// The rule of this name as SecBeat ships it.
fn shipped(name: &str) -> Option<RuleConfig> {
    RuleConfig::preset(Rule::from(name.parse::<RuleName>().ok()?))
}

impl Default for Rules {
    fn default() -> Self {
        Self(RuleConfig::defaults())
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stated = Vec::<Stated>::deserialize(deserializer)?;
        for (index, Stated { rule, .. }) in stated.iter().enumerate() {
            if stated[..index].iter().any(|before| before.rule.rule == rule.rule) {
                return Err(D::Error::custom(format!("two rules are called {}", rule.rule)));
            }
        }
        let default = |preset: RuleConfig| match stated.iter().find(|stated| stated.rule.rule == preset.rule)
        {
            Some(stated) => stated.in_force(),
            None => Some(preset),
        };
        let mut rules: Vec<_> = RuleConfig::defaults().into_iter().filter_map(default).collect();
        let defaults = RuleConfig::defaults();
        let is_default = |rule: Rule| defaults.iter().any(|preset| preset.rule == rule);
        let others = stated.iter().filter(|stated| !is_default(stated.rule.rule));
        rules.extend(others.filter_map(Stated::in_force));
        if rules.len() > MAX_RULES {
            let message = format!("{} rules: at most {MAX_RULES} are allowed", rules.len());
            return Err(D::Error::custom(message));
        }
        Ok(Self(rules))
    }
}

/// One rule of the file.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Table")]
struct Stated {
    rule: RuleConfig,
    enabled: bool,
}

impl Stated {
    fn in_force(&self) -> Option<RuleConfig> {
        self.enabled.then(|| self.rule.clone())
    }
}

/// The keys as they stand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Name in bans and records: up to 32 lower-case letters, digits and hyphens, beginning with a letter.
    #[schemars(with = "schema::Name")]
    name: RuleName,
    /// Disable to ignore the rule.
    #[serde(default = "yes")]
    enabled: bool,
    /// What counts.
    counts: Option<Counted>,
    /// For `waf-events`: a request counts if a rule of the firewall that matched has at least this severity.
    /// Default: `critical`. If no matching rule has a severity, the request counts if it was blocked.
    severity: Option<Severity>,
    /// For `waf-events`: ids of the firewall's rules that do not count. Default: the OWASP Core Rule Set's rules
    /// about responses (`950000-959999`), since visitors of an application that leaks its errors did nothing
    /// wrong.
    #[schemars(with = "Option<Vec<schema::RuleIds>>")]
    excluded_rules: Option<Vec<RuleIdsText>>,
    /// For `auth-failures`, `abuse` and `scans`: names of the services that count, as their filters are called. Default: all,
    /// and some for presets.
    services: Option<Vec<String>>,
    /// For `signatures`: count only those of these classes, such as `sqli`. Default: all.
    #[schemars(with = "Option<Vec<String>>")]
    classes: Option<Vec<Class>>,
    /// For `signatures`: count only those of these severities: `info`, `low`, `medium`, `high`, `critical`. Default: all.
    #[schemars(with = "Option<Vec<String>>")]
    severities: Option<Vec<SignatureSeverity>>,
    /// For `signatures`: count only those with these ids. Default: all.
    ids: Option<Vec<String>>,
    /// For `signatures`: ids of those that do not count.
    excluded_ids: Option<Vec<String>>,
    /// Count only responses with these statuses, such as `404` or `"401-403"`. Default: all. For `errors`, none
    /// below 400. Not for `waf-events`. For a `requests` rule, any of `statuses`, `methods`, `paths`, `hosts`
    /// makes edges report matching requests individually (more traffic).
    #[schemars(with = "Option<Vec<schema::HttpStatuses>>")]
    statuses: Option<Vec<Statuses>>,
    /// Count only requests with these methods, in upper case. Default: all. Not for `waf-events`.
    #[schemars(with = "Option<Vec<schema::HttpMethod>>")]
    methods: Option<Vec<Method>>,
    /// Count only requests for these paths: `/login` is that path and all below it; a `*` stands for any text, as
    /// in `/wp-*`, `*/wp-login.php` and `/api/*/poll`. Default: all.
    #[schemars(with = "Option<Vec<schema::Paths>>")]
    paths: Option<Vec<PathPattern>>,
    /// Count only requests to these hosts: `*.example.org` is every host below that name. Default: all.
    #[schemars(with = "Option<Vec<schema::Host>>")]
    hosts: Option<Vec<HostPattern>>,
    /// Requests that count as well, whatever their status: those that one of these tables matches. Default: none, and
    /// failed logins that are answered 200 for `login-bruteforce`. Not for `waf-events`.
    also: Option<Vec<Filter>>,
    /// Requests that do not count: those that one of these tables matches. Default: none, and what well-behaved
    /// programs do for `error-flood` and `path-scan`, as shown.
    exclude: Option<Vec<Excluded>>,
    /// Responses with these statuses do not count, beside `exclude`. Not for `waf-events`.
    #[schemars(with = "Option<Vec<schema::HttpStatuses>>")]
    excluded_statuses: Option<Vec<Statuses>>,
    /// Requests with these methods do not count. Not for `waf-events`.
    #[schemars(with = "Option<Vec<schema::HttpMethod>>")]
    excluded_methods: Option<Vec<Method>>,
    /// Requests for these paths do not count.
    #[schemars(with = "Option<Vec<schema::Paths>>")]
    excluded_paths: Option<Vec<PathPattern>>,
    /// Requests to these hosts do not count.
    #[schemars(with = "Option<Vec<schema::Host>>")]
    excluded_hosts: Option<Vec<HostPattern>>,
    /// Requests whose user agent contains one of these texts do not count; case does not matter. A client chooses
    /// its user agent, so anyone can evade the rule by it. Not for `waf-events`.
    #[schemars(with = "Option<Vec<schema::UserAgent>>")]
    excluded_user_agents: Option<Vec<AgentPattern>>,
    /// What counts once. Default: `none`, `paths` for `path-scan`, and `signatures` for `probe`.
    distinct: Option<Once>,
    /// Whose events count together. With `asn`, the threshold is the number of clients of one provider (AS, as `geo.asn` has it)
    /// that did what the rule counts, 5 to 1000. From then on, those of them that do it again are banned, each by itself. Only for
    /// `signatures`, `waf-events`, `auth-failures`, `abuse` and `scans`. Default: `client`.
    by: Option<By>,
    /// Number within the window that triggers the rule.
    threshold: Option<NonZeroU32>,
    /// Length of the sliding window, at most 24 days.
    window: Option<HumanDuration>,
    /// Duration of a first ban by this rule, at most `[ban] max_duration`. Default: `[ban] duration`.
    ban: Option<HumanDuration>,
    /// Labels such as `{ role = "web" }`: only edges with all of them enforce the rule's bans. What all edges report counts.
    /// Default: all edges.
    #[schemars(with = "Option<std::collections::BTreeMap<String, String>>")]
    labels: Option<Labels>,
    /// Consequence of a finding. Default: `ban`, and `observe` with `by = "asn"`.
    action: Option<RuleAction>,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Counted {
    /// Responses with status 400 to 599 except 499, unless most other clients of the same upstream get the same.
    Errors,
    /// Requests with any response.
    Requests,
    /// Requests that the client gave up (nginx and Traefik log 499, HAProxy -1, Envoy 0), unless most other
    /// clients of the same upstream do.
    Aborted,
    /// Errors without a request that could be understood: malformed or slow heads, violations of HTTP/2 or TLS, too
    /// many connections. The edge's proxy reports them; a server's log may have some.
    ProtocolErrors,
    /// Requests that a web application firewall objected to.
    WafEvents,
    /// Logins that a service refused, by its log: an attempt counts once, whatever number of lines tell of it.
    AuthFailures,
    /// Uses that a service does not allow, such as relaying mail, by its log.
    Abuse,
    /// Probes for what is there, by a service's log.
    Scans,
    /// Requests that an edge recognised by a signature, whatever the response.
    Signatures,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Once {
    /// Everything counts.
    None,
    /// Requests for the same path count once, whatever the query. For thresholds up to 1000.
    Paths,
    /// Of a rule over `signatures`: each set of signatures that a request matches counts once. For thresholds up to 1000.
    Signatures,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum By {
    /// Events of one client.
    Client,
    /// Events of all clients of one provider.
    Asn,
}

/// Conditions on a request, all of which have to hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    /// Statuses, any of which matches.
    #[schemars(with = "Vec<schema::HttpStatuses>")]
    statuses: Vec<Statuses>,
    /// Methods, any of which matches.
    #[schemars(with = "Vec<schema::HttpMethod>")]
    methods: Vec<Method>,
    /// Paths, any of which matches.
    #[schemars(with = "Vec<schema::Paths>")]
    paths: Vec<PathPattern>,
    /// Hosts, any of which matches.
    #[schemars(with = "Vec<schema::Host>")]
    hosts: Vec<HostPattern>,
}

impl From<Filter> for Match {
    fn from(filter: Filter) -> Self {
        let Filter {
            statuses,
            methods,
            paths,
            hosts,
        } = filter;
        Self {
            statuses,
            methods,
            paths,
            hosts,
        }
    }
}

/// Conditions on a request, all of which have to hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Excluded {
    /// Statuses, any of which matches.
    #[schemars(with = "Vec<schema::HttpStatuses>")]
    statuses: Vec<Statuses>,
    /// Methods, any of which matches.
    #[schemars(with = "Vec<schema::HttpMethod>")]
    methods: Vec<Method>,
    /// Paths, any of which matches.
    #[schemars(with = "Vec<schema::Paths>")]
    paths: Vec<PathPattern>,
    /// Hosts, any of which matches.
    #[schemars(with = "Vec<schema::Host>")]
    hosts: Vec<HostPattern>,
    /// A user agent that contains one of these texts.
    #[schemars(with = "Vec<schema::UserAgent>")]
    user_agents: Vec<AgentPattern>,
}

impl From<Excluded> for Exclusion {
    fn from(excluded: Excluded) -> Self {
        let Excluded {
            statuses,
            methods,
            paths,
            hosts,
            user_agents,
        } = excluded;
        Self {
            filter: Match {
                statuses,
                methods,
                paths,
                hosts,
            },
            user_agents,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct RuleIdsText(RuleIds);

impl TryFrom<String> for RuleIdsText {
    type Error = <RuleIds as std::str::FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl Counted {
    /// Returns the class of services' events that it counts, if it counts those.
    const fn class(self) -> Option<ServiceClass> {
        match self {
            Self::AuthFailures => Some(ServiceClass::AuthFailure),
            Self::Abuse => Some(ServiceClass::Abuse),
            Self::Scans => Some(ServiceClass::Scan),
            Self::Errors
            | Self::Requests
            | Self::Aborted
            | Self::ProtocolErrors
            | Self::WafEvents
            | Self::Signatures => None,
        }
    }

    fn is(self, counts: &Counts) -> bool {
        matches!(
            (self, counts),
            (Self::Errors, Counts::Errors)
                | (Self::Requests, Counts::Requests)
                | (Self::Aborted, Counts::Aborted)
                | (Self::ProtocolErrors, Counts::ProtocolErrors)
                | (Self::WafEvents, Counts::WafEvents(_))
                | (Self::Signatures, Counts::Signatures(_))
        ) || matches!(counts, Counts::ServiceEvents(filter) if Some(filter.class) == self.class())
    }
}

impl From<Counted> for Counts {
    fn from(counted: Counted) -> Self {
        let of_services = |class| {
            Self::ServiceEvents(ServiceFilter {
                class,
                services: Vec::new(),
            })
        };
        match counted {
            Counted::Errors => Self::Errors,
            Counted::Requests => Self::Requests,
            Counted::Aborted => Self::Aborted,
            Counted::ProtocolErrors => Self::ProtocolErrors,
            Counted::WafEvents => Self::WafEvents(WafFilter::default()),
            Counted::AuthFailures => of_services(ServiceClass::AuthFailure),
            Counted::Abuse => of_services(ServiceClass::Abuse),
            Counted::Scans => of_services(ServiceClass::Scan),
            Counted::Signatures => Self::Signatures(SignatureFilter::default()),
        }
    }
}

impl Table {
    /// `counts` with what the table says of it; each key belongs to one kind.
    fn refine(
        &self,
        counts: Counts,
        contradiction: impl Fn(&'static str, &str) -> Contradiction,
    ) -> Result<Counts, Contradiction> {
        if let Counts::ServiceEvents(filter) = counts {
            return self
                .refine_service(filter, contradiction)
                .map(Counts::ServiceEvents);
        }
        if self.services.is_some() {
            let what = "only a rule over auth-failures, abuse or scans has them";
            return Err(contradiction("services", what));
        }
        let is_waf = matches!(counts, Counts::WafEvents(_));
        for (key, is_stated) in [
            ("also", self.also.is_some()),
            ("excluded_statuses", self.excluded_statuses.is_some()),
            ("excluded_methods", self.excluded_methods.is_some()),
            ("excluded_user_agents", self.excluded_user_agents.is_some()),
        ] {
            if is_stated && is_waf {
                return Err(contradiction(key, "WAF events have none"));
            }
        }
        if self.severity.is_some() && !is_waf {
            return Err(contradiction("severity", "only a rule over waf-events has one"));
        }
        if self.excluded_rules.is_some() && !is_waf {
            return Err(contradiction(
                "excluded_rules",
                "only a rule over waf-events has them",
            ));
        }
        let is_of_signatures = matches!(counts, Counts::Signatures(_));
        for (key, is_stated) in [
            ("classes", self.classes.is_some()),
            ("severities", self.severities.is_some()),
            ("ids", self.ids.is_some()),
            ("excluded_ids", self.excluded_ids.is_some()),
            ("distinct", matches!(self.distinct, Some(Once::Signatures))),
        ] {
            if is_stated && !is_of_signatures {
                return Err(contradiction(key, "only a rule over signatures has them"));
            }
        }
        Ok(match counts {
            Counts::Signatures(filter) => Counts::Signatures(self.signatures(filter)),
            Counts::Errors => Counts::Errors,
            Counts::Requests => Counts::Requests,
            Counts::Aborted => Counts::Aborted,
            Counts::ProtocolErrors => Counts::ProtocolErrors,
            Counts::ServiceEvents(filter) => Counts::ServiceEvents(filter),
            Counts::WafEvents(filter) => Counts::WafEvents(WafFilter {
                severity: self.severity.unwrap_or(filter.severity),
                excluded_rules: match &self.excluded_rules {
                    Some(ids) => ids.iter().map(|ids| ids.0.clone()).collect(),
                    None => filter.excluded_rules,
                },
            }),
        })
    }
}

impl Table {
    /// `filter` with what the table says of it: services have lines, and no requests.
    fn refine_service(
        &self,
        filter: ServiceFilter,
        contradiction: impl Fn(&'static str, &str) -> Contradiction,
    ) -> Result<ServiceFilter, Contradiction> {
        for (key, is_stated) in [
            ("severity", self.severity.is_some()),
            ("excluded_rules", self.excluded_rules.is_some()),
            ("statuses", self.statuses.is_some()),
            ("methods", self.methods.is_some()),
            ("paths", self.paths.is_some()),
            ("hosts", self.hosts.is_some()),
            ("also", self.also.is_some()),
            ("exclude", self.exclude.is_some()),
            ("excluded_statuses", self.excluded_statuses.is_some()),
            ("excluded_methods", self.excluded_methods.is_some()),
            ("excluded_paths", self.excluded_paths.is_some()),
            ("excluded_hosts", self.excluded_hosts.is_some()),
            ("excluded_user_agents", self.excluded_user_agents.is_some()),
            ("distinct", self.distinct.is_some()),
            ("classes", self.classes.is_some()),
            ("severities", self.severities.is_some()),
            ("ids", self.ids.is_some()),
            ("excluded_ids", self.excluded_ids.is_some()),
        ] {
            if is_stated {
                return Err(contradiction(key, "events of services have none"));
            }
        }
        Ok(ServiceFilter {
            services: self.services.clone().unwrap_or(filter.services),
            ..filter
        })
    }

    /// `filter`, but for what the table says.
    fn signatures(&self, filter: SignatureFilter) -> SignatureFilter {
        fn words<T: ToString>(stated: Option<&Vec<T>>, usual: Vec<String>) -> Vec<String> {
            stated.map_or(usual, |words| words.iter().map(ToString::to_string).collect())
        }
        SignatureFilter {
            classes: words(self.classes.as_ref(), filter.classes),
            severities: words(self.severities.as_ref(), filter.severities),
            ids: words(self.ids.as_ref(), filter.ids),
            excluded_ids: words(self.excluded_ids.as_ref(), filter.excluded_ids),
        }
    }

    /// The exclusions of its tables, or else of `preset`, and those of its single keys.
    fn excluded(&self, preset: Option<&RuleConfig>) -> Vec<Exclusion> {
        let mut excluded: Vec<Exclusion> = match &self.exclude {
            Some(tables) => tables.iter().cloned().map(Into::into).collect(),
            None => preset.map(|preset| preset.excluded.clone()).unwrap_or_default(),
        };
        let single = [
            Excluded {
                statuses: self.excluded_statuses.clone().unwrap_or_default(),
                ..Excluded::default()
            },
            Excluded {
                methods: self.excluded_methods.clone().unwrap_or_default(),
                ..Excluded::default()
            },
            Excluded {
                paths: self.excluded_paths.clone().unwrap_or_default(),
                ..Excluded::default()
            },
            Excluded {
                hosts: self.excluded_hosts.clone().unwrap_or_default(),
                ..Excluded::default()
            },
            Excluded {
                user_agents: self.excluded_user_agents.clone().unwrap_or_default(),
                ..Excluded::default()
            },
        ];
        let stated = single.into_iter().map(Exclusion::from);
        excluded.extend(stated.filter(|exclusion| *exclusion != Exclusion::default()));
        excluded
    }
}

impl Table {
    /// What of it does not go with `by = "asn"`, and why.
    fn wrong_by_asn(
        &self,
        counts: &Counts,
        count: NonZeroU32,
        is_preset: bool,
    ) -> Option<(&'static str, String)> {
        let (key, what) = match counts {
            Counts::Errors | Counts::Requests | Counts::Aborted | Counts::ProtocolErrors => (
                "by",
                "`asn` is only for what tells an attack by itself: signatures, waf-events, auth-failures, abuse, scans",
            ),
            _ if is_preset => (
                "by",
                "cannot be changed for a built-in rule; give the rule another name",
            ),
            _ if self.also.is_some() => ("also", "a rule by asn has none"),
            _ if self.distinct.is_some() => ("distinct", "a rule by asn counts clients"),
            _ if count.get() < MIN_CLIENTS => {
                return Some((
                    "threshold",
                    format!("at least {MIN_CLIENTS} where clients of one provider are counted"),
                ));
            }
            _ => return None,
        };
        Some((key, what.to_owned()))
    }
}

/// Mistake in a rule as a whole.
#[derive(Debug, thiserror::Error)]
#[error("{rule}: {key}: {what}")]
struct Contradiction {
    rule: Rule,
    key: &'static str,
    what: String,
}

impl TryFrom<Table> for Stated {
    type Error = Contradiction;

    fn try_from(table: Table) -> Result<Self, Contradiction> {
        let rule = Rule::from(table.name);
        let contradiction = |key, what: &str| Contradiction {
            rule,
            key,
            what: what.to_owned(),
        };
        let preset = RuleConfig::preset(rule);
        let missing = |key| contradiction(key, "missing: a custom rule must set it");
        let known = preset.as_ref();
        let counts = match (table.counts, known.map(|preset| preset.counts.clone())) {
            (None, None) => return Err(missing("counts")),
            (None, Some(counts)) => counts,
            (Some(counted), Some(counts)) if !counted.is(&counts) => {
                return Err(contradiction(
                    "counts",
                    "cannot be changed for a built-in rule; give the rule another name",
                ));
            }
            (Some(_), Some(counts)) => counts,
            (Some(counted), None) => counted.into(),
        };
        let counts = table.refine(counts, contradiction)?;
        let count = table
            .threshold
            .or(known.map(|preset| preset.threshold.count))
            .ok_or_else(|| missing("threshold"))?;
        let window = table
            .window
            .map(|window| window.0)
            .or(known.map(|preset| preset.threshold.window))
            .ok_or_else(|| missing("window"))?;
        let is_by_asn = table.by == Some(By::Asn);
        if is_by_asn && let Some((key, what)) = table.wrong_by_asn(&counts, count, known.is_some()) {
            return Err(contradiction(key, &what));
        }
        let also: Vec<Match> = match &table.also {
            Some(tables) => tables.iter().cloned().map(Into::into).collect(),
            None => known.map(|preset| preset.also.clone()).unwrap_or_default(),
        };
        if also.iter().any(Match::is_any) {
            return Err(contradiction(
                "also",
                "a table with no list matches every request",
            ));
        }
        let excluded = table.excluded(known);
        if excluded.contains(&Exclusion::default()) {
            return Err(contradiction(
                "exclude",
                "a table with no list matches every request",
            ));
        }
        let base = known.map(|preset| preset.filter.clone()).unwrap_or_default();
        let filter = Match {
            statuses: table.statuses.unwrap_or(base.statuses),
            methods: table.methods.unwrap_or(base.methods),
            paths: table.paths.unwrap_or(base.paths),
            hosts: table.hosts.unwrap_or(base.hosts),
        };
        match &counts {
            Counts::Errors | Counts::ProtocolErrors
                if filter.statuses.iter().any(|statuses| statuses.first() < 400) =>
            {
                return Err(contradiction("statuses", "errors have statuses of 400 to 599"));
            }
            Counts::ProtocolErrors if !(filter.methods.is_empty() && filter.paths.is_empty()) => {
                return Err(contradiction(
                    "counts",
                    "protocol errors have no method and no path",
                ));
            }
            Counts::Aborted if !filter.statuses.is_empty() => {
                return Err(contradiction("statuses", "an aborted request has none"));
            }
            Counts::WafEvents(_) if !filter.statuses.is_empty() => {
                return Err(contradiction("statuses", "WAF events have none"));
            }
            Counts::WafEvents(_) if !filter.methods.is_empty() => {
                return Err(contradiction("methods", "WAF events have none"));
            }
            _ => {}
        }
        let distinct = match table.distinct {
            _ if is_by_asn => Some(Distinct::Clients),
            Some(Once::None) => None,
            Some(Once::Paths) => Some(Distinct::Paths),
            Some(Once::Signatures) => Some(Distinct::Signatures),
            None => known.and_then(|preset| preset.distinct),
        };
        let threshold = Threshold { count, window };
        check_threshold(threshold, distinct).map_err(|(key, what)| contradiction(key, &what))?;
        let labels = table.labels.unwrap_or_default();
        check_labels(&labels).map_err(|what| contradiction("labels", &what))?;
        let usual = || match known {
            Some(preset) => preset.action,
            // Until an operator has seen whom it would have been.
            None if is_by_asn => Action::Observe,
            None => Action::Ban,
        };
        let action = table.action.map_or_else(usual, Into::into);
        Ok(Self {
            rule: RuleConfig {
                rule,
                counts,
                filter,
                also,
                excluded,
                distinct,
                threshold,
                ban: table.ban.map(|ban| ban.0),
                labels,
                action,
            },
            enabled: table.enabled,
        })
    }
}

/// Whether a rule that counts `distinct` things may have `threshold`.
///
/// # Errors
///
/// The key that does not do, and why.
pub(crate) fn check_threshold(
    Threshold { count, window }: Threshold,
    distinct: Option<Distinct>,
) -> Result<(), (&'static str, String)> {
    if !(Duration::from_millis(1)..=Duration::from_millis(MAX_WINDOW_MS.unsigned_abs())).contains(&window) {
        let what = format!(
            "invalid window {}: expected 1 ms to 24 days",
            HumanDuration(window)
        );
        return Err(("window", what));
    }
    if distinct.is_some() && count.get() > MAX_DISTINCT {
        let what = format!("at most {MAX_DISTINCT} where distinct things are counted");
        return Err(("threshold", what));
    }
    Ok(())
}
