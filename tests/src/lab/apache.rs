//! Debian's Apache, with its `combined` log.

use crate::lab::{
    executable::{TestFile, TestProgram, file},
    netns::Namespace,
    site::{Firewall, Site, SiteFolder, firewall_rules},
};

/// Of the package that has the server.
const MODULES: &str = "/usr/lib/apache2/modules";

/// Starts one in `namespace` on `port`.
#[must_use]
pub fn start(namespace: &Namespace, port: u16, folder: &SiteFolder, firewall: Firewall) -> Site {
    let config = folder.write("apache.conf", &configuration(port, folder, firewall));
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

fn configuration(port: u16, folder: &SiteFolder, firewall: Firewall) -> String {
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
         LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{{Referer}}i\\\" \\\"%{{User-Agent}}i\\\"\" combined\n\
         CustomLog {log} combined\n\
         MaxKeepAliveRequests 0\n\
         DocumentRoot {pages}\n\
         <Directory />\nRequire all granted\n</Directory>\n\
         {security}",
        log = folder.access_log().display(),
        pages = folder.pages().display(),
    )
}
