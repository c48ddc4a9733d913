//! Results of a filter for lines.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use secbeat_daemon::{
    cli::{Output, printable},
    compressed::decompressed,
};
use secbeat_logs::{
    Lines, OpenLines, Piece,
    services::{Clock, Filter, Input, Judged, Verdict, import::with_lines},
};
use serde::Serialize;

use super::{Filters, clock, find, translate};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of a filter, or a file.
    filter: String,
    /// A line to judge.
    #[arg(required_unless_present = "log", conflicts_with = "log")]
    line: Option<String>,
    /// Judge all lines of this file, also one compressed by gzip or Zstandard; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Output format; JSON has an object per line.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

/// A line, and whom it blames.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// From 1.
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// RFC 3339, UTC; left out if the line does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The reason why it blames nobody, although a pattern matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    nobody: Option<&'static str>,
}

/// The last line of the output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    lines: u64,
    blaming: u64,
    ambiguous: u64,
    /// Lines of other services, or without a head.
    foreign: u64,
}

pub(super) fn run(filters: &Filters, args: &Args) -> anyhow::Result<()> {
    let filter = find(filters, &args.filter)?;
    match (&args.line, &args.log) {
        (Some(line), _) => test_line(&filter, line, args.output),
        (None, Some(log)) => explain(&filter, log, args.output),
        (None, None) => bail!("name a line, or a file with --log"),
    }
}

fn test_line(filter: &Filter, line: &str, output: Output) -> anyhow::Result<()> {
    let own = OpenLines::default().service_line(line.as_bytes());
    let own = own.context("the line is a part of one, which a container's runtime divided")?;
    let judged = filter.judge(&Input::Line(&own), &clock());
    let what = match &judged.verdict {
        Verdict::Foreign => "is not of this service: its header or its program differs",
        Verdict::Nothing if judged.forgiven.is_some() => {
            "tells of success, and takes back what lines of the same attempt said before"
        }
        Verdict::Nothing => "is of this service, and matches no pattern",
        _ => "",
    };
    if what.is_empty() {
        let mut out = io::stdout().lock();
        write_shown(&shown(1, &judged), output, &mut out).context("writing to standard output")?;
    }
    match judged.verdict {
        Verdict::Blames(_) => Ok(()),
        _ if what.is_empty() => bail!("the line blames no client"),
        _ => bail!("the line {what}"),
    }
}

/// Shows what `filter` makes of each line of `log`, but for lines that say nothing.
///
/// # Errors
///
/// Returns the errors of reading and writing.
pub(in crate::cli) fn explain(filter: &Filter, log: &Path, output: Output) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let summary = judge_all(filter, open(log)?, &clock(), |number, _, judged| {
        let is_telling = !matches!(judged.verdict, Verdict::Foreign | Verdict::Nothing);
        match is_telling {
            true => write_shown(&shown(number, judged), output, &mut out),
            false => Ok(()),
        }
    });
    let summary = summary.with_context(|| format!("reading {}", log.display()))?;
    let Summary {
        lines,
        blaming,
        ambiguous,
        foreign,
    } = &summary;
    match output {
        Output::Json => {
            serde_json::to_writer(&mut out, &summary)?;
            writeln!(out)?;
        }
        Output::Table => writeln!(
            out,
            "{lines} lines: {blaming} blame a client, {ambiguous} do not say for certain which, {foreign} are of other services"
        )?,
    }
    out.flush().context("writing to standard output")
}

fn open(log: &Path) -> anyhow::Result<Box<dyn Read>> {
    if log == Path::new("-") {
        return Ok(Box::new(decompressed(io::stdin())?));
    }
    let file = File::open(log).with_context(|| format!("opening {}", log.display()))?;
    Ok(Box::new(decompressed(file)?))
}

fn judge_all(
    filter: &Filter,
    input: impl Read,
    clock: &Clock,
    mut tell: impl FnMut(u64, &[u8], &Judged<'_>) -> io::Result<()>,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut open = OpenLines::default();
    let mut lines = Lines::new(input);
    while let Some(piece) = lines.next_piece()? {
        let Piece::Line(line) = piece else { continue };
        summary.lines += 1;
        let Some(own) = open.service_line(line) else {
            continue;
        };
        let judged = open.after_broken_ones(filter.judge(&Input::Line(&own), clock), &own);
        match judged.verdict {
            Verdict::Blames(_) => summary.blaming += 1,
            Verdict::Ambiguous | Verdict::NoAddress | Verdict::Doubted => summary.ambiguous += 1,
            Verdict::Foreign => summary.foreign += 1,
            Verdict::Nothing => {}
        }
        tell(summary.lines, line, &judged)?;
    }
    Ok(summary)
}

fn shown<'a>(line: u64, judged: &Judged<'a>) -> Shown<'a> {
    let at = judged
        .at_ms
        .and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    let none = Shown {
        line,
        client: None,
        at: at.map(|at| format!("{at:.3}")),
        class: None,
        kind: None,
        user: None,
        nobody: None,
    };
    match &judged.verdict {
        Verdict::Blames(blame) => Shown {
            client: Some(blame.client.to_string()),
            class: Some(blame.class.to_string()),
            kind: Some(blame.kind),
            user: blame.user.as_deref().map(str::to_owned),
            ..none
        },
        Verdict::NoAddress => Shown {
            nobody: Some("no address stands where the client's does"),
            ..none
        },
        Verdict::Ambiguous => Shown {
            nobody: Some("it can be read with different clients"),
            ..none
        },
        Verdict::Doubted => Shown {
            nobody: Some("it follows a line that a client may have broken, and may be the client's own"),
            ..none
        },
        Verdict::Foreign | Verdict::Nothing => none,
    }
}

