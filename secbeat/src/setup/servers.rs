//! Web servers that people have, and where their logs are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use glob::glob;

/// A web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Server {
    pub(super) name: &'static str,
    /// Names of its processes.
    processes: &'static [&'static str],
    /// Where distributions let it log.
    logs: &'static [&'static str],
    /// Names of its images in containers, of which others have a word.
    images: &'static [&'static str],
    /// What it logs unless it is told otherwise.
    format: &'static str,
}

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "nginx",
        processes: &["nginx"],
        logs: &["/var/log/nginx/*access*.log"],
        images: &["nginx"],
        format: "combined",
    },
    Server {
        name: "Apache",
        // openSUSE has one for each way to serve.
        processes: &["apache2", "httpd", "httpd-prefork", "httpd-worker", "httpd-event"],
        logs: &["/var/log/apache2/*access*log", "/var/log/httpd/*access*log"],
        images: &["httpd", "apache"],
        format: "combined",
    },
    Server {
        name: "Caddy",
        processes: &["caddy"],
        logs: &["/var/log/caddy/*.log"],
        images: &["caddy"],
        format: "caddy-json",
    },
    Server {
        name: "HAProxy",
        processes: &["haproxy"],
        logs: &["/var/log/haproxy.log"],
        images: &["haproxy"],
        format: "haproxy",
    },
    Server {
        name: "Traefik",
        processes: &["traefik"],
        logs: &["/var/log/traefik/*access*.log"],
        images: &["traefik"],
        format: "combined",
    },
    Server {
        name: "lighttpd",
        processes: &["lighttpd"],
        logs: &["/var/log/lighttpd/*access*.log"],
        images: &["lighttpd"],
        format: "lighttpd",
    },
];

/// The format that a server writes to a log at `path` unless it is told otherwise. Debian's Apache has one with the virtual host in
/// front.
pub(super) fn default_format(server: &str, path: &Path) -> Option<&'static str> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let server = SERVERS.iter().find(|known| known.name == server)?;
    Some(match server.name {
        "Apache" if name.contains("vhosts") => "vhost-combined",
        _ => server.format,
    })
}

/// A log of a server, and why it is taken for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) server: &'static str,
    pub(super) path: PathBuf,
    pub(super) why: String,
}

/// Finds logs below `root`: those that running servers have open, where they usually are, and of Docker's containers.
pub(super) fn places(root: &Path, is_understood: fn(&Path) -> bool) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut known = BTreeSet::new();
    let found = open_logs(root, is_understood)
        .into_iter()
        .chain(usual(root))
        .chain(docker(root, is_understood));
    for place in found {
        // One file by another name is one log.
        let file = fs::canonicalize(&place.path).unwrap_or_else(|_| place.path.clone());
        if known.insert(file) {
            places.push(place);
        }
    }
    places.sort();
    places
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Files that a server of this host writes and that are named like an access log, or are read as one. In containers they have other
/// names.
fn open_logs(root: &Path, is_understood: fn(&Path) -> bool) -> Vec<Place> {
    let process = below(root, "/proc");
    let ours = fs::read_link(process.join("self/ns/mnt")).ok();
    let Ok(processes) = fs::read_dir(&process) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for folder in processes.flatten().map(|entry| entry.path()) {
        let Ok(name) = fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        let Some(server) = SERVERS
            .iter()
            .find(|server| server.processes.contains(&name.trim_end()))
        else {
            continue;
        };
        if fs::read_link(folder.join("ns/mnt")).ok() != ours {
            continue;
        }
        let files = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        for path in files.filter_map(|file| fs::read_link(file.path()).ok()) {
            if is_log(&path) && path.is_file() && (is_access_log(&path) || is_understood(&path)) {
                found.push(Place {
                    server: server.name,
                    path,
                    why: "it is running and writes this log".to_owned(),
                });
            }
        }
    }
    found
}

/// Whether it may be a log that is still there.
fn is_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_error_log = name.contains("error") && !name.contains("access");
    path.is_absolute() && !is_error_log && !name.ends_with(" (deleted)")
}

fn is_access_log(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().contains("access")
}

fn usual(root: &Path) -> Vec<Place> {
    let mut found = Vec::new();
    for server in SERVERS {
        let patterns = server.logs.iter().map(|pattern| below(root, pattern));
        let paths = patterns.filter_map(|pattern| glob(&pattern.to_string_lossy()).ok());
        for path in paths.flatten().flatten().filter(|path| path.is_file()) {
            let why = "its usual place".to_owned();
            found.push(Place {
                server: server.name,
                path,
                why,
            });
        }
    }
    found
}

/// Logs that Docker writes of what running containers print.
fn docker(root: &Path, is_understood: fn(&Path) -> bool) -> Vec<Place> {
    let folder = below(root, "/var/lib/docker/containers");
    let containers = fs::read_dir(folder).into_iter().flatten().flatten();
    containers
        .filter_map(|container| container_log(&container.path(), is_understood))
        .collect()
}

