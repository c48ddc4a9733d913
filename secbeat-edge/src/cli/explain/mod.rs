//! `explain`: an access log line by line, as the edge's reader understands it.

mod firewall;
mod service;
mod suggest;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use jiff::{Timestamp, tz::TimeZone};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    cli::{Output, counted, printable},
    compressed::decompressed,
    rotated::entry_of,
};
use secbeat_logs::{
    Caution, Conflict, Detection, Format, FormatChoice, Formats, Lines, LogError, LogLine, OpenLines, Piece,
};
use serde::Serialize;

use self::{firewall::Choice, service::Services, suggest::Server};
use super::{filter, signatures::Finder};
use crate::{
    config::Config,
    signatures::Sought,
    sources::{
        access_log::{AccessLogConfig, ClientColumn},
        client_address::TrustedProxies,
        service_log::Filters,
    },
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long, short, value_name = "FORMAT", default_value = "auto", help = formats_help())]
    format: Vec<Choice>,
    /// Time zone of times that are logged without one, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = TimeZone::get)]
    time_zone: TimeZone,
    /// Network of a proxy whose lists of addresses are believed, as in the edge's trusted_proxies; can be repeated. Without it,
    /// the last address of a list is the client.
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<Prefix>,
    /// The log is of a service, such as sshd: judge its lines by this filter (`secbeat-edge filter list`).
    #[arg(long, value_name = "FILTER", conflicts_with_all = ["format", "trusted_proxies", "suggest"])]
    service: Option<String>,
    /// Output format; JSON has an object per line.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
    /// Print a log format for this web server which is understood, and in which no request can move a field.
    #[arg(long, value_enum, value_name = "SERVER")]
    suggest: Option<Server>,
    /// Log file, also one compressed by gzip or Zstandard; `-` is standard input. One that the config names is read as its entry says,
    /// unless `--format` is given.
    #[arg(required_unless_present = "suggest", conflicts_with = "suggest")]
    file: Option<PathBuf>,
}

fn formats_help() -> String {
    format!(
        "Format of the lines: auto, {}, modsecurity-json, coraza-json, or a pattern such as `$remote_addr [$time_local] \"$request\" \
         $status`; can be repeated, and names can have commas between them, if lines are in several",
        Format::names()
    )
}

/// What a line is understood as.
#[derive(Debug, Serialize)]
struct Understood {
    client: String,
    /// RFC 3339, UTC.
    at: String,
    status: u16,
    /// The line names its client, and the rest cannot be read: an error of the client.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unreadable: bool,
    method: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    /// Ids of those that the request matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<String>,
}

/// A line of the JSON output.
#[derive(Debug, Serialize)]
struct Explained {
    /// From 1.
    line: u64,
    #[serde(flatten)]
    understood: Option<Understood>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The last line of the JSON output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    format: String,
    lines: u64,
    understood: u64,
    /// Of the beginning of the log: each format and how many lines it understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detected_from: Vec<(String, usize)>,
    /// What the log's server has to mend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cautions: Vec<Cow<'static, str>>,
}

/// The logs of the config, and whose lists of addresses it believes.
#[derive(Debug, Default)]
pub(super) struct Logs {
    entries: Vec<AccessLogConfig>,
    trusted: Vec<Prefix>,
}

impl Logs {
    pub(super) fn of(config: Config) -> Self {
        Self {
            entries: config.access_log,
            trusted: config.trusted_proxies,
        }
    }

    /// The entry that names `file`, or the log that it was before it was rotated.
    fn entry(&self, file: &Path) -> Option<&AccessLogConfig> {
        entry_of(&self.entries, file, |entry, path| entry.place.covers(path))
    }
}

/// How the client of a line is found.
struct Clients {
    trusted: TrustedProxies,
    /// Whether a list of addresses is walked; otherwise, the last one is the client.
    are_listed: bool,
    /// Whether the config says that they come from a header.
    are_of_header: bool,
}

impl Clients {
    fn of(args: &Args) -> Self {
        Self {
            trusted: args.trusted_proxies.iter().copied().collect(),
            are_listed: true,
            are_of_header: false,
        }
    }
}

