//! The emulated machine: two processors and two network cards wired to each other, for as long as its checks take.

use super::kernel::Kernel;
use super::report::Report;
use super::series::Series;
use anyhow::{Context, Result};
use secbeat_programs::{TestProgram, VmProgram};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A guest that is not through by then hangs: on two idle cores it needs a fifth of this.
const BOUND: Duration = Duration::from_secs(900);
/// Where a guest crashes that runs an instruction while the kernel writes another one there: the jump to an XDP program, or the branch of
/// a static key, over which it lays an `int3` meanwhile. Processors take that; QEMU's emulation of two of them now and then does not.
const EMULATORS_CRASHES: [&str; 2] = ["bpf_dispatcher_xdp_func", "Oops: int3"];
/// Lines of its console that are shown of a guest that hung or crashed.
const TAIL: usize = 40;

/// Without the offloads that virtio-net does not have while XDP is attached.
pub(super) const CARD: &str =
    "virtio-net-pci,mq=on,guest_tso4=off,guest_tso6=off,guest_ufo=off,guest_ecn=off,romfile=";

/// Boots `kernel` and shows what its checks say, until the machine is off; once more if the emulator was at fault.
pub(super) fn run(series: Series, kernel: &Kernel, initramfs: &Path, scratch: &Path) -> Result<Report> {
    let report = boot(series, kernel, initramfs, scratch)?;
    let console = fs::read(scratch.join("console")).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let crash = EMULATORS_CRASHES
        .into_iter()
        .find(|crash| console.contains(crash));
    let Some(crash) = crash.filter(|_| !report.is_complete) else {
        return Ok(report);
    };
    println!("vm: {series}: crashed with {crash}, as emulated processors do: booting once more");
    boot(series, kernel, initramfs, scratch)
}

fn boot(series: Series, kernel: &Kernel, initramfs: &Path, scratch: &Path) -> Result<Report> {
    let console = scratch.join("console");
    // QEMU warns that the cards' hub has no way out, which is its purpose; what else it says is shown if the guest fails.
    let complaints = scratch.join("complaints");
    let stderr = File::create(&complaints).context("cannot create a file for QEMU's complaints")?;
    let mut machine = machine(kernel, initramfs, &console)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .context("cannot start qemu-system-x86_64 through setpriv")?;
    let lines = lines_of(machine.stdout.take().context("the guest has no output")?);
    let mut report = Report::default();
    let mut show = |line: String| {
        if let Some(text) = report.take(line.trim_end()) {
            println!("{series:>5}  {}", text.trim().replace('\n', "\n       "));
        }
    };
    let deadline = Instant::now() + BOUND;
    let how = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => show(line),
            Err(RecvTimeoutError::Disconnected) => break "the guest crashed".to_owned(),
            Err(RecvTimeoutError::Timeout) => {
                machine.kill().context("cannot end a guest that hangs")?;
                // Also the beginning of the line that it hangs in.
                lines.iter().for_each(&mut show);
                break format!("the guest was not through after {} s", BOUND.as_secs());
            }
        }
    };
    machine.wait().context("cannot wait for the guest")?;
    if let Some(output) = report.close(&how) {
        println!("{output}");
    }
    if !report.is_complete {
        println!("vm: {series}: QEMU said:\n{}", tail(&complaints));
        println!("vm: {series}: the end of its console:\n{}", tail(&console));
    }
    Ok(report)
}

fn machine(kernel: &Kernel, initramfs: &Path, console: &Path) -> Command {
    // The machine ends with us, also when we are killed.
    let mut command = Command::new(TestProgram::Setpriv.name());
    command.args(["--pdeathsig", "KILL", VmProgram::Qemu.name()]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    // The root file system may take half of the memory, and the archive it comes from is there beside it.
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "4G"]);
    command.arg("-kernel").arg(kernel.image());
    command.arg("-initrd").arg(initramfs);
    command.args(["-append", "console=ttyS0 panic=-1"]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.args(["-serial", "stdio"]);
    for card in ["a", "b"] {
        command.args(["-netdev", &format!("hubport,id={card},hubid=0")]);
        command.args(["-device", &format!("{CARD},netdev={card}")]);
    }
    command
}

/// Reads lines on a thread of its own, so that waiting for one can be given up.
pub(super) fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The last lines of a file.
pub(super) fn tail(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
