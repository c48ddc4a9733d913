//! `signatures`: which there are, what is wrong with them, and what a request or a log matches.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use secbeat_common::wire::FleetSignatures;
use secbeat_daemon::{
    cli::{Output, counted, print_json, printable},
    compressed::decompressed,
    time::rfc3339,
};
use secbeat_logs::{Detection, FormatChoice, Formats, Lines, LogLine, OpenLines};
use secbeat_signatures::{Matcher, Request, Sample, Scratch, Signature, shipped};
use serde::Serialize;

use crate::signatures::{Sought, read_file};

#[derive(Debug, Subcommand)]
pub enum Signatures {
    /// List the signatures of this host, and which of them are disabled.
    List {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    #[command(flatten)]
    Trial(Trial),
}

/// What finds out about signatures, which `secbeat` has as well.
#[derive(Debug, Subcommand)]
pub enum Trial {
    /// Check the signatures that are looked for, or those of files: their form, and the requests that they must match.
    Check {
        /// Files of signatures, in place of those of the config.
        files: Vec<PathBuf>,
    },
    Test(Test),
}

/// Show which signatures a request matches, or the lines of a log.
#[derive(Debug, Args)]
pub struct Test {
    /// The request, such as "GET /.env".
    #[arg(required_unless_present = "log", conflicts_with = "log")]
    request: Option<String>,
    /// Status of the response.
    #[arg(long, default_value_t = 404, value_parser = clap::value_parser!(u16).range(100..600))]
    status: u16,
    /// The client's user agent.
    #[arg(long, default_value = "", hide_default_value = true)]
    user_agent: String,
    /// The client's referer.
    #[arg(long, default_value = "", hide_default_value = true)]
    referer: String,
    /// The host that is asked.
    #[arg(long, default_value = "", hide_default_value = true)]
    host: String,
    /// An access log, also one compressed by gzip or Zstandard; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Format of the log, as for `explain`.
    #[arg(long, short, value_name = "FORMAT", default_value_t, requires = "log")]
    format: FormatChoice,
    /// Output format; JSON has an object per line of a log that matches.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

/// A signature as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    class: &'static str,
    severity: &'static str,
    title: &'a str,
    references: &'a [String],
    file: &'a str,
    line: usize,
    /// By what, if it is not looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<String>,
}

impl<'a> From<&'a Signature> for Shown<'a> {
    fn from(signature: &'a Signature) -> Self {
        Self {
            id: &signature.id,
            class: signature.class.into(),
            severity: signature.severity.into(),
            title: &signature.title,
            references: &signature.references,
            file: &signature.file,
            line: signature.line,
            disabled: None,
        }
    }
}

/// A signature of this host, for who lists those of others beside it.
#[derive(Clone, Debug)]
pub struct OwnSignature {
    pub id: String,
    pub title: String,
    pub class: &'static str,
    pub severity: &'static str,
    /// By what, if it is not looked for.
    pub disabled: Option<String>,
}

/// The signatures of this host: those that are looked for, and those that are not.
pub(super) fn own(sought: &Sought) -> Vec<OwnSignature> {
    let (matcher, _) = sought.load_all();
    let own = matcher.signatures().iter().map(|signature| OwnSignature {
        id: signature.id.clone(),
        title: signature.title.clone(),
        class: signature.class.into(),
        severity: signature.severity.into(),
        disabled: disabled(sought, &signature.id),
    });
    own.collect()
}

/// By what the signature `id` is disabled, if it is.
fn disabled(sought: &Sought, id: &str) -> Option<String> {
    if !sought.config.enabled {
        return Some("by the config, with all others".to_owned());
    }
    if sought.config.disable.iter().any(|disabled| disabled == id) {
        return Some("by the config".to_owned());
    }
    let by_fleet = sought.fleet.as_ref().and_then(|fleet| fleet.disabled(id))?;
    Some(match by_fleet.note.as_str() {
        "" => format!("by the fleet ({})", by_fleet.by),
        note => format!("by the fleet: {note}"),
    })
}

/// A matcher, and what it works with.
pub(super) struct Finder {
    matcher: Matcher,
    scratch: Scratch,
}

