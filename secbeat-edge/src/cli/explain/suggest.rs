//! `explain --suggest`: how to have a web server write a log from which nobody else can be blamed.

use std::io::{self, Write};

use clap::ValueEnum;
use secbeat_daemon::{cli::Output, program};
use serde::Serialize;

/// A web server that can be told how to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Server {
    Nginx,
    Apache,
    Lighttpd,
    Caddy,
    Haproxy,
    Traefik,
    Envoy,
}

/// A log format of a server, and how the edge reads it. No request can move a field in it: the client stands where only the
/// server writes, and the server escapes what a client sends.
#[derive(Debug, Serialize)]
struct Suggestion {
    server: Server,
    /// Where `config` belongs.
    place: &'static str,
    /// Part of the server's config.
    config: &'static str,
    /// The log that it writes.
    path: &'static str,
    /// `format` of the `[[access_log]]`.
    format: &'static str,
}

impl Server {
    const fn suggestion(self) -> Suggestion {
        let (place, path, format, config) = match self {
            Self::Nginx => (
                "http { } of /etc/nginx/nginx.conf",
                "/var/log/nginx/secbeat.log",
                "nginx-json",
                r#"log_format secbeat escape=json '{"msec":"$msec","remote_addr":"$remote_addr","status":"$status",'
    '"request_method":"$request_method","request_uri":"$request_uri","http_host":"$http_host",'
    '"http_user_agent":"$http_user_agent","request":"$request"}';
access_log /var/log/nginx/secbeat.log secbeat;
"#,
            ),
            Self::Apache => (
                "the <VirtualHost>, or the server's config",
                "/var/log/apache2/secbeat.log",
                "combined",
                r#"LogFormat "%a - - %t \"%r\" %>s %B \"%{Referer}i\" \"%{User-Agent}i\"" secbeat
CustomLog /var/log/apache2/secbeat.log secbeat
"#,
            ),
            Self::Lighttpd => (
                "/etc/lighttpd/lighttpd.conf",
                "/var/log/lighttpd/secbeat.log",
                "combined",
                r#"server.modules += ( "mod_accesslog" )
accesslog.filename = "/var/log/lighttpd/secbeat.log"
accesslog.format = "%h - - %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""
"#,
            ),
            Self::Caddy => (
                "the site in the Caddyfile",
                "/var/log/caddy/secbeat.log",
                "caddy-json",
                "log {\n    output file /var/log/caddy/secbeat.log\n    format json\n}\n",
            ),
            Self::Haproxy => (
                "the frontend; `log` lines and where they go stay as they are",
                "/var/log/haproxy.log",
                "haproxy",
                "option httplog\n",
            ),
            Self::Traefik => (
                "the static configuration, as YAML",
                "/var/log/traefik/secbeat.log",
                "traefik-json",
                "accessLog:\n  filePath: /var/log/traefik/secbeat.log\n  format: json\n  fields:\n    headers:\n      names:\n        User-Agent: keep\n",
            ),
            Self::Envoy => (
                "access_log of the HTTP connection manager",
                "/var/log/envoy/secbeat.log",
                "envoy-json",
                r#"- name: envoy.access_loggers.file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: /var/log/envoy/secbeat.log
    log_format:
      json_format:
        start_time: "%START_TIME%"
        downstream_remote_address: "%DOWNSTREAM_REMOTE_ADDRESS%"
        response_code: "%RESPONSE_CODE%"
        method: "%REQ(:METHOD)%"
        path: "%REQ(:PATH)%"
        ":authority": "%REQ(:AUTHORITY)%"
        user_agent: "%REQ(USER-AGENT)%"
"#,
            ),
        };
        Suggestion {
            server: self,
            place,
            config,
            path,
            format,
        }
    }
}

/// Prints the suggestion for a server, for people or as JSON.
///
/// # Errors
///
/// Returns the errors of the output.
pub(super) fn print(server: Server, output: Output, to: &mut impl Write) -> io::Result<()> {
    let suggestion = server.suggestion();
    let Suggestion {
        place,
        config,
        path,
        format,
        ..
    } = suggestion;
    match output {
        Output::Json => super::write_json(&suggestion, to),
        Output::Table => writeln!(
            to,
            "# {place}\n{config}\n# {}\n[[access_log]]\npath = \"{path}\"\nformat = \"{format}\"\n\n\
             # Then see how it is read\n{} explain --format {format} {path}",
            if program::is_one_host() {
                "secbeat.toml"
            } else {
                "edge.toml"
            },
            program::of_host()
        ),
    }
}

#[cfg(test)]
mod tests {
    use secbeat_logs::Format;

    use super::*;

    #[test]
    fn every_suggestion_names_a_format_and_the_log_that_its_config_writes() {
        for server in Server::value_variants() {
            let Suggestion {
                config, path, format, ..
            } = server.suggestion();
            assert_eq!(format.parse::<Format>().unwrap().to_string(), format);
            assert!(
                config.contains(path) || *server == Server::Haproxy,
                "{server:?} logs elsewhere"
            );
            let chosen_by_client = ["X-ENVOY-ORIGINAL-PATH", "X-FORWARDED-FOR"];
            assert!(
                !chosen_by_client.iter().any(|header| config.contains(header)),
                "{server:?}"
            );
        }
    }

    #[test]
    fn people_see_what_to_write_where() {
        let mut shown = Vec::new();
        print(Server::Haproxy, Output::Table, &mut shown).unwrap();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "# the frontend; `log` lines and where they go stay as they are\noption httplog\n\n# edge.toml\n[[access_log]]\n\
             path = \"/var/log/haproxy.log\"\nformat = \"haproxy\"\n\n# Then see how it is read\n\
             secbeat-edge explain --format haproxy /var/log/haproxy.log\n"
        );
    }
}
