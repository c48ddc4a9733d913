//! What other logs say of one that is empty.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use glob::{Pattern, glob};
use secbeat_daemon::compressed::decompressed;

use super::{FoundLog, LOOKED_AT, State, cut_half_a_line, read};
use crate::setup::servers;

/// The one that a log was before it was rotated, or another of its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alike {
    pub(in crate::setup) format: String,
    pub(in crate::setup) path: PathBuf,
}

/// A log of the same server, if all of these that have lines have one format, and would have the one of `log` by default.
pub(super) fn of_server(logs: &[FoundLog], log: &FoundLog) -> Option<Alike> {
    let default = |log: &FoundLog| servers::default_format(log.server, &log.path);
    let is_alike = |other: &&FoundLog| other.server == log.server && default(other) == default(log);
    let mut others = logs
        .iter()
        .filter(is_alike)
        .filter_map(|other| match &other.state {
            State::Understood { format, .. } => Some(Alike {
                format: format.clone(),
                path: other.path.clone(),
            }),
            _ => None,
        });
    let first = others.next()?;
    others.all(|other| other.format == first.format).then_some(first)
}

/// The last one that was rotated, if it is understood: `PATH.1`, compressed or not, or `PATH-20261129`.
pub(super) fn rotated(path: &Path) -> Option<Alike> {
    let numbered = [".1", ".1.gz"].map(|end| {
        let mut path = path.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path)
    });
    let dated = format!("{}-*", Pattern::escape(&path.to_string_lossy()));
    let dated = glob(&dated).into_iter().flatten().flatten().last();
    numbered
        .into_iter()
        .chain(dated)
        .find_map(|path| match read(&begin_of(&path).ok()?) {
            State::Understood { format, .. } => Some(Alike { format, path }),
            _ => None,
        })
}

/// The first whole lines, decompressed.
fn begin_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    decompressed(File::open(path)?)?
        .take(LOOKED_AT)
        .read_to_end(&mut begin)?;
    cut_half_a_line(&mut begin);
    Ok(begin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::logs::all;

    fn line(client: &str) -> String {
        format!("{client} - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"\n")
    }

    #[test]
    fn a_log_without_lines_has_the_format_of_those_that_have_some() {
        let folder = tempfile::tempdir().unwrap();
        let log = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let formats = |names: &[&str]| -> Vec<String> {
            let places = names.iter().map(|name| servers::Place {
                server: "nginx",
                path: folder.path().join(name),
                why: String::new(),
            });
            let formats = |log: FoundLog| log.format().unwrap_or_default().to_owned();
            all(places).into_iter().map(formats).collect()
        };
        let json = r#"{"remote_addr":"192.0.2.1","msec":"1795255616.5","status":"404"}"#.to_owned() + "\n";
        let empty = log("a.log", "");
        assert_eq!(formats(&["a.log"]), ["combined"]);
        log("a.log-20261128", &line("192.0.2.1"));
        log("a.log-20261129", &json);
        assert_eq!(formats(&["a.log"]), ["nginx-json"]);
        let before = log("a.log.1", &line("a.org 192.0.2.1"));
        assert_eq!(formats(&["a.log"]), ["vhost-combined"]);
        let of_rotated = Alike {
            format: "vhost-combined".to_owned(),
            path: before,
        };
        assert_eq!(rotated(&empty), Some(of_rotated));
        // A quiet site beside others.
        log("b.log", "");
        log("c.log", &json);
        log("d.log", &json);
        assert_eq!(
            formats(&["b.log", "c.log", "d.log"]),
            ["nginx-json", "nginx-json", "nginx-json"]
        );
        log("d.log", &line("192.0.2.1"));
        assert_eq!(
            formats(&["b.log", "c.log", "d.log"]),
            ["combined", "nginx-json", "combined"]
        );
    }
}