fn write_shown(shown: &Shown<'_>, output: Output, out: &mut impl Write) -> io::Result<()> {
    if output == Output::Json {
        serde_json::to_writer(&mut *out, shown)?;
        return writeln!(out);
    }
    let Shown {
        line,
        client,
        at,
        class,
        kind,
        user,
        nobody,
    } = shown;
    let at = at.as_deref().unwrap_or("-");
    if let Some(why) = nobody {
        return writeln!(out, "{line:>8}  blames no client: {why}");
    }
    let dash = "-";
    writeln!(
        out,
        "{line:>8}  {}  {at}  {} {}  {}",
        client.as_deref().unwrap_or(dash),
        class.as_deref().unwrap_or(dash),
        kind.unwrap_or(dash),
        user.as_deref().map_or(dash.into(), printable),
    )
}

/// Translates a filter of fail2ban, and prints it with lines of `log` as its tests. Says what cannot be translated.
pub(super) fn import(file: &Path, log: Option<&Path>, compare: bool) -> anyhow::Result<()> {
    let translation = translate(file)?;
    for what in &translation.left_out {
        secbeat_daemon::complain!("not translated: {what}");
    }
    for what in &translation.cautions {
        secbeat_daemon::complain!("caution: {what}");
    }
    let Some(text) = &translation.filter else {
        bail!("nothing of {} can be translated", file.display());
    };
    let filter = Filter::parse(text).with_context(|| format!("translating {}", file.display()))?;
    let (mut must, mut must_not, mut blamed) = (Vec::new(), Vec::new(), BTreeSet::new());
    if let Some(log) = log {
        judge_all(&filter, open(log)?, &clock(), |number, line, judged| {
            let text = String::from_utf8_lossy(line).into_owned();
            if let Verdict::Blames(blame) = &judged.verdict {
                blamed.insert(number);
                must.push((text, blame.client));
            } else if !text.is_empty() {
                must_not.push(text);
            }
            Ok(())
        })
        .with_context(|| format!("reading {}", log.display()))?;
    }
    if let Some(log) = log.filter(|_| blamed.is_empty()) {
        secbeat_daemon::complain!(
            "warning: it blames no client for a line of {}; does the log have lines that it should know?",
            log.display()
        );
    }
    if let Some(log) = log.filter(|_| compare) {
        let theirs = fail2ban_regex(log, file)?;
        let differing: Vec<_> = blamed.symmetric_difference(&theirs).map(u64::to_string).collect();
        ensure!(
            differing.is_empty(),
            "fail2ban-regex decides otherwise about the lines {}",
            differing.join(", ")
        );
        secbeat_daemon::complain!("fail2ban-regex blames the same {} lines", theirs.len());
    }
    let text = with_lines(text, &must, &must_not);
    Filter::parse(&text).with_context(|| format!("translating {}", file.display()))?;
    secbeat_daemon::say!("{text}");
    Ok(())
}

/// The numbers of the lines of `log` that fail2ban's own reading of `filter` matches.
fn fail2ban_regex(log: &Path, filter: &Path) -> anyhow::Result<BTreeSet<u64>> {
    let mut lines = Vec::new();
    let mut input = Lines::new(open(log)?);
    while let Some(piece) = input.next_piece()? {
        if let Piece::Line(line) = piece {
            lines.push(line.to_vec());
        }
    }
    // It takes a name without a folder for an expression.
    let named = |path: &Path| std::path::absolute(path).with_context(|| path.display().to_string());
    let output = Command::new("fail2ban-regex")
        .args(["--print-all-matched", "--usedns=no"])
        .arg(named(log)?)
        .arg(named(filter)?)
        .stdin(Stdio::null())
        .output()
        .context("starting fail2ban-regex, of the package fail2ban")?;
    let text = String::from_utf8_lossy(&output.stdout);
    // It ends so at any rate if it has read the log.
    ensure!(
        text.lines().any(|line| line.starts_with("Lines: ")),
        "fail2ban-regex has not read the log: {} {}",
        text.lines().last().unwrap_or_default(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let matched = text
        .lines()
        .skip_while(|line| *line != "|- Matched line(s):")
        .skip(1);
    let told: BTreeSet<&str> = matched.map_while(|line| line.strip_prefix("|  ")).collect();
    let is_matched = |line: &Vec<u8>| told.contains(String::from_utf8_lossy(line).trim_end());
    let numbered = (1..).zip(&lines);
    Ok(numbered
        .filter(|(_, line)| is_matched(line))
        .map(|(number, _)| number)
        .collect())
}