pub(super) fn run(args: &Args, filters: &Filters, signatures: &Sought, logs: &Logs) -> anyhow::Result<()> {
    if let (Some(service), Some(file)) = (&args.service, &args.file) {
        let filter = filters.load(service).map_err(anyhow::Error::msg)?;
        return filter::explain(&filter, file, args.output);
    }
    let mut finder = Finder::new(signatures);
    let mut output = BufWriter::new(io::stdout().lock());
    if let Some(server) = args.suggest {
        suggest::print(server, args.output, &mut output).context("writing to standard output")?;
    }
    let summary = match &args.file {
        Some(file) => explain_named(args, logs, file, &mut finder, &mut output)
            .with_context(|| format!("explaining {}", file.display()))?,
        None => Summary::default(),
    };
    output.flush().context("writing to standard output")?;
    if summary.understood == 0 && summary.lines > 0 {
        let name = args.file.as_deref().unwrap_or(Path::new("-")).display();
        bail!("no line of {name} is a request that can be counted");
    }
    Ok(())
}

/// Explains a file as its entry in the config reads it, unless there is none, or the format is stated.
fn explain_named(
    args: &Args,
    logs: &Logs,
    file: &Path,
    finder: &mut Finder,
    output: &mut impl Write,
) -> io::Result<Summary> {
    let is_stated = !matches!(Choice::of(&args.format), Ok(Choice::Access(FormatChoice::Auto)));
    let Some(entry) = logs.entry(file).filter(|_| !is_stated) else {
        return explain_file(args, file, finder, output);
    };
    let are_of_header = entry.client == ClientColumn::Header;
    let trusted = match args.trusted_proxies.is_empty() {
        true => &logs.trusted,
        false => &args.trusted_proxies,
    };
    let clients = Clients {
        trusted: trusted.iter().copied().collect(),
        are_listed: are_of_header,
        are_of_header,
    };
    let input = decompressed(File::open(file)?)?;
    if args.output == Output::Table {
        let client = if are_of_header { "header" } else { "peer" };
        writeln!(
            output,
            "as the config's entry for {} reads it, with client = \"{client}\"",
            entry.place
        )?;
    }
    explain_as((&entry.format, &[]), &clients, args, input, finder, output)
}

fn explain_file(
    args: &Args,
    file: &Path,
    finder: &mut Finder,
    output: &mut impl Write,
) -> io::Result<Summary> {
    if file == Path::new("-") {
        explain(args, decompressed(io::stdin())?, finder, output)
    } else {
        explain(args, decompressed(File::open(file)?)?, finder, output)
    }
}

fn explain(
    args: &Args,
    input: impl Read,
    finder: &mut Finder,
    output: &mut impl Write,
) -> io::Result<Summary> {
    match Choice::of(&args.format).map_err(io::Error::other)? {
        Choice::Firewall(format) => firewall::explain(format, args, input, output),
        Choice::Access(FormatChoice::Is(formats)) => {
            let formats = formats.with_time_zone(&args.time_zone);
            explain_as((&formats, &[]), &Clients::of(args), args, input, finder, output)
        }
        Choice::Access(FormatChoice::Auto) => {
            let (detection, input) = Detection::of(input)?;
            if args.output == Output::Table {
                writeln!(
                    output,
                    "of the first {}",
                    counted(detection.lines(), "line", "lines")
                )?;
                let understood = detection.understood().iter();
                let fitting = understood.filter(|(_, understood)| *understood > 0);
                let mut is_known = false;
                for (format, understood) in fitting {
                    is_known = true;
                    writeln!(output, "  {understood:>6} as {format}")?;
                }
                if !is_known {
                    writeln!(output, "  none is in a known format")?;
                }
            }
            if let Some(conflict) = detection.conflict() {
                if args.output == Output::Table {
                    write_readings(&conflict, output)?;
                }
                return Err(io::Error::other(conflict.to_string()));
            }
            let formats = Formats::from(detection.likeliest()).with_time_zone(&args.time_zone);
            let detected = (&formats, detection.understood());
            explain_as(detected, &Clients::of(args), args, input, finder, output)
        }
    }
}