fn container_log(folder: &Path, is_understood: fn(&Path) -> bool) -> Option<Place> {
    let config = fs::read(folder.join("config.v2.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
    if config["State"]["Running"] != true {
        return None;
    }
    let image = config["Config"]["Image"].as_str()?;
    let path = PathBuf::from(config["LogPath"].as_str()?);
    let of = |is_its: fn(&str, &str) -> bool| {
        let is_one = |server: &&Server| server.images.iter().any(|name| is_its(image, name));
        SERVERS.iter().find(is_one)
    };
    // An image with a server in its name may be of something beside it, and its lines tell.
    let server = of(is_image).or_else(|| of(has_word).filter(|_| is_understood(&path)))?;
    let name = config["Name"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches('/');
    path.is_file().then(|| Place {
        server: server.name,
        path,
        why: format!("the container {name} runs {image}"),
    })
}

/// Whether `registry/path/NAME:tag` is the image `name`.
fn is_image(image: &str, name: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    let last = last.split(['@', ':']).next().unwrap_or(last);
    last == name
}

/// Whether `registry/path/NAME:tag` has the word `name` in NAME or the tag, as `php:8.3-apache`.
fn has_word(image: &str, name: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(|char: char| !char.is_ascii_alphanumeric())
        .any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::logs::is_understood;

    fn write(root: &Path, path: &str, text: &str) {
        let path = below(root, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn found(root: &Path) -> Vec<(&'static str, String)> {
        let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        places(root, is_understood)
            .iter()
            .map(|place| (place.server, shown(&place.path)))
            .collect()
    }

    #[test]
    fn usual_places_are_found_and_rotated_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "/var/log/nginx/access.log",
            "/var/log/nginx/access.log.1",
            "/var/log/nginx/access.log.2.gz",
            "/var/log/nginx/error.log",
            "/var/log/nginx/shop-access.log",
            "/var/log/apache2/other_vhosts_access.log",
            "/var/log/apache2/access_log",
            "/var/log/apache2/access_log-20260101",
            "/var/log/httpd/access_log",
            "/var/log/httpd/access_log-20260101",
        ] {
            write(root.path(), path, "");
        }
        assert_eq!(
            found(root.path()),
            [
                ("Apache", "var/log/apache2/access_log".to_owned()),
                ("Apache", "var/log/apache2/other_vhosts_access.log".to_owned()),
                ("Apache", "var/log/httpd/access_log".to_owned()),
                ("nginx", "var/log/nginx/access.log".to_owned()),
                ("nginx", "var/log/nginx/shop-access.log".to_owned()),
            ]
        );
    }

    #[test]
    fn a_running_server_shows_its_logs_whatever_their_names() {
        let root = tempfile::tempdir().unwrap();
        let line = "192.0.2.7 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"\n";
        for (path, text) in [
            ("/srv/logs/example.org.log", line),
            ("/srv/logs/error.log", line),
            ("/srv/logs/audit.log", "--a1b2-A--\n"),
            ("/srv/logs/access.txt", ""),
        ] {
            write(root.path(), path, text);
        }
        write(root.path(), "/proc/77/comm", "nginx\n");
        write(root.path(), "/proc/78/comm", "postgres\n");
        let links = [
            ("self", "ns/mnt", "/mnt:[1]"),
            ("77", "ns/mnt", "/mnt:[1]"),
            ("78", "ns/mnt", "/mnt:[1]"),
        ];
        for (process, link, to) in links {
            let link = below(root.path(), &format!("/proc/{process}/{link}"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, link).unwrap();
        }
        for process in ["77", "78"] {
            let folder = below(root.path(), &format!("/proc/{process}/fd"));
            fs::create_dir_all(&folder).unwrap();
            let logs = [
                "example.org.log",
                "error.log",
                "audit.log",
                "access.txt",
                "gone.log (deleted)",
            ];
            for (number, log) in logs.iter().enumerate() {
                let log = below(root.path(), &format!("/srv/logs/{log}"));
                std::os::unix::fs::symlink(log, folder.join(number.to_string())).unwrap();
            }
        }
        assert_eq!(
            found(root.path()),
            [
                ("nginx", "srv/logs/access.txt".to_owned()),
                ("nginx", "srv/logs/example.org.log".to_owned()),
            ]
        );
    }

    #[test]
    fn two_names_of_one_file_are_one_log() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "/var/log/nginx/access.log", "");
        let name = below(root.path(), "/var/log/nginx/all-access.log");
        std::os::unix::fs::symlink(below(root.path(), "/var/log/nginx/access.log"), name).unwrap();
        assert_eq!(found(root.path()).len(), 1);
    }

    #[test]
    fn running_containers_of_web_servers_are_found() {
        let root = tempfile::tempdir().unwrap();
        let request = "{\"log\":\"192.0.2.7 - - [01/Jan/2026:00:00:00 +0000] \\\"GET / HTTP/1.1\\\" 200 5 \\\"-\\\" \\\"curl\\\"\\n\",\
                       \"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00.1Z\"}\n";
        let container_with = |id: &str, image: &str, running: bool, text: &str| {
            let folder = format!("/var/lib/docker/containers/{id}");
            let log = format!("{folder}/{id}-json.log");
            write(root.path(), &log, text);
            let config = format!(
                "{{\"State\":{{\"Running\":{running}}},\"Config\":{{\"Image\":\"{image}\"}},\"Name\":\"/web\",\
                 \"LogPath\":\"{}\"}}",
                below(root.path(), &log).display()
            );
            write(root.path(), &format!("{folder}/config.v2.json"), &config);
        };
        let container = |id: &str, image: &str, running: bool| container_with(id, image, running, "");
        container("aa", "nginx:1.27", true);
        container("bb", "registry.example:5000/team/traefik@sha256:0", true);
        container("cc", "nginx", false);
        container("dd", "postgres:16", true);
        container("ee", "nginx-exporter", true);
        container_with("ff", "nginxinc/nginx-unprivileged:1.27", true, request);
        container_with("gg", "php:8.3-apache", true, request);
        container_with("hh", "apache/superset:4", true, request);
        let containers = "var/lib/docker/containers";
        assert_eq!(
            found(root.path()),
            [
                ("Apache", format!("{containers}/gg/gg-json.log")),
                ("Traefik", format!("{containers}/bb/bb-json.log")),
                ("nginx", format!("{containers}/aa/aa-json.log")),
                ("nginx", format!("{containers}/ff/ff-json.log")),
            ]
        );
    }
}
