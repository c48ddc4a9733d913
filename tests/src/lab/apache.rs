//! Debian's Apache, with its `combined` log.

use crate::lab::{
    executable::{TestFile, TestProgram, file},
    netns::Namespace,
    site::{Firewall, Site, SiteFolder, firewall_rules},
};

/// Of the package that has the server.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Starts one in `namespace` on `port`, with its `combined` log.
#[must_use]
pub fn start(namespace: &Namespace, port: u16, folder: &SiteFolder, firewall: Firewall) -> Site {
    let logging = format!(
        "LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined\n\
         CustomLog {} combined",
        folder.access_log().display()
    );
    start_logging(namespace, port, folder, firewall, &logging)
}

/// As [`start`], with `logging` of its config.
#[must_use]
pub fn start_logging(
    namespace: &Namespace,
    port: u16,
    folder: &SiteFolder,
    firewall: Firewall,
    logging: &str,
) -> Site {
    let config = folder.write("apache.conf", &configuration(port, folder, firewall, logging));
    let mut command = namespace.command(TestProgram::Apache);
    // -X: one process, which ends with its guard.
    command
        .arg("-X")
        .arg("-d")
        .arg(folder.path())
        .arg("-f")
        .arg(config);
    Site::start("apache2", namespace, port, &mut command)
}

fn configuration(port: u16, folder: &SiteFolder, firewall: Firewall, logging: &str) -> String {
    let path = folder.path().display();
    let rules = firewall_rules(firewall, TestFile::ModsecurityInApacheDefaults, folder);
    let security = match firewall {
        Firewall::Absent => String::new(),
        Firewall::Blocking | Firewall::Detecting => format!(
            "LoadModule unique_id_module {MODULES}/mod_unique_id.so\n\
             LoadModule security2_module {module}\n\
             {rules}SecDataDir {path}\nSecTmpDir {path}\n",
            module = file(TestFile::ModsecurityInApache).display()
        ),
    };
    format!(
        "ServerRoot {path}\n\
         ServerName www.example.org\n\
         PidFile {path}/apache.pid\n\
         DefaultRuntimeDir {path}\n\
         Listen 0.0.0.0:{port}\n\
         Listen [::]:{port}\n\
         LoadModule mpm_event_module {MODULES}/mod_mpm_event.so\n\
         LoadModule authz_core_module {MODULES}/mod_authz_core.so\n\
         LoadModule dir_module {MODULES}/mod_dir.so\n\
         User www-data\n\
         Group www-data\n\
         ErrorLog {path}/error.log\n\
         {logging}\n\
         MaxKeepAliveRequests 0\n\
         DocumentRoot {pages}\n\
         <Directory />\nRequire all granted\n</Directory>\n\
         {security}",
        pages = folder.pages().display(),
    )
}