/// The line, and whom each of the two formats would blame for it.
fn write_readings(conflict: &Conflict<'_>, output: &mut impl Write) -> io::Result<()> {
    let text = String::from_utf8_lossy(conflict.line);
    writeln!(output, "this line has two readings:\n  {}", printable(&text))?;
    let readings = conflict.clients.iter().zip(conflict.statuses);
    for (format, (client, status)) in conflict.formats.iter().zip(readings) {
        writeln!(
            output,
            "  as {format}, the client is {client}, and the status {status}"
        )?;
    }
    output.flush()
}

fn explain_as(
    (formats, detected_from): (&Formats, &[(Format, usize)]),
    clients: &Clients,
    args: &Args,
    input: impl Read,
    finder: &mut Finder,
    output: &mut impl Write,
) -> io::Result<Summary> {
    let mut summary = Summary {
        format: formats.to_string(),
        lines: 0,
        understood: 0,
        detected_from: detected_from
            .iter()
            .map(|(format, understood)| (format.to_string(), *understood))
            .collect(),
        cautions: Vec::new(),
    };
    let mut cautions: BTreeSet<Caution> = match clients.are_of_header {
        true => Caution::of_header(formats).into_iter().collect(),
        false => Caution::of_formats(formats).into_iter().collect(),
    };
    let mut of_firewall = None;
    let is_unknown =
        !detected_from.is_empty() && detected_from.iter().all(|(_, understood)| *understood == 0);
    let mut services = is_unknown.then(Services::shipped);
    let mut of_service = None;
    if args.output == Output::Table {
        writeln!(output, "read as {formats}")?;
    }
    let mut formats = formats.clone();
    let mut lines = Lines::new(input);
    let mut open = OpenLines::default();
    while let Some(piece) = lines.next_piece()? {
        let Some(parsed) = formats.read(piece, &mut open) else {
            continue;
        };
        formats.doubt_if_called_for(&parsed);
        if let Piece::Line(line) = piece {
            let caution = Caution::of_line(line, &parsed);
            let is_stated =
                |caution: &Caution| clients.are_of_header && *caution == Caution::ClientFromHeader;
            cautions.extend(caution.filter(|caution| !is_stated(caution)));
            if of_firewall.is_none() && parsed.is_err() && !detected_from.is_empty() {
                of_firewall = firewall::note(line);
            }
            if let Some(services) = services.as_mut().filter(|_| of_service.is_none()) {
                of_service = services.note(line, &args.time_zone);
            }
        }
        let parsed = parsed.and_then(|mut line| {
            if !clients.are_listed {
                line.forwarded = None;
            }
            line.see_through(|address| clients.trusted.contains(address))?;
            Ok(line)
        });
        summary.lines += 1;
        summary.understood += u64::from(parsed.is_ok());
        let understood = parsed.map(|line| Understood::new(&line, finder));
        match args.output {
            Output::Table => write_row(summary.lines, understood, output)?,
            Output::Json => {
                let (understood, error) = match understood {
                    Ok(line) => (Some(line), None),
                    Err(error) => (None, Some(error.to_string())),
                };
                let explained = Explained {
                    line: summary.lines,
                    understood,
                    error,
                };
                write_json(&explained, output)?;
            }
        }
    }
    summary.cautions = cautions
        .into_iter()
        .map(Caution::text)
        .chain(of_firewall)
        .map(Cow::Borrowed)
        .chain(of_service)
        .collect();
    write_summary(&summary, args.output, output)?;
    Ok(summary)
}

fn write_summary(summary: &Summary, shown: Output, output: &mut impl Write) -> io::Result<()> {
    let Summary {
        lines, understood, ..
    } = summary;
    match shown {
        Output::Table => {
            writeln!(
                output,
                "{}, {understood} understood, {} not",
                counted(*lines, "line", "lines"),
                lines - understood
            )?;
            summary
                .cautions
                .iter()
                .try_for_each(|caution| writeln!(output, "note: {caution}"))
        }
        Output::Json => write_json(summary, output),
    }
}

