//! Receivers that are programs on this host.

use std::{
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{
    entry::NotifyEntry,
    message::Message,
    outcome::{Failure, Retry, Wrong},
    text::{cut, shown},
};

/// Time that a program may run unless the config says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval at which it is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How much of what it complains of is kept, in bytes.
const COMPLAINT: u64 = 2000;
/// Time that its complaints may still come after its end.
const LAST_WORDS: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct CommandReceiver {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl CommandReceiver {
    pub(super) fn new(entry: &NotifyEntry) -> Result<Self, Wrong> {
        let Some((program, arguments)) = entry.command.split_first() else {
            return Err((
                "kind",
                "a command requires command = [\"/PROGRAM\", \"ARGUMENT\"]".to_owned(),
            ));
        };
        if !Path::new(program).is_absolute() {
            return Err((
                "command",
                format!("invalid program `{program}`: expected an absolute path"),
            ));
        }
        Ok(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            timeout: entry.timeout.map_or(PATIENCE, |timeout| timeout.0),
        })
    }

    pub(super) fn tell(&self, message: &Message) -> Result<String, Failure> {
        let failure = |why: String| Failure {
            why,
            retry: Retry::Later,
        };
        let json = serde_json::to_vec(message).map_err(|error| failure(error.to_string()))?;
        let mut child = self
            .command(message)
            .spawn()
            .map_err(|error| failure(format!("starting {}: {error}", self.program)))?;
        // A program that does not read must not hold up its own end.
        if let Some(mut stdin) = child.stdin.take() {
            std::thread::spawn(move || stdin.write_all(&json));
        }
        let complaints = listen(&mut child);
        let status = self.wait(&mut child).map_err(failure)?;
        let complaint = complaints.recv_timeout(LAST_WORDS).unwrap_or_default();
        let complaint = cut(&shown(complaint.trim()), 200);
        let ended = match complaint.is_empty() {
            true => status.to_string(),
            false => format!("{status}: {complaint}"),
        };
        if status.success() {
            Ok(ended)
        } else {
            Err(failure(ended))
        }
    }

    fn command(&self, message: &Message) -> Command {
        let mut command = Command::new(&self.program);
        let kinds: Vec<_> = message.events.iter().map(|event| event.event).collect();
        command
            .args(&self.arguments)
            // Nothing of the daemon's own, its credentials' folder above all.
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("SECBEAT_TITLE", &message.title)
            .env("SECBEAT_TEXT", cut(&message.text, 8000))
            .env("SECBEAT_SEVERITY", message.severity.name())
            .env("SECBEAT_ORCHESTRATOR", &message.orchestrator)
            .env("SECBEAT_AT", &message.at)
            .env("SECBEAT_TEST", if message.test { "1" } else { "0" })
            .env("SECBEAT_BANS", message.bans.count.to_string())
            .env("SECBEAT_UNBANS", message.unbans.count.to_string())
            .env("SECBEAT_EVENTS", kinds.join(" "))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Its children end with it.
            .process_group(0);
        command
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, String> {
        let end = Instant::now() + self.timeout;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(LOOK),
                Ok(None) => {
                    kill(child);
                    return Err(format!(
                        "killed: it ran for longer than {} s",
                        self.timeout.as_secs_f64()
                    ));
                }
                Err(error) => return Err(format!("waiting for {}: {error}", self.program)),
            }
        }
    }
}

fn kill(child: &mut Child) {
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    let _ = child.wait();
}

/// Reads what the program complains of to its end, so that it never waits for a reader, and keeps the beginning.
fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (say, hear) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            let _ = stderr.by_ref().take(COMPLAINT).read_to_end(&mut kept);
            let _ = say.send(String::from_utf8_lossy(&kept).into_owned());
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        });
    }
    hear
}
