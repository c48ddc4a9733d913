//! How a scenario ends: guards clean up whatever happens, the exit code tells, and Ctrl-C is not a failure.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    process::ExitCode,
    sync::Once,
};

use parking_lot::Mutex;

use crate::lab::interrupt::{self, interrupted};

/// The exit code after SIGINT or SIGTERM.
const INTERRUPTED: u8 = 130;

/// The first panic since somebody last asked.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// A panic whose message has been printed.
struct Reported;

/// Runs `scenario`, whose failed expectations are panics. 0 when it returns `true`, 1 when it does not, 130 after SIGINT
/// or SIGTERM, which it notices at its next wait.
#[must_use]
pub fn run(scenario: impl FnOnce() -> bool) -> ExitCode {
    interrupt::install();
    panic::set_hook(Box::new(note));
    let outcome = panic::catch_unwind(AssertUnwindSafe(scenario));
    if interrupted() {
        println!("Cleaned up: namespaces, pins, processes and temporary files are gone.");
        return ExitCode::from(INTERRUPTED);
    }
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(panic) => {
            if !panic.is::<Reported>() {
                println!("FAILED: {}", failure());
            }
            ExitCode::FAILURE
        }
    }
}

/// One step, with a line that says how it went: what `work` returns to say, in brief, or its panic.
///
/// # Panics
///
/// When `work` does: a step rests on those before it.
pub fn step(title: &str, work: impl FnOnce() -> String) {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(detail) if detail.is_empty() => println!("[ ok ] {title}"),
        Ok(detail) => println!("[ ok ] {title}: {detail}"),
        Err(panic) => fail(title, panic),
    }
}

fn fail(title: &str, panic: Box<dyn Any + Send>) -> ! {
    if interrupted() || panic.is::<Reported>() {
        panic::resume_unwind(panic);
    }
    println!("[FAIL] {title}: {}", failure());
    panic::resume_unwind(Box::new(Reported));
}

/// Keeps a panic's message for [`run`] or [`step`] to print; after a signal, says what the unwinding is for.
fn note(info: &PanicHookInfo<'_>) {
    static ANNOUNCED: Once = Once::new();
    if interrupted() {
        ANNOUNCED.call_once(|| println!("\nInterrupted; cleaning up …"));
        return;
    }
    let message = info.payload_as_str().unwrap_or("an unknown panic").to_owned();
    let mut failure = FAILURE.lock();
    failure.get_or_insert(message);
}

fn failure() -> String {
    let mut failure = FAILURE.lock();
    failure.take().unwrap_or_else(|| "for no reason given".to_owned())
}
