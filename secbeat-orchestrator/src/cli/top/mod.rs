//! `top`: the fleet on one screen, kept up to date until `q`.

mod screen;
#[cfg(test)]
mod tests;

use std::{
    io::{IsTerminal as _, stdin, stdout},
    sync::mpsc::{self, Sender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use secbeat_common::wire::{parse_label, tell_labels};
use secbeat_daemon::{
    api::{ApiClient, CallError},
    config::HumanDuration,
    time::now_ms,
};
use tokio::signal::unix::{SignalKind, signal};

use self::screen::{Facts, Screen};
use crate::view::BanPage;

/// Bans that are asked for; a fleet with more shows the latest of these.
const BANS: usize = 1000;
/// Findings that are asked for: more than fit on any screen.
const FINDINGS: usize = 200;

/// Show edges, findings and the latest bans on one live screen; `q` quits.
#[derive(Debug, Args)]
pub struct Top {
    /// Time between two updates.
    #[arg(long, short, value_name = "TIME", default_value = "1s")]
    interval: HumanDuration,
    /// Only edges with this label, such as role=web, and the bans that they enforce; several must all be there.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
}

/// What changes the screen.
enum Input {
    Key(KeyEvent),
    Resized,
    Facts(Box<Result<Facts, CallError>>),
    End,
}

impl Top {
    pub(super) fn execute(&self, api: ApiClient) -> anyhow::Result<()> {
        ensure!(
            stdin().is_terminal() && stdout().is_terminal(),
            "top needs a terminal; programs can use `status -o json`, `edges -o json` and `watch -o json`"
        );
        // An address that nobody answers at first is a mistake; later it is a daemon that starts again.
        let labels = tell_labels(&self.label.iter().cloned().collect());
        let first = facts(&api, &labels)?;
        let (inputs, coming) = mpsc::channel();
        let ending = inputs.clone();
        thread::spawn(move || await_signal(&ending));
        let mut terminal = ratatui::try_init().context("taking over the terminal")?;
        let keys = inputs.clone();
        thread::spawn(move || read_keys(&keys));
        let interval = self.interval.0;
        thread::spawn(move || ask(&api, &labels, interval, &inputs));
        let shown = show(&mut terminal, Screen::new(first), &coming);
        ratatui::try_restore().context("giving the terminal back")?;
        shown
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    mut screen: Screen,
    coming: &mpsc::Receiver<Input>,
) -> anyhow::Result<()> {
    loop {
        terminal
            .draw(|frame| screen.draw(frame))
            .context("drawing the screen")?;
        match coming.recv() {
            Ok(Input::Facts(facts)) => screen.take(*facts),
            Ok(Input::Resized) => {}
            Ok(Input::Key(key)) => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Down | KeyCode::Char('j') => screen.scroll(1),
                KeyCode::Up | KeyCode::Char('k') => screen.scroll(-1),
                KeyCode::PageDown => screen.scroll(10),
                KeyCode::PageUp => screen.scroll(-10),
                KeyCode::Home => screen.scroll(i32::MIN),
                _ => {}
            },
            Ok(Input::End) | Err(_) => return Ok(()),
        }
    }
}

/// All that is shown, at one time.
fn facts(api: &ApiClient, labels: &str) -> Result<Facts, CallError> {
    let (bans, edges) = match labels {
        "" => (format!("/api/v1/bans?limit={BANS}"), "/api/v1/edges".to_owned()),
        labels => (
            format!("/api/v1/bans?limit={BANS}&label={labels}"),
            format!("/api/v1/edges?label={labels}"),
        ),
    };
    let BanPage { bans, .. } = api.get(&bans)?;
    Ok(Facts {
        at_ms: now_ms(),
        stats: api.get("/api/v1/stats")?,
        edges: api.get(&edges)?,
        findings: api.get(&format!("/api/v1/findings?limit={FINDINGS}"))?,
        bans,
    })
}

fn ask(api: &ApiClient, labels: &str, interval: Duration, inputs: &Sender<Input>) {
    loop {
        let start = Instant::now();
        if inputs.send(Input::Facts(Box::new(facts(api, labels)))).is_err() {
            return;
        }
        thread::sleep(interval.saturating_sub(start.elapsed()));
    }
}

fn read_keys(inputs: &Sender<Input>) {
    loop {
        let input = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
            Ok(Event::Resize(..)) => Input::Resized,
            Ok(_) => continue,
            // The terminal is gone.
            Err(_) => Input::End,
        };
        let is_end = matches!(input, Input::End);
        if inputs.send(input).is_err() || is_end {
            return;
        }
    }
}

/// A terminal that nobody gives back stays unusable: so the signals that would end this at once end it like `q`.
fn await_signal(inputs: &Sender<Input>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let (Ok(mut terminated), Ok(mut hung_up)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        else {
            return;
        };
        tokio::select! {
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
        }
        let _ = inputs.send(Input::End);
    });
}
