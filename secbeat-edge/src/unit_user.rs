//! As whom systemd starts the daemon, to look at files with that user's rights.

use std::{ffi::CString, process::Command};

use anyhow::Context as _;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist, getgroups, setegid, seteuid, setgroups};

/// The user of the daemon's unit.
#[derive(Debug)]
pub struct UnitUser {
    user: User,
    gid: Gid,
    groups: Vec<Gid>,
}

impl UnitUser {
    /// As the installed `unit`, such as `secbeat-edge.service`, has it, with its drop-ins; `None` where there is no unit, it runs as
    /// root, or this process is not root's.
    #[must_use]
    pub fn find(unit: &str) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        let mut systemctl = Command::new("systemctl");
        systemctl.args([
            "show",
            unit,
            "--property=LoadState,User,Group,SupplementaryGroups",
        ]);
        let said = systemctl.output().ok().filter(|output| output.status.success())?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let of = |name: &str| {
            said.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        if of("LoadState") != Some("loaded") {
            return None;
        }
        let user = User::from_name(of("User")?).ok()??;
        let named = of("SupplementaryGroups").unwrap_or_default().split_whitespace();
        let named = named.filter_map(|name| Group::from_name(name).ok()?);
        let group = of("Group").and_then(|name| Group::from_name(name).ok()?);
        let gid = group.map_or(user.gid, |group| group.gid);
        let name = CString::new(user.name.as_str()).ok()?;
        let own = getgrouplist(&name, gid).unwrap_or_default();
        let groups = named.map(|group| group.gid).chain(own).chain([gid]).collect();
        (!user.uid.is_root()).then_some(Self { user, gid, groups })
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.user.name
    }

    /// Does `work` with this user's rights. This process has one thread.
    ///
    /// # Errors
    ///
    /// Returns an error if this process may not take other rights.
    pub fn act<T>(&self, work: impl FnOnce() -> T) -> anyhow::Result<T> {
        let becoming = || format!("taking the rights of the user `{}`", self.user.name);
        let before = getgroups().with_context(becoming)?;
        setgroups(&self.groups).with_context(becoming)?;
        setegid(self.gid).with_context(becoming)?;
        seteuid(self.user.uid).with_context(becoming)?;
        let done = work();
        let returning = "becoming root again";
        seteuid(Uid::from_raw(0)).context(returning)?;
        setegid(Gid::from_raw(0)).context(returning)?;
        setgroups(&before).context(returning)?;
        Ok(done)
    }
}
