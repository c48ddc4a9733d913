//! `filter`: filters of services' logs, and what they make of lines.

mod lines;

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use jiff::tz::TimeZone;
use secbeat_daemon::{
    cli::{Output, print_json, table},
    time::now_ms,
};
use secbeat_logs::services::{Clock, Filter, import};
use serde::Serialize;

pub(super) use self::lines::explain;
use crate::sources::service_log::Filters;

/// What to do with filters.
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List the filters of this host: those that are shipped, and files of the folder.
    List {
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Read filters and judge the lines that they state themselves; all of this host, or those that are named.
    Check {
        /// Names of filters, or files.
        filters: Vec<String>,
        /// Output format.
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// Show whom lines blame.
    Test(lines::Args),
    /// Translate a filter of fail2ban, print it, and say what cannot be translated.
    Import {
        /// File of fail2ban, such as /etc/fail2ban/filter.d/sshd.conf; those that it includes are beside it.
        file: PathBuf,
        /// Lines to state as tests in the filter: those that it blames a client for, and some of the others.
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
        /// Compare with what `fail2ban-regex` makes of each line of `--log`, and fail if it differs.
        #[arg(long, requires = "log")]
        compare: bool,
    },
}

/// Show and test filters of services' logs, and translate those of fail2ban.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

pub(super) fn run(args: &Args, filters: &Filters) -> anyhow::Result<()> {
    match &args.command {
        Command::List { output } => list(filters, *output),
        Command::Check {
            filters: named,
            output,
        } => check(filters, named, *output),
        Command::Test(test) => lines::run(filters, test),
        Command::Import { file, log, compare } => lines::import(file, log.as_deref(), *compare),
    }
}

/// The time of day, and the host's zone.
fn clock() -> Clock {
    Clock {
        zone: TimeZone::system(),
        now_ms: now_ms(),
    }
}

/// The filter of a name, or of a file where the text is a path or ends as one's name does.
fn find(filters: &Filters, text: &str) -> anyhow::Result<Filter> {
    let is_file = Path::new(text)
        .extension()
        .is_some_and(|extension| extension == "toml");
    if is_file || text.contains('/') {
        let read = fs::read_to_string(text).with_context(|| format!("reading {text}"))?;
        return Filter::parse(&read).with_context(|| text.to_owned());
    }
    filters.load(text).map_err(anyhow::Error::msg)
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    title: String,
    /// The file; `null` for a filter that is shipped.
    file: Option<PathBuf>,
    ports: Vec<u16>,
    paths: Vec<String>,
    units: Vec<String>,
    /// Kinds of lines, each with what it means.
    kinds: Vec<(String, String)>,
    threshold: u32,
    window: String,
    note: Option<String>,
    /// What is wrong with it.
    error: Option<String>,
}

fn list(filters: &Filters, output: Output) -> anyhow::Result<()> {
    let folder = &filters.0;
    let all = filters
        .all()
        .with_context(|| format!("reading {}", folder.display()))?;
    let listed = all.into_iter().map(|known| {
        let (name, file) = (known.name, known.file);
        match known.filter {
            Ok(filter) => Listed {
                kinds: (filter.kinds().iter())
                    .map(|(kind, class)| ((*kind).to_owned(), class.to_string()))
                    .collect(),
                name,
                title: filter.title,
                file,
                ports: filter.ports,
                paths: filter.paths,
                units: filter.journald.units,
                threshold: filter.rule.threshold,
                window: format!("{:#}", filter.rule.window),
                note: filter.note,
                error: None,
            },
            Err(error) => Listed {
                name,
                title: String::new(),
                file,
                ports: Vec::new(),
                paths: Vec::new(),
                units: Vec::new(),
                kinds: Vec::new(),
                threshold: 0,
                window: String::new(),
                note: None,
                error: Some(error),
            },
        }
    });
    let listed: Vec<_> = listed.collect();
    if output == Output::Json {
        return print_json(&listed);
    }
    let mut shown = table(["NAME", "SERVICE", "PORTS", "RULE", "FROM"]);
    for filter in &listed {
        let ports: Vec<_> = filter.ports.iter().map(ToString::to_string).collect();
        let from = filter
            .file
            .as_ref()
            .map_or("shipped".to_owned(), |file| file.display().to_string());
        let (title, rule) = match &filter.error {
            Some(error) => (format!("UNUSABLE: {error}"), String::new()),
            None => (
                filter.title.clone(),
                format!("{} in {}", filter.threshold, filter.window),
            ),
        };
        shown.add_row([filter.name.clone(), title, ports.join(", "), rule, from]);
    }
    secbeat_daemon::say!("{shown}");
    Ok(())
}

#[derive(Debug, Serialize)]
struct Checked {
    name: String,
    /// Lines that it states itself.
    lines: usize,
    /// What is wrong.
    failures: Vec<String>,
}

fn check(filters: &Filters, named: &[String], output: Output) -> anyhow::Result<()> {
    let all = match named {
        [] => {
            let known = filters
                .all()
                .with_context(|| format!("reading {}", filters.0.display()))?;
            known
                .into_iter()
                .map(|known| (known.name, known.filter))
                .collect()
        }
        named => {
            let found = |text: &String| {
                (
                    text.clone(),
                    find(filters, text).map_err(|error| format!("{error:#}")),
                )
            };
            named.iter().map(found).collect::<Vec<_>>()
        }
    };
    let checked = all.into_iter().map(|(name, filter)| match filter {
        Ok(filter) => Checked {
            name,
            lines: filter.must.len() + filter.must_not.len(),
            failures: filter.failures(&clock()),
        },
        Err(error) => Checked {
            name,
            lines: 0,
            failures: vec![error],
        },
    });
    let checked: Vec<_> = checked.collect();
    if output == Output::Json {
        print_json(&checked)?;
    } else {
        for Checked {
            name,
            lines,
            failures,
        } in &checked
        {
            let state = if failures.is_empty() { "ok" } else { "WRONG" };
            secbeat_daemon::say!("{name:<16} {state:<6} {lines} lines of its own");
            for failure in failures {
                secbeat_daemon::say!("  {failure}");
            }
        }
    }
    let wrong = checked
        .iter()
        .filter(|checked| !checked.failures.is_empty())
        .count();
    ensure!(wrong == 0, "{wrong} of {} filters are wrong", checked.len());
    Ok(())
}

/// The translation of a filter of fail2ban.
fn translate(file: &Path) -> anyhow::Result<import::Translation> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let Some(name) = file.file_stem().and_then(|stem| stem.to_str()) else {
        bail!("{} has no name", file.display());
    };
    let further = folder.join(format!("{name}.d"));
    ensure!(
        !further.is_dir(),
        "fail2ban reads the files in {} as well, which are not translated: put what they say into {name}.local",
        further.display()
    );
    // One that is there and cannot be read may say whom to ignore.
    let unread = RefCell::new(Vec::new());
    let include = |name: &str| match fs::read_to_string(folder.join(name)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            unread.borrow_mut().push(format!("{name}: {error}"));
            None
        }
    };
    let translation = import::translate(name, &text, &include);
    let unread = unread.into_inner();
    ensure!(
        unread.is_empty(),
        "cannot read, beside {}: {}",
        file.display(),
        unread.join(", ")
    );
    Ok(translation)
}
