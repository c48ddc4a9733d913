//! Filters that are shipped.

use super::{Filter, FilterError, lazy::Compile};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Each with its name and its text.
        const SHIPPED: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../../packaging/filters/", $name, ".toml")))),*
        ];
    };
}

shipped!(
    "apache-error",
    "asterisk",
    "authelia",
    "authentik",
    "courier",
    "cpanel",
    "cyrus",
    "dovecot",
    "dropbear",
    "ejabberd",
    "exim",
    "gitea",
    "gitlab",
    "grafana",
    "home-assistant",
    "jellyfin",
    "keycloak",
    "mumble",
    "mysql",
    "nextcloud",
    "nginx-error",
    "openvpn",
    "pam",
    "phpmyadmin",
    "postfix",
    "postgresql",
    "proftpd",
    "proxmox",
    "pure-ftpd",
    "redis",
    "roundcube",
    "sshd",
    "vaultwarden",
    "vsftpd",
    "webmin",
    "wordpress",
);

/// The names of all filters that are shipped.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The text of the shipped filter of this name.
pub(super) fn text(name: &str) -> Option<&'static str> {
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(text)
}

/// The shipped filter of this name, `None` if there is none.
///
/// # Errors
///
/// What is wrong with it; a test holds that nothing is.
pub fn shipped(name: &str) -> Option<Result<Filter, FilterError>> {
    Some(Filter::read(text(name)?, Compile::WhenNeeded))
}
