//! Debian's lighttpd.

use crate::lab::{
    executable::TestProgram,
    netns::Namespace,
    site::{Site, SiteFolder},
};

/// Starts one in `namespace` on `port`, with `logging` of its config; without any, with its default format.
#[must_use]
pub fn start(namespace: &Namespace, port: u16, folder: &SiteFolder, logging: Option<&str>) -> Site {
    let default = format!(
        "server.modules += ( \"mod_accesslog\" )\naccesslog.filename = \"{}\"\n",
        folder.access_log().display()
    );
    let config = format!(
        "server.document-root = \"{pages}\"\n\
         server.port = {port}\n\
         server.use-ipv6 = \"enable\"\n\
         server.bind = \"[::]\"\n\
         server.set-v6only = \"disable\"\n\
         index-file.names = ( \"index.html\" )\n\
         mimetype.assign = ( \".html\" => \"text/html\" )\n\
         {}",
        logging.unwrap_or(&default),
        pages = folder.pages().display(),
    );
    let config = folder.write("lighttpd.conf", &config);
    let mut command = namespace.command(TestProgram::Lighttpd);
    command.arg("-D").arg("-f").arg(config);
    Site::start("lighttpd", namespace, port, &mut command)
}