impl Finder {
    /// Of the signatures that are looked for; what is wrong with them goes to standard error.
    pub(super) fn new(sought: &Sought) -> Self {
        let (matcher, problems) = match sought.config.enabled {
            true => sought.load(),
            false => Matcher::build(&[], &[]),
        };
        for problem in problems {
            secbeat_daemon::complain!("secbeat-edge: {problem}");
        }
        Self {
            matcher,
            scratch: Scratch::new(),
        }
    }

    /// The signatures that a line of a log matches.
    pub(super) fn of_line(&mut self, line: &LogLine<'_>) -> Vec<&Signature> {
        self.of(&Request {
            method: &line.method,
            target: &line.path,
            status: line.status,
            user_agent: line.user_agent.as_deref().unwrap_or_default(),
            referer: line.referer.as_deref().unwrap_or_default(),
            host: line.host.as_deref().unwrap_or_default(),
            ..Request::default()
        })
    }

    fn of(&mut self, request: &Request<'_>) -> Vec<&Signature> {
        let hits = self.matcher.find(request, &mut self.scratch);
        let signatures = hits.iter().filter_map(|hit| self.matcher.signature(*hit));
        signatures.collect()
    }
}

impl Signatures {
    pub(super) fn run(&self, sought: &Sought) -> anyhow::Result<()> {
        match self {
            Self::List { output } => list(sought, *output),
            Self::Trial(trial) => trial.run(sought),
        }
    }
}

impl Trial {
    pub(super) fn run(&self, sought: &Sought) -> anyhow::Result<()> {
        match self {
            Self::Check { files } => check(sought, files),
            Self::Test(test) => test.run(&mut Finder::new(sought)),
        }
    }
}

fn list(sought: &Sought, output: Output) -> anyhow::Result<()> {
    let (matcher, problems) = sought.load_all();
    for problem in problems {
        secbeat_daemon::complain!("secbeat-edge: {problem}");
    }
    let shown = matcher.signatures().iter().map(|signature| Shown {
        disabled: disabled(sought, &signature.id),
        ..Shown::from(signature)
    });
    let shown: Vec<_> = shown.collect();
    if output == Output::Json {
        return print_json(&shown);
    }
    for shown in &shown {
        let disabled = shown.disabled.iter().map(|by| format!("; disabled {by}"));
        secbeat_daemon::say!(
            "{:<9} {:<16} {:<40} {}{}",
            shown.severity,
            shown.class,
            shown.id,
            shown.title,
            disabled.collect::<String>()
        );
    }
    if let Some(fleet) = &sought.fleet {
        secbeat_daemon::say!("{}", published(fleet));
    }
    let disabled = shown.iter().filter(|shown| shown.disabled.is_some()).count();
    secbeat_daemon::say!(
        "{} signatures, {disabled} disabled, {} KiB of memory",
        shown.len(),
        matcher.memory() / 1024
    );
    Ok(())
}

/// Returns which set the fleet published, and when.
fn published(fleet: &FleetSignatures) -> String {
    let names: Vec<_> = fleet.files.iter().map(|file| file.name.as_str()).collect();
    let files = match names.as_slice() {
        [] => "no file".to_owned(),
        names => names.join(", "),
    };
    format!(
        "the fleet's set {}: {files}, {} disabled, changed {} by {}",
        fleet.digest(),
        fleet.disabled.len(),
        rfc3339(fleet.changed_at_ms),
        fleet.changed_by
    )
}

fn check(sought: &Sought, files: &[PathBuf]) -> anyhow::Result<()> {
    let (matcher, mut problems) = match files {
        [] => sought.load(),
        files => {
            let read =
                |path: &PathBuf| read_file(path).with_context(|| format!("reading {}", path.display()));
            let own = files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
            // Ids must not be those of the shipped set either.
            Matcher::build(&[shipped(), own].concat(), &[])
        }
    };
    problems.extend(matcher.verify());
    for problem in &problems {
        secbeat_daemon::complain!("{problem}");
    }
    match problems.len() {
        0 => secbeat_daemon::say!("{} signatures: ok", matcher.signatures().len()),
        1 => bail!("1 problem"),
        many => bail!("{many} problems"),
    }
    Ok(())
}

