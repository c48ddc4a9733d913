//! Services that are here and that the config says nothing of, as those that were installed after it was written.

use std::{fmt, path::Path};

use super::{
    SSHD,
    logs::{self, FoundLog, State},
    propose, servers,
};
use crate::config::Config;

/// A service that is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Web(FoundLog),
    Ssh,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(log) => {
                write!(f, "{}: {}", log.server, log.path.display())?;
                match &log.state {
                    State::Empty { .. } | State::Understood { .. } => write!(f, " ({})", log.why),
                    State::NotUnderstood(why) => write!(f, ", whose lines are not understood: {why}"),
                    State::Unreadable(why) => write!(f, ", which cannot be read: {why}"),
                }
            }
            Self::Ssh => write!(f, "sshd, which is installed"),
        }
    }
}

impl Service {
    /// Returns what has the config watch it.
    pub(super) fn entry(&self, config: &Config) -> String {
        match self {
            Self::Web(log) => propose::access_log(log),
            Self::Ssh => {
                let has_rule = config.orchestrator.rules.has(propose::SSH_RULE);
                propose::ssh(has_rule)
            }
        }
    }
}

/// Looks below `root` with the rights of this process. `text` is that of `config`: whatever stands in it, in a comment too, its
/// operator knows of. Where SecBeat is the proxy itself, web servers behind it are not looked for.
pub(crate) fn unwatched(root: &Path, text: &str, config: &Config) -> Vec<Service> {
    let is_known = |path: &Path| text.contains(&*path.to_string_lossy()) || config.edge.follows(path);
    let is_proxy = config.edge.proxy().is_some();
    let places = servers::places(root, logs::is_understood).into_iter();
    let new = places.filter(|place| !is_proxy && !is_known(&place.path));
    let mut services: Vec<_> = logs::all(new).into_iter().map(Service::Web).collect();
    let has_sshd = root.join(SSHD.trim_start_matches('/')).exists();
    if has_sshd && !config.edge.follows_service("sshd") && !text.contains("\"sshd\"") {
        services.push(Service::Ssh);
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::InMemory;

    fn found(root: &Path, text: &str) -> Vec<String> {
        let config = Config::load(&InMemory::new(text).unwrap().path()).unwrap();
        let services = unwatched(root, text, &config);
        let root = format!("{}/", root.display());
        services
            .iter()
            .map(|service| service.to_string().replace(&root, "/"))
            .collect()
    }

    #[test]
    fn what_the_config_does_not_say_is_told() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["var/log/nginx", "usr/sbin"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let path = root.path().join("var/log/nginx/access.log");
        std::fs::write(&path, "").unwrap();
        std::fs::write(root.path().join("usr/sbin/sshd"), "").unwrap();
        assert_eq!(
            found(root.path(), ""),
            [
                "nginx: /var/log/nginx/access.log (its usual place)",
                "sshd, which is installed"
            ]
        );
        let folder = path.parent().unwrap().display();
        for known in [
            format!("[[access_log]]\npath = \"{}\"\n", path.display()),
            format!("[[access_log]]\npath = \"{folder}/*.log\"\n"),
            format!("# Not this one: {}\n", path.display()),
            "[proxy]\nupstream = \"http://127.0.0.1:8000\"\n".to_owned(),
        ] {
            assert_eq!(
                found(root.path(), &known),
                ["sshd, which is installed"],
                "{known}"
            );
        }
        assert_eq!(
            found(root.path(), "[[service_log]]\nfilter = \"sshd\"\n").len(),
            1
        );
    }
}
