//! Debian's HAProxy, with its HTTP log on standard output, which goes to a file.
//!
//! One thread: several share standard output by a lock that each tries 200 times before it drops its line
//! (`fd_write_frag_line` in HAProxy's src/fd.c).

use crate::lab::{
    executable::{Executable as _, Program, TestProgram},
    netns::Namespace,
    site::{Site, SiteFolder},
};

/// Starts one in `namespace` on `port`.
#[must_use]
pub fn start(namespace: &Namespace, port: u16, folder: &SiteFolder) -> Site {
    let config = format!(
        "global\n\
         \tlog stdout format raw local0\n\
         \tnbthread 1\n\
         defaults\n\
         \tmode http\n\
         \tlog global\n\
         \toption httplog\n\
         \ttimeout client 10s\n\
         \ttimeout connect 1s\n\
         \ttimeout server 10s\n\
         frontend www\n\
         \tbind 0.0.0.0:{port}\n\
         \tbind [::]:{port} v6only\n\
         \thttp-request return status 200 content-type text/plain string hello if {{ path / }}\n\
         \thttp-request return status 404 content-type text/plain string missing\n"
    );
    let config = folder.write("haproxy.cfg", &config);
    let mut command = namespace.command(Program::Shell);
    command
        .args(["-c", "exec \"$0\" -db -f \"$1\" >> \"$2\""])
        .arg(TestProgram::Haproxy.file())
        .arg(config)
        .arg(folder.access_log());
    Site::start("haproxy", namespace, port, &mut command)
}