impl Test {
    fn run(&self, finder: &mut Finder) -> anyhow::Result<()> {
        match (&self.request, &self.log) {
            (Some(request), _) => self.one(request, finder),
            (None, Some(log)) => self
                .log(log, finder)
                .with_context(|| format!("reading {}", log.display())),
            (None, None) => Ok(()),
        }
    }

    fn one(&self, request: &str, finder: &mut Finder) -> anyhow::Result<()> {
        let sample = Sample {
            status: self.status,
            user_agent: self.user_agent.clone(),
            referer: self.referer.clone(),
            host: self.host.clone(),
            ..Sample::of_line(request)
        };
        let found = sample.with(|request| {
            let found = finder.of(request);
            found.into_iter().cloned().collect::<Vec<_>>()
        });
        let shown: Vec<_> = found.iter().map(Shown::from).collect();
        if self.output == Output::Json {
            return print_json(&shown);
        }
        for shown in &shown {
            let Shown {
                id,
                class,
                severity,
                title,
                ..
            } = shown;
            secbeat_daemon::say!(
                "{id}: {title} ({class}, {severity}; {})",
                shown.references.join(", ")
            );
        }
        if shown.is_empty() {
            secbeat_daemon::say!("no signature matches");
        }
        Ok(())
    }

    fn log(&self, path: &Path, finder: &mut Finder) -> anyhow::Result<()> {
        let input: Box<dyn Read> = match path == Path::new("-") {
            true => decompressed(io::stdin())?,
            false => decompressed(File::open(path)?)?,
        };
        let mut output = BufWriter::new(io::stdout().lock());
        match &self.format {
            FormatChoice::Is(formats) => self.lines(formats, input, finder, &mut output)?,
            FormatChoice::Auto => {
                let (detection, input) = Detection::of(input)?;
                if let Some(conflict) = detection.conflict() {
                    bail!("{conflict}");
                }
                self.lines(&detection.likeliest().into(), input, finder, &mut output)?;
            }
        }
        Ok(output.flush()?)
    }

    fn lines(
        &self,
        formats: &Formats,
        input: impl Read,
        finder: &mut Finder,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let mut open = OpenLines::default();
        let mut lines = Lines::new(input);
        let mut counts = BTreeMap::<String, u64>::new();
        let (mut number, mut matching) = (0_u64, 0_u64);
        while let Some(piece) = lines.next_piece()? {
            let Some(parsed) = formats.read(piece, &mut open) else {
                continue;
            };
            number += 1;
            let Ok(line) = parsed else { continue };
            let found = finder.of_line(&line);
            if found.is_empty() {
                continue;
            }
            matching += 1;
            for signature in &found {
                *counts.entry(signature.id.clone()).or_default() += 1;
            }
            self.line(number, &line, &found, output)?;
        }
        if self.output == Output::Table {
            writeln!(
                output,
                "{}, {matching} of them match",
                counted(number, "line", "lines")
            )?;
            for (id, count) in counts {
                writeln!(output, "{count:>8}  {id}")?;
            }
        }
        Ok(())
    }

    fn line(
        &self,
        number: u64,
        line: &LogLine<'_>,
        found: &[&Signature],
        output: &mut impl Write,
    ) -> io::Result<()> {
        let ids: Vec<_> = found.iter().map(|signature| signature.id.as_str()).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (method, target) = (text(&line.method), text(&line.path));
        if self.output == Output::Json {
            let matching = Matching {
                line: number,
                client: line.client.to_string(),
                status: line.status,
                method,
                target,
                signatures: ids,
            };
            serde_json::to_writer(&mut *output, &matching)?;
            return output.write_all(b"\n");
        }
        let (client, status, ids) = (line.client, line.status, ids.join(", "));
        writeln!(
            output,
            "{number:>8}  {client}  {status:>3}  {}  {}  [{ids}]",
            printable(&method),
            printable(&target)
        )
    }
}

/// A line of a log that matches.
#[derive(Debug, Serialize)]
struct Matching<'a> {
    /// From 1.
    line: u64,
    client: String,
    status: u16,
    method: String,
    target: String,
    signatures: Vec<&'a str>,
}
