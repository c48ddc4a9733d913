//! The kill switch, and back.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use secbeat_daemon::{
    api::CallError,
    cli::{Output, print_json},
    program,
};

use super::Places;
use crate::{
    kernel,
    view::{AttachmentView, StatsView},
};

/// Time that a daemon and the kernel may take to follow the switch.
const FOLLOW: Duration = Duration::from_secs(3);

/// Detaches everything. It stays so over restarts of the daemon, which a running one would else make good as a fault.
pub(super) fn detach(places: &Places, output: Output) -> anyhow::Result<()> {
    // A running daemon may be the first to free them, once it sees the marker. That comes first, so that it repairs nothing.
    let held = kernel::with_our_programs().unwrap_or_default();
    let marker = &places.detached;
    let remembered = remember(marker);
    let mut freed = free(places)?;
    remembered.with_context(|| {
        format!(
            "detached, but {} cannot be written: the daemon will attach again",
            marker.display()
        )
    })?;
    ensure_free(places)?;
    let others: Vec<_> = held.into_iter().filter(|name| !freed.contains(name)).collect();
    freed.extend(others);
    if output == Output::Json {
        return print_json(&serde_json::json!({ "detached": freed }));
    }
    if freed.is_empty() {
        secbeat_daemon::say!("nothing was attached");
    } else {
        secbeat_daemon::say!(
            "detached from {}; no packet is dropped any more",
            freed.join(", ")
        );
    }
    secbeat_daemon::say!("nothing is attached until: {} attach", program::of_host());
    Ok(())
}

/// Makes the file that holds over restarts. That it is there is what counts: on a full disk it is, without its text.
fn remember(marker: &Path) -> io::Result<()> {
    let made = marker.parent().map_or(Ok(()), |folder| {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
    });
    let written = made.and_then(|()| fs::write(marker, format!("by {} detach\n", program::of_host())));
    written.or_else(|error| match marker.exists() {
        true => Ok(()),
        false => Err(error),
    })
}

/// Removes the pins, or where they cannot be reached, detaches what they hold. Returns the interfaces.
fn free(places: &Places) -> anyhow::Result<Vec<String>> {
    let detached = kernel::detach(&places.pins);
    if detached.is_ok() && places.pins.check_place().is_ok() {
        return detached;
    }
    let state_dir = places
        .detached
        .parent()
        .context("the config names no folder for state")?;
    match (detached, kernel::detach_noted(state_dir)) {
        (Ok(mut freed), noted) => {
            // What is left is said by who looks for it next.
            let noted = noted.unwrap_or_default().into_iter();
            let others: Vec<_> = noted.filter(|name| !freed.contains(name)).collect();
            freed.extend(others);
            Ok(freed)
        }
        (Err(error), Ok(freed)) if !freed.is_empty() => {
            secbeat_daemon::complain!(
                "the pins stay, without effect: {error:#}; `{} detach` removes them once it can",
                program::of_host()
            );
            Ok(freed)
        }
        (Err(error), _) => Err(error.context("detaching")),
    }
}

/// # Errors
///
/// Returns an error if a program of SecBeat's runs on an interface all the same, and goes on to drop packets.
fn ensure_free(places: &Places) -> anyhow::Result<()> {
    let until = Instant::now() + FOLLOW;
    let held = loop {
        let held = kernel::with_our_programs().context("looking for programs that are still attached")?;
        if held.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            break held;
        }
        // The kernel lets go of links in its own time.
        thread::sleep(Duration::from_millis(20));
    };
    let held = held.join(", ");
    bail!(
        "a program of SecBeat still runs on {held}, and is not pinned in {}: name the config of its daemon by --config, whose kernel.pin_dir is another, or find its link by `bpftool link show` and take it off by `bpftool link detach id ID`",
        places.pins.dir().display()
    )
}

/// Takes the kill switch back.
pub(super) fn attach(places: &Places, output: Output) -> anyhow::Result<()> {
    let was_detached = match fs::remove_file(&places.detached) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error).with_context(|| format!("removing {}", places.detached.display()));
        }
    };
    let attached = attached(places)?;
    if output == Output::Json {
        return print_json(&serde_json::json!({
            "was_detached": was_detached, "running": attached.is_some(), "attached": attached,
        }));
    }
    secbeat_daemon::say!(
        "{}; {}",
        match was_detached {
            true => "the kill switch is taken back",
            false => "the kill switch was not thrown",
        },
        told(attached.as_deref())
    );
    Ok(())
}

/// Returns what the daemon says of the interfaces once all are protected, or when it had time for that; `None` if none runs.
fn attached(places: &Places) -> anyhow::Result<Option<Vec<AttachmentView>>> {
    let ask = || places.api().get::<StatsView>("/api/v1/stats");
    let until = Instant::now() + FOLLOW;
    let mut attached = match ask() {
        Ok(stats) => stats.xdp,
        Err(CallError::Unreachable(_)) => return Ok(None),
        Err(error) => {
            return Err(error)
                .context("the kill switch is taken back, and the daemon does not say what it attached");
        }
    };
    while !attached.iter().all(|it| it.protected) && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
        // systemd may start it again just now.
        attached = ask().map_or(attached, |stats| stats.xdp);
    }
    Ok(Some(attached))
}

/// Returns what has come of `attach`, for people.
fn told(attached: Option<&[AttachmentView]>) -> String {
    let Some(attached) = attached else {
        return "the daemon does not run; its next start attaches".to_owned();
    };
    let unprotected: Vec<_> = attached
        .iter()
        .filter(|it| !it.protected)
        .map(|it| {
            format!(
                "{}: {}",
                it.interface,
                it.why.as_deref().unwrap_or("not attached")
            )
        })
        .collect();
    if !unprotected.is_empty() {
        return format!("NOT PROTECTED: {}", unprotected.join("; "));
    }
    let names: Vec<_> = attached.iter().map(|it| it.interface.as_str()).collect();
    match names.is_empty() {
        true => "the daemon has no interface to attach to".to_owned(),
        false => format!("attached to {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn attach_tells_what_has_come_of_it() {
        let of = |interface: &str, why: Option<&str>| AttachmentView {
            interface: interface.to_owned(),
            mode: "native".to_owned(),
            protected: why.is_none(),
            observes: false,
            why: why.map(str::to_owned),
        };
        assert_eq!(told(None), "the daemon does not run; its next start attaches");
        assert_eq!(told(Some(&[])), "the daemon has no interface to attach to");
        let both = [of("eth0", None), of("eth1", None)];
        assert_eq!(told(Some(&both)), "attached to eth0, eth1");
        let one = [of("eth0", None), of("eth9", Some("there is no such interface"))];
        assert_eq!(
            told(Some(&one)),
            "NOT PROTECTED: eth9: there is no such interface"
        );
    }

    #[test]
    fn the_switch_is_remembered_on_a_full_disk_if_the_file_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join("state/detached");
        remember(&marker).unwrap();
        assert!(fs::read_to_string(&marker).unwrap().contains("detach"));
        // What is written to it meets a full disk.
        fs::remove_file(&marker).unwrap();
        symlink("/dev/full", &marker).unwrap();
        assert!(fs::write(&marker, "x").is_err());
        remember(&marker).unwrap();
        // No folder can be made there.
        assert!(remember(&marker.join("detached")).is_err());
    }
}
