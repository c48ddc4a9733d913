//! Daemons as child processes that cannot outlive their guard.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::lab::{interrupt::interrupted, wait::wait_until};

/// A running program whose output goes to a file. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    folder: TempDir,
}

impl Daemon {
    /// Starts `command`; `name` is for messages.
    #[must_use]
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("secbeat-")
            .tempdir()
            .expect("making a folder for a log");
        let log = File::create(folder.path().join("log")).expect("creating a log file");
        let errors = log.try_clone().expect("sharing a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // A group of its own: Ctrl-C is for us, who end our daemons in the right order.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name} ({command:?}): {error}"));
        Self {
            name: name.to_owned(),
            child,
            ended: None,
            folder,
        }
    }

    /// All that it has written to stdout and stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until its output contains `text`.
    ///
    /// # Panics
    ///
    /// When it ends before, or after `timeout`; with its output.
    #[track_caller]
    pub fn wait_for_log(&mut self, text: &str, timeout: Duration) {
        self.wait_for_log_count(text, 1, timeout);
    }

    /// Waits until its output contains `text` at least `count` times.
    ///
    /// # Panics
    ///
    /// As [`wait_for_log`](Self::wait_for_log).
    #[track_caller]
    pub fn wait_for_log_count(&mut self, text: &str, count: usize, timeout: Duration) {
        let start = Instant::now();
        loop {
            // Asked in this order, so that the last words of a process that ended still count.
            let running = self.is_running();
            let log = self.log();
            if log.matches(text).count() >= count {
                return;
            }
            let name = &self.name;
            assert!(!interrupted(), "interrupted while waiting for {name}");
            assert!(
                running,
                "{name} ended ({:?}) before it wrote {text:?}; it wrote:\n{log}",
                self.ended
            );
            assert!(
                start.elapsed() < timeout,
                "{name} did not write {text:?} in {timeout:?}; it wrote:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("asking for a child's status");
        }
        self.ended
    }

    /// Kills it without warning (SIGKILL) and waits for its end.
    pub fn kill9(&mut self) {
        if self.is_running() {
            self.child.kill().expect("killing a child");
            self.ended = Some(self.child.wait().expect("waiting for a child"));
        }
    }

    /// Asks it to end (SIGTERM).
    ///
    /// # Panics
    ///
    /// When it has not ended after `timeout`.
    #[track_caller]
    pub fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait_for_end(timeout)
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    ///
    /// After `timeout`.
    #[track_caller]
    pub fn wait_for_end(&mut self, timeout: Duration) -> ExitStatus {
        wait_until(&format!("{} ends", self.name), timeout, || self.try_wait())
    }

    /// Sends `signal` if it still runs.
    pub fn signal(&mut self, signal: i32) {
        if self.is_running() {
            // SAFETY: sends a signal to a child that has not been waited for, so the number is still its own.
            unsafe { libc::kill(self.pid().cast_signed(), signal) };
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() && !interrupted() {
            let how = self
                .ended
                .map_or("running".to_owned(), |status| match status.signal() {
                    Some(signal) => format!("ended by signal {signal}"),
                    None => status.to_string(),
                });
            eprintln!("--- {} ({how}) wrote:\n{}---", self.name, self.log());
        }
        self.kill9();
    }
}
