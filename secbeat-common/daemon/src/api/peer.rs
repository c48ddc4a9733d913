//! The other end of a Unix socket, as the kernel says: whom the daemon lets change something.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::{
    libc,
    unistd::{Group, Uid, User, geteuid},
};
use tokio::net::UnixStream;

/// Members of this group may change what root may, by the API.
pub(super) const GROUP: &str = "secbeat";
/// As whom the kernel shows every user, and every group, that a user namespace does not know (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65534;

/// A program on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    uid: Uid,
    is_trusted: bool,
}

impl LocalPeer {
    /// Whether it may change something, and read what clients requested.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// The user's name, for the audit. To be asked for on a thread that may wait.
    #[must_use]
    pub fn user(&self) -> String {
        let uid = self.uid.as_raw();
        match User::from_uid(self.uid) {
            _ if uid == 0 => "root".to_owned(),
            _ if uid == OVERFLOW => format!("group-{GROUP}"),
            Ok(Some(user)) => user.name,
            _ => format!("uid-{uid}"),
        }
    }
}

/// Rules about who may change something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    /// The daemon's own user.
    own: u32,
    group: Option<u32>,
    /// The user as whom the units run all daemons.
    daemons: Option<u32>,
}

impl Trust {
    /// Returns what holds on this host.
    pub(super) fn here() -> Self {
        let group = Group::from_name(GROUP).ok().flatten();
        Self {
            own: geteuid().as_raw(),
            group: group.map(|group| group.gid.as_raw()),
            daemons: daemons_user(),
        }
    }

    /// The program that has connected, with the rights that it had then.
    pub(super) fn peer(&self, stream: &UnixStream) -> io::Result<LocalPeer> {
        let credentials = stream.peer_cred()?;
        let mut groups = groups(stream)?;
        groups.push(credentials.gid());
        Ok(LocalPeer {
            uid: Uid::from_raw(credentials.uid()),
            is_trusted: self.covers(credentials.uid(), &groups, || is_of_this_unit(credentials.pid())),
        })
    }

    /// In a user namespace all strangers look alike, and nobody is taken for one of them. A daemon that was taken over shall not command
    /// another one that runs as the same user.
    fn covers(&self, uid: u32, groups: &[u32], is_of_this_unit: impl FnOnce() -> bool) -> bool {
        if uid != 0 && self.daemons == Some(uid) {
            return uid == self.own && is_of_this_unit();
        }
        let is_own = uid == self.own && uid != OVERFLOW;
        let group = self.group.filter(|group| *group != OVERFLOW);
        uid == 0 || is_own || group.is_some_and(|group| groups.contains(&group))
    }
}

/// Whether a process is in the control group of this one: a program that the daemon has started.
fn is_of_this_unit(pid: Option<i32>) -> bool {
    let group = |process: &str| fs::read_to_string(format!("/proc/{process}/cgroup")).ok();
    pid.and_then(|pid| group(&pid.to_string()))
        .is_some_and(|theirs| group("self") == Some(theirs))
}

/// The user as whom the units run the daemons, where there is one.
fn daemons_user() -> Option<u32> {
    let user = User::from_name(GROUP).ok().flatten();
    user.map(|user| user.uid.as_raw())
}

/// The supplementary groups of the program that has connected (`SO_PEERGROUPS`, unix(7)).
fn groups(stream: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let size = size_of_val(groups.as_slice());
        let mut length = libc::socklen_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes into a buffer that has so many.
        let answer = unsafe {
            libc::getsockopt(
                stream.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let written = length as usize / size_of::<libc::gid_t>();
        if answer == 0 {
            groups.truncate(written);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || written <= groups.len() {
            return Err(error);
        }
        groups.resize(written, 0);
    }
}

/// The users whose listening sockets get a token over plain HTTP on this host: root, this user, and the daemons'.
pub(super) fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw() || daemons_user() == Some(uid)
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, getgroups};

    use super::*;

    #[test]
    fn root_the_daemons_user_and_the_group_are_trusted_and_strangers_of_a_namespace_are_not() {
        let trust = |own, group| Trust {
            own,
            group,
            daemons: None,
        };
        for (trust, uid, groups, expected) in [
            (trust(990, Some(980)), 0, &[][..], true),
            (trust(990, Some(980)), 990, &[], true),
            (trust(990, Some(980)), 1000, &[100, 980], true),
            (trust(990, Some(980)), 1000, &[980], true),
            (trust(990, Some(980)), 1000, &[1000, 100], false),
            (trust(990, Some(980)), 1000, &[0], false),
            (trust(990, None), 1000, &[980, 990], false),
            (trust(OVERFLOW, Some(980)), OVERFLOW, &[OVERFLOW], false),
            (trust(990, Some(OVERFLOW)), 1000, &[OVERFLOW], false),
            (trust(990, Some(980)), OVERFLOW, &[OVERFLOW, 980], true),
        ] {
            assert_eq!(
                trust.covers(uid, groups, || false),
                expected,
                "{trust:?} {uid} {groups:?}"
            );
        }
    }

    #[test]
    fn of_the_daemons_user_only_programs_of_this_unit_are_trusted() {
        let trust = |own| Trust {
            own,
            group: Some(980),
            daemons: Some(990),
        };
        for (own, uid, groups, is_of_this_unit, expected) in [
            (990, 990, &[980][..], false, false),
            (990, 990, &[980], true, true),
            (0, 990, &[980], true, false),
            (990, 0, &[], false, true),
            (0, 0, &[], false, true),
            (990, 1000, &[980], false, true),
            (1000, 1000, &[], false, true),
        ] {
            assert_eq!(
                trust(own).covers(uid, groups, || is_of_this_unit),
                expected,
                "{own} {uid} {groups:?} {is_of_this_unit}"
            );
        }
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(is_of_this_unit(Some(own)));
        assert!(!is_of_this_unit(Some(i32::MAX)) && !is_of_this_unit(None));
    }

    #[tokio::test]
    async fn the_kernel_says_who_this_process_is() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut expected: Vec<u32> = getgroups().unwrap().into_iter().map(Gid::as_raw).collect();
        let mut told = groups(&one).unwrap();
        expected.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, expected);
        let peer = Trust::here().peer(&one).unwrap();
        assert!(peer.is_trusted());
        assert_eq!(peer.uid, geteuid());
        let nobody = LocalPeer {
            uid: Uid::from_raw(OVERFLOW),
            ..peer
        };
        assert_eq!(nobody.user(), "group-secbeat");
    }
}
