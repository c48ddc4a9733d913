//! `vm --machines`: the machines of the Vagrantfile in QEMU, provisioned by Vagrant's scripts, with the packages of `dist`.

mod image;

use super::guest::{lines_of, tail};
use super::kernel;
use super::scratch::Scratch;
use super::series::Series;
use crate::dist;
use crate::install::{self, Group};
use anyhow::{Context, Result, bail, ensure};
use secbeat_programs::{TestProgram, VmProgram};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// They are not through by then: on two idle cores they need a third of this.
const BOUND: Duration = Duration::from_secs(900);

#[derive(Clone, Copy)]
struct Machine {
    name: &'static str,
    address: &'static str,
}

/// As in the Vagrantfile. The first has the switch that the others are plugged into.
const MACHINES: [Machine; 3] = [
    Machine {
        name: "orchestrator",
        address: "192.168.56.10",
    },
    Machine {
        name: "edge",
        address: "192.168.56.11",
    },
    Machine {
        name: "attacker",
        address: "192.168.56.12",
    },
];

/// Boots them, shows what they print, and fails unless all were provisioned and the behavioural test passed.
pub(super) fn run(series: Series) -> Result<()> {
    dist::make()?;
    install::ensure(&[Group::Vm, Group::Debian])?;
    let scratch = Scratch::new()?;
    let kernel = kernel::fetch(series, scratch.path())?;
    let initramfs = image::initramfs(&kernel, scratch.path())?;
    let disk = image::disk(scratch.path())?;
    println!("vm: booting {} in three machines", kernel.name);
    let start = Instant::now();
    let (said, lines) = mpsc::channel();
    let mut running = Vec::new();
    for machine in MACHINES {
        let files = Files {
            kernel: kernel.image(),
            initramfs: initramfs.clone(),
            disk: disk.clone(),
            scratch: scratch.path().to_owned(),
        };
        running.push(Running::boot(machine, &files, said.clone())?);
    }
    drop(said);
    let mut provisioned = 0;
    let why = loop {
        let Ok((name, line)) = lines.recv_timeout(BOUND.saturating_sub(start.elapsed())) else {
            break Some(format!(
                "they were not through after {} s",
                start.elapsed().as_secs()
            ));
        };
        // Programs that show their progress write the same line again and again.
        let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
        println!("{name:>12}  {line}");
        match line {
            "@provisioned 0" => provisioned += 1,
            "@behaved 0" if provisioned == MACHINES.len() => break None,
            line if line.starts_with('@') => break Some(format!("{name} says {line}")),
            _ => {}
        }
    };
    if let Some(why) = why {
        for machine in &running {
            let console = tail(&machine.console);
            println!("vm: the end of the console of {}:\n{console}", machine.name);
        }
        bail!("the machines of the Vagrantfile failed: {why}");
    }
    println!(
        "vm: the machines of the Vagrantfile: all passed in {} s",
        start.elapsed().as_secs()
    );
    Ok(())
}

/// What they boot from.
struct Files {
    kernel: PathBuf,
    initramfs: PathBuf,
    disk: PathBuf,
    scratch: PathBuf,
}

struct Running {
    name: &'static str,
    console: PathBuf,
    qemu: Child,
}

impl Running {
    fn boot(machine: Machine, files: &Files, said: Sender<(&'static str, String)>) -> Result<Self> {
        let Machine { name, .. } = machine;
        let console = files.scratch.join(format!("{name}.console"));
        let complaints = files.scratch.join(format!("{name}.complaints"));
        let stderr = File::create(&complaints).context("cannot create a file for QEMU's complaints")?;
        let mut qemu = command(&machine, files, &console)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("cannot start qemu-system-x86_64 through setpriv")?;
        let lines = lines_of(qemu.stdout.take().context("the guest has no output")?);
        thread::spawn(move || lines.iter().try_for_each(|line| said.send((name, line))));
        if name == MACHINES[0].name {
            wait_for_sockets(&files.scratch)?;
        }
        Ok(Self { name, console, qemu })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn command(machine: &Machine, files: &Files, console: &Path) -> Command {
    let Machine { name, address } = machine;
    let number = address.rsplit('.').next().unwrap_or_default();
    // The machine ends with us, also when we are killed.
    let mut command = Command::new(TestProgram::Setpriv.name());
    command.args(["--pdeathsig", "KILL", VmProgram::Qemu.name()]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "1G"]);
    command.arg("-kernel").arg(&files.kernel);
    command.arg("-initrd").arg(&files.initramfs);
    command.arg("-append").arg(format!(
        "console=ttyS0 panic=-1 net.ifnames=0 systemd.unit=secbeat-machine.target secbeat.machine={name} secbeat.address={address}"
    ));
    command.arg("-drive").arg(format!(
        "file={},format=raw,if=virtio,snapshot=on",
        files.disk.display()
    ));
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.args(["-serial", "stdio"]);
    command.arg("-device").arg(format!(
        "{},netdev=card,mac=52:54:00:00:00:{number}",
        super::guest::CARD.replace("mq=on,", "")
    ));
    if machine.name == MACHINES[0].name {
        command.args(["-netdev", "hubport,id=card,hubid=0"]);
        for other in &MACHINES[1..] {
            let name = other.name;
            let socket = socket(&files.scratch, name);
            command.arg("-netdev").arg(format!(
                "stream,id={name},server=on,addr.type=unix,addr.path={}",
                socket.display()
            ));
            command
                .arg("-netdev")
                .arg(format!("hubport,id=to-{name},hubid=0,netdev={name}"));
        }
    } else {
        let socket = socket(&files.scratch, name);
        command.arg("-netdev").arg(format!(
            "stream,id=card,server=off,addr.type=unix,addr.path={}",
            socket.display()
        ));
    }
    command
}

/// The wire from the switch to a machine.
fn socket(scratch: &Path, name: &str) -> PathBuf {
    scratch.join(format!("{name}.wire"))
}

fn wait_for_sockets(scratch: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    for machine in &MACHINES[1..] {
        while !socket(scratch, machine.name).exists() {
            ensure!(
                Instant::now() < deadline,
                "the switch between the machines did not come up"
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}
