//! The command line of `replay`.

use std::{
    io::{self, BufWriter, IsTerminal as _, LineWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use secbeat_daemon::{cli, time::now_ms};
use serde::Serialize;

use super::{Diff, EdgeConfig, Format, Input, Output, ReadAs, Replay, Summary, Trial};
use crate::config::{Config, LoadConfig};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    read: ReadAs,
    /// Config of an edge or of one host. A log is read as its entry there says, unless --format is given, and lists of addresses by its
    /// trusted proxies.
    #[arg(long, value_name = "FILE")]
    edge_config: Option<PathBuf>,
    /// Show which bans the config makes appear (+) and vanish (-), and which differ (~), in comparison with this one.
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: cli::Output,
    /// Format of the summary, on standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    summary: SummaryFormat,
    /// Log files, in any order; gzip and Zstandard are decompressed; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// How the summary is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum SummaryFormat {
    #[default]
    Text,
    Json,
}

impl SummaryFormat {
    fn print(self, summary: &(impl Serialize + std::fmt::Display)) -> anyhow::Result<()> {
        match self {
            Self::Text => secbeat_daemon::complain!("{summary}"),
            Self::Json => secbeat_daemon::complain!(
                "{}",
                serde_json::to_string(summary).context("formatting the summary")?
            ),
        }
        Ok(())
    }
}

impl Args {
    /// Replays the logs under `config`, and under the one that it is compared with, which `load` reads.
    ///
    /// # Errors
    ///
    /// Returns an error if a config or a log cannot be used, or what was found cannot be written.
    pub fn run(&self, config: &Config, load: LoadConfig) -> anyhow::Result<()> {
        let trial = trial(config);
        let compared = self.diff.as_deref().map(load).transpose()?;
        let progress = ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
        let inputs = self.inputs(&progress)?;
        let configs = [Some(config), compared.as_ref()].into_iter().flatten();
        let reads_user_agents = configs
            .map(Config::detector)
            .any(|detect| detect.reads_user_agents());
        let edge = self.edge_config.as_deref().map(EdgeConfig::load).transpose()?;
        let trusted = edge
            .as_ref()
            .map_or(&config.trusted_proxies, |edge| &edge.trusted_proxies);
        let read = ReadAs {
            trusted_proxies: trusted.clone(),
            edge: edge.map(Arc::new),
            ..self.read.clone()
        };
        let replay = Replay::of(inputs, &read, reads_user_agents, progress.clone())?;
        let format = match self.output {
            cli::Output::Table => Format::Table,
            cli::Output::Json => Format::Json,
        };
        let Some(compared) = compared else {
            let mut output = Output::new(standard_output(progress), format);
            let mut trials = [trial];
            let reading = replay.run(&mut trials, |_, record| output.write(&record))?;
            output.into_inner().flush().context("writing the findings")?;
            let [trial] = trials;
            return self.summary.print(&Summary {
                reading,
                verdicts: trial.finish(),
            });
        };
        let mut trials = [self::trial(&compared), trial];
        let mut found = [Vec::new(), Vec::new()];
        let reading = replay.run(&mut trials, |n, record| {
            found[n].push(record);
            Ok(())
        })?;
        let [before, after] = found;
        let diff = Diff::of(before, after);
        diff.write(format, BufWriter::new(io::stdout().lock()))
            .context("writing the changes")?;
        self.summary
            .print(&diff.summary(reading, trials.map(Trial::finish)))
    }

    /// The logs with their names. They make `progress` longer, unless nobody knows how long one of them is.
    fn inputs(&self, progress: &ProgressBar) -> anyhow::Result<Vec<(String, Input)>> {
        let mut bytes = Some(0);
        let open = |path: &PathBuf| {
            let name = path.display().to_string();
            let (input, len) = Input::at(path).with_context(|| format!("opening {name}"))?;
            bytes = bytes.zip(len).map(|(sum, len)| sum + len);
            Ok((name, input))
        };
        let inputs = self.files.iter().map(open).collect::<anyhow::Result<_>>()?;
        show_length(progress, bytes);
        Ok(inputs)
    }
}

/// Protected when it comes to old logs is what is protected now.
pub(super) fn trial(config: &Config) -> Trial {
    let protected = config.protect.entries().into_iter();
    let protected = protected.filter(|entry| entry.holds_at(now_ms()));
    Trial::new(
        config.detector(),
        config.ledger(protected.map(|entry| entry.network).collect()),
    )
    .with_providers(config.read_providers())
}

/// Lets the bar, which is on standard error if that is a terminal, tell how many of `bytes` are read.
fn show_length(progress: &ProgressBar, bytes: Option<u64>) {
    let template = match bytes {
        Some(bytes) => {
            progress.set_length(bytes);
            "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}"
        }
        None => "{spinner} {bytes}  {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        progress.set_style(style);
    }
}

/// Standard output; on a terminal the bar makes room for each line.
fn standard_output(progress: ProgressBar) -> Box<dyn Write> {
    let stdout = io::stdout();
    if stdout.is_terminal() && !progress.is_hidden() {
        Box::new(LineWriter::new(AboveBar { progress }))
    } else {
        Box::new(BufWriter::new(stdout.lock()))
    }
}

struct AboveBar {
    progress: ProgressBar,
}

impl Write for AboveBar {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.progress.suspend(|| io::stdout().write(buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