fn write_json(value: &impl Serialize, output: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *output, value)?;
    output.write_all(b"\n")
}

fn write_row(
    number: u64,
    understood: Result<Understood, LogError>,
    output: &mut impl Write,
) -> io::Result<()> {
    let line = match understood {
        Ok(line) => line,
        Err(error) => return writeln!(output, "{number:>8}  not understood: {error}"),
    };
    let Understood {
        client,
        at,
        status,
        unreadable,
        method,
        path,
        host,
        user_agent: _,
        signatures,
    } = line;
    let or_dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            printable(text).into_owned()
        }
    };
    let host = host.as_deref().unwrap_or_default();
    let mut note = match unreadable {
        true => "  (the rest cannot be read: an error of the client)".to_owned(),
        false => String::new(),
    };
    if !signatures.is_empty() {
        note = format!("{note}  [{}]", signatures.join(", "));
    }
    writeln!(
        output,
        "{number:>8}  {client}  {at}  {status:>3}  {}  {}  {}{note}",
        or_dash(&method),
        or_dash(&path),
        or_dash(host),
    )
}

impl Understood {
    fn new(line: &LogLine<'_>, finder: &mut Finder) -> Self {
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let at = Timestamp::from_millisecond(line.at_ms);
        Self {
            client: line.client.to_string(),
            at: at.map_or_else(|_| format!("{} ms", line.at_ms), |at| format!("{at:.3}")),
            status: line.status,
            unreadable: line.unreadable,
            method: text(&line.method),
            path: text(&line.path),
            host: line.host.as_deref().map(text),
            user_agent: line.user_agent.as_deref().map(text),
            signatures: finder
                .of_line(line)
                .iter()
                .map(|signature| signature.id.clone())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] \"GET /\u{1b}[2J HTTP/1.1\" 404 125 \"-\" \"curl\"\n\
                       2001:db8::7 - - [10/Oct/2023:11:06:57 +0200] \"\" 400 0\n\
                       nonsense\n";

    #[derive(clap::Parser)]
    struct Parser {
        #[command(flatten)]
        args: Args,
    }

    fn finder() -> Finder {
        Finder::new(&Sought::default())
    }

    #[test]
    fn signatures_that_a_line_matches_are_named() {
        let log = "203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] \"GET /.env?a=1+union+select+1 HTTP/1.1\" 404 1 \"-\" \"sqlmap/1\"\n";
        let shown = explained_of(log, &["-fcombined"]);
        assert!(
            shown.contains("[env-file, sqli-union-select, agent-sqlmap]"),
            "{shown}"
        );
        let shown = explained_of(log, &["-fcombined", "-ojson"]);
        assert!(
            shown.contains("\"signatures\":[\"env-file\",\"sqli-union-select\",\"agent-sqlmap\"]"),
            "{shown}"
        );
    }

    fn explained(arguments: &[&str]) -> String {
        explained_of(LOG, arguments)
    }

    pub(super) fn explained_of(log: &str, arguments: &[&str]) -> String {
        let arguments = ["explain"].iter().chain(arguments).chain(&["-"]);
        let Parser { args } = clap::Parser::parse_from(arguments);
        let mut output = Vec::new();
        explain(&args, log.as_bytes(), &mut finder(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn lists_are_read_through_the_proxies_that_are_named() {
        let log = "203.0.113.66, 10.0.0.5 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 1\n";
        for (arguments, expected) in [
            (&["-fcombined"][..], "  10.0.0.5  2023"),
            (
                &["-fcombined", "--trusted-proxy=10.0.0.0/8"],
                "  203.0.113.66  2023",
            ),
            (
                &[
                    "-fcombined",
                    "--trusted-proxy=10.0.0.0/8",
                    "--trusted-proxy=203.0.113.66",
                ],
                "not understood: the list names no client",
            ),
        ] {
            let shown = explained_of(log, arguments);
            assert!(shown.contains(expected), "{shown}");
        }
    }

    #[test]
    fn people_see_formats_lines_and_a_summary() {
        assert_eq!(
            explained(&[]),
            "of the first 3 lines\n       2 as combined\n       2 as common\n       2 as ingress-nginx\n       2 as lighttpd\n       \
             1 as python-http-server\n\
             read as combined\n       \
             1  203.0.113.7  2023-10-10T09:06:56.000Z  404  GET  /\\u{1b}[2J  -\n       \
             2  2001:db8::7  2023-10-10T09:06:57.000Z  400  -  -  -\n       \
             3  not understood: no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\n\
             3 lines, 2 understood, 1 not\n"
        );
    }

    #[test]
    fn programs_see_the_same_as_json() {
        assert_eq!(
            explained(&["-o", "json", "--format", "combined"]),
            "{\"line\":1,\"client\":\"203.0.113.7\",\"at\":\"2023-10-10T09:06:56.000Z\",\"status\":404,\"method\":\"GET\",\
             \"path\":\"/\\u001b[2J\",\"user_agent\":\"curl\"}\n\
             {\"line\":2,\"client\":\"2001:db8::7\",\"at\":\"2023-10-10T09:06:57.000Z\",\"status\":400,\"method\":\"\",\
             \"path\":\"\"}\n\
             {\"line\":3,\"error\":\"no time like [10/Oct/2023:11:06:56 +0200] before the quoted request\"}\n\
             {\"format\":\"combined\",\"lines\":3,\"understood\":2}\n"
        );
    }

    #[test]
    fn a_format_that_is_named_is_not_looked_for() {
        let shown = explained(&["--format", "haproxy"]);
        assert!(
            shown.starts_with("read as haproxy\n       1  not understood: no `client:port"),
            "{shown}"
        );
        assert!(shown.ends_with("\n3 lines, 0 understood, 3 not\n"), "{shown}");
    }

    #[test]
    fn lines_may_be_in_several_formats() {
        let json = r#"{"remote_addr":"203.0.113.8","msec":1,"status":404,"request":"GET / HTTP/1.1"}"#;
        let log = format!("{LOG}{json}\n");
        for formats in [&["-fcombined", "-fnginx-json"][..], &["-fcombined,nginx-json"]] {
            let shown = explained_of(&log, formats);
            assert!(shown.starts_with("read as combined or nginx-json\n"), "{shown}");
            assert!(shown.ends_with("\n4 lines, 3 understood, 1 not\n"), "{shown}");
        }
    }

    #[test]
    fn a_log_that_rotation_has_compressed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log.2.gz");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(LOG.as_bytes()).unwrap();
        std::fs::write(&path, gzip.finish().unwrap()).unwrap();
        let Parser { args } = clap::Parser::parse_from(["explain", path.to_str().unwrap()]);
        let summary = explain_file(&args, &path, &mut finder(), &mut Vec::new()).unwrap();
        assert_eq!((summary.lines, summary.understood), (3, 2));
    }

    #[test]
    fn a_file_that_an_entry_names_is_read_as_that_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.json");
        let line = r#"{"at":"2026-11-21 10:06:56","who":["6.6.6.6","203.0.113.7, 10.0.0.5"],"code":404}"#;
        std::fs::write(&path, format!("{line}\n")).unwrap();
        let rotated = folder.path().join("k.json.1");
        std::fs::copy(&path, &rotated).unwrap();
        let shown_of = |path: &Path, client: &str, arguments: &[&str]| {
            let entry = format!(
                "path = \"{}/*.json\"\nclient = \"{client}\"\ntime_zone = \"+02:00\"\n[keys]\nclient = \"who\"\ntime = \"at\"\nstatus = \"code\"",
                folder.path().canonicalize().unwrap().display()
            );
            let logs = Logs {
                entries: vec![toml::from_str(&entry).unwrap()],
                trusted: vec!["10.0.0.0/8".parse().unwrap()],
            };
            let file = path.to_str().unwrap();
            let Parser { args } =
                clap::Parser::parse_from(["explain"].iter().chain(arguments).chain(&[file]));
            let mut output = Vec::new();
            explain_named(&args, &logs, path, &mut finder(), &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        let shown = |client: &str, arguments: &[&str]| shown_of(&path, client, arguments);
        let header = shown("header", &[]);
        assert!(
            header.contains("  203.0.113.7  2026-11-21T08:06:56.000Z  404  "),
            "{header}"
        );
        assert!(
            header.contains("/*.json reads it, with client = \"header\"\nread as json\n"),
            "{header}"
        );
        assert_eq!(shown_of(&rotated, "header", &[]), header);
        let peer = shown("peer", &[]);
        assert!(
            peer.contains("not understood: the client is a trusted proxy"),
            "{peer}"
        );
        let stated = shown("header", &["-fnginx-json"]);
        assert!(stated.contains("not understood: no client address"), "{stated}");
    }

    #[test]
    fn a_number_at_the_end_of_a_name_may_be_its_own() {
        let entry = |name: &str| toml::from_str(&format!("path = \"/a/{name}\"")).unwrap();
        let logs = Logs {
            entries: vec![entry("shop.log"), entry("shop-2.log")],
            trusted: Vec::new(),
        };
        for (path, expected) in [
            ("/a/shop-2.log", "/a/shop-2.log"),
            ("/a/shop-2.log.1", "/a/shop-2.log"),
            ("/a/shop.log.2", "/a/shop.log"),
        ] {
            let found = logs.entry(Path::new(path)).unwrap();
            assert_eq!(found.place.to_string(), expected, "{path}");
        }
    }

    #[test]
    fn what_the_server_of_a_log_has_to_mend_is_said() {
        let traefik =
            r#"203.0.113.7 - - [10/Oct/2023:11:06:56 +0200] "GET /?" HTTP/1.1" 401 17 "-" "-" 1 "a" "b" 1ms"#;
        let envoy =
            r#"[2026-11-21T10:06:56Z] "GET /x HTTP/1.1" 404 - 0 12 30 15 "6.6.6.6" "curl" "f47a" "a" "b""#;
        for (log, arguments, expected) in [
            (traefik, &["-fcombined"][..], "note: Traefik's common log format"),
            (envoy, &[], "note: the client comes from a header"),
            ("203.0.113.7 - x", &["-fcombined"], "note: a line ends within"),
            (
                "Nov 28 09:00:09 host sshd-session[4109]: Failed password for root from 203.0.113.7 port 40030 ssh2",
                &[],
                "note: a line is that of a service, OpenSSH server: state `--service sshd`",
            ),
            (
                "Nov 28 09:00:09 host x[4109]: pam_unix(x:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.7  user=root",
                &[],
                "note: a line is that of a service, ",
            ),
        ] {
            let shown = explained_of(&format!("{log}\n"), arguments);
            let notes: Vec<_> = shown.lines().filter(|line| line.starts_with("note: ")).collect();
            assert!(notes.len() == 1 && notes[0].starts_with(expected), "{shown}");
        }
        let shown = explained_of(&format!("{traefik}\n"), &["-fcombined", "-ojson"]);
        assert!(shown.contains("\"cautions\":[\"Traefik's"), "{shown}");
        assert!(shown.contains("\"unreadable\":true"), "{shown}");
    }

    #[test]
    fn a_line_with_two_readings_is_shown_with_both_and_blamed_on_nobody() {
        let Parser { args } = clap::Parser::parse_from(["explain", "-"]);
        let log = "203.0.113.7 198.51.100.66 - - [10/Oct/2023:11:06:56 +0200] \"GET / HTTP/1.1\" 404 125\n";
        let mut output = Vec::new();
        let error = explain(&args, log.as_bytes(), &mut finder(), &mut output)
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("state the format"), "{error}");
        let shown = String::from_utf8(output).unwrap();
        let (_, readings) = shown.split_once("this line has two readings:\n").unwrap();
        assert_eq!(
            readings,
            format!(
                "  {log}  as vhost-combined, the client is 198.51.100.66, and the status 404\n  as lighttpd, the client is \
                 203.0.113.7, and the status 404\n"
            )
        );
    }
}
