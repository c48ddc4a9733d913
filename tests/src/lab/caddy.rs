//! Debian's Caddy, with its JSON log.

use crate::lab::{
    executable::TestProgram,
    netns::Namespace,
    site::{Site, SiteFolder},
};

/// Starts one in `namespace` on `port`.
#[must_use]
pub fn start(namespace: &Namespace, port: u16, folder: &SiteFolder) -> Site {
    let config = format!(
        "{{\n\
         \tadmin off\n\
         \tauto_https off\n\
         }}\n\
         http://:{port} {{\n\
         \tlog {{\n\
         \t\toutput file {log}\n\
         \t\tformat json\n\
         \t}}\n\
         \troot * {pages}\n\
         \tfile_server\n\
         }}\n",
        log = folder.access_log().display(),
        pages = folder.pages().display(),
    );
    let config = folder.write("Caddyfile", &config);
    let mut command = namespace.command(TestProgram::Caddy);
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(config)
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path());
    Site::start("caddy", namespace, port, &mut command)
}
