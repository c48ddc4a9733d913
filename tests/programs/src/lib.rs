//! The external programs that SecBeat's developer commands and tests start, each with the Debian package that has it.
//!
//! `cargo xtask setup` installs from this table, and the lab starts programs of this table only. So a test cannot need a
//! program that nobody installs.
//!
//! Shell scripts also use what every Debian has (coreutils, sed, grep): packages marked essential. Such a program has a row
//! here if Rust code starts it.

use std::{
    env,
    path::{Path, PathBuf},
};

/// A program or another file, and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The program's name, or an absolute path, in which `{arch}` is this machine's architecture.
    pub name: &'static str,
    pub package: &'static str,
}

impl Row {
    /// Where it is, if it is installed.
    #[must_use]
    pub fn find(self) -> Option<PathBuf> {
        find(&self.name.replace("{arch}", env::consts::ARCH))
    }
}

/// Where a program is: on PATH, or where Debian puts those that only root has on PATH. An absolute path is its own place.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let for_root = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let places = env::split_paths(&path).chain(for_root);
    places
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() || (file.is_dir() && Path::new(name).is_absolute()))
}

/// Makes an enum of each section; its values are the only way to name a row.
macro_rules! table {
    ($($(#[$about:meta])* $section:ident { $($entry:ident: $name:literal of $package:literal,)+ })+) => {
        $(
            $(#[$about])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $section {
                $(#[doc = concat!("`", $name, "` of the package `", $package, "`.")] $entry,)+
            }

            impl $section {
                /// All rows of this section.
                pub const ROWS: &'static [Row] = &[$(Row { name: $name, package: $package },)+];

                /// The row of this value.
                #[must_use]
                pub const fn row(self) -> Row {
                    Self::ROWS[self as usize]
                }

                /// The name in the row.
                #[must_use]
                pub const fn name(self) -> &'static str {
                    self.row().name
                }
            }
        )+

        #[cfg(test)]
        const SECTIONS: &[&[Row]] = &[$($section::ROWS,)+];
    };
}

table! {
    /// Programs that every scenario starts: the demo, the tests and the benchmarks.
    Program {
        Bpftool: "bpftool" of "bpftool",
        Ip: "ip" of "iproute2",
        Mount: "mount" of "mount",
        Nginx: "nginx" of "nginx",
        Nsenter: "nsenter" of "util-linux",
        Shell: "sh" of "dash",
        Ssh: "ssh" of "openssh-client",
        SshKeygen: "ssh-keygen" of "openssh-client",
        Sshd: "sshd" of "openssh-server",
        Unshare: "unshare" of "util-linux",
    }

    /// Programs that the tests start besides, and one benchmark.
    TestProgram {
        Apache: "apache2" of "apache2",
        Bash: "bash" of "bash",
        Caddy: "caddy" of "caddy",
        Cat: "cat" of "coreutils",
        Chromium: "chromium" of "chromium",
        Copy: "cp" of "coreutils",
        Curl: "curl" of "curl",
        Dirb: "dirb" of "dirb",
        Dpkg: "dpkg" of "dpkg",
        DpkgQuery: "dpkg-query" of "dpkg",
        // `bench sources` compares log readers with it, too.
        Fail2banClient: "fail2ban-client" of "fail2ban",
        Fail2banPython: "fail2ban-python" of "fail2ban",
        Fail2banRegex: "fail2ban-regex" of "fail2ban",
        // `bench one-host` runs it beside ours.
        Fail2banServer: "fail2ban-server" of "fail2ban",
        Find: "find" of "findutils",
        // `bench sources` measures HTTP/2 with it.
        H2load: "h2load" of "nghttp2-client",
        Haproxy: "haproxy" of "haproxy",
        Journalctl: "journalctl" of "systemd",
        Journald: "/lib/systemd/systemd-journald" of "systemd",
        JournalRemote: "/lib/systemd/systemd-journal-remote" of "systemd-journal-remote",
        Kill: "kill" of "procps",
        Lighttpd: "lighttpd" of "lighttpd",
        Logrotate: "logrotate" of "logrotate",
        Pebble: "pebble" of "pebble",
        PebbleNames: "pebble-challtestsrv" of "pebble",
        PivotRoot: "pivot_root" of "util-linux",
        Prometheus: "prometheus" of "prometheus",
        Promtool: "promtool" of "prometheus",
        Python: "python3" of "python3",
        Script: "script" of "bsdutils",
        Setarch: "setarch" of "util-linux",
        Setpriv: "setpriv" of "util-linux",
        Systemctl: "systemctl" of "systemd",
        Systemd: "/lib/systemd/systemd" of "systemd",
        SystemdAnalyze: "systemd-analyze" of "systemd",
        SystemdSysusers: "systemd-sysusers" of "systemd",
        SystemdTmpfiles: "systemd-tmpfiles" of "systemd",
        Test: "test" of "coreutils",
        Timeout: "timeout" of "coreutils",
        Umount: "umount" of "mount",
        Wrk: "wrk" of "wrk",
    }

    /// Files of packages that these load.
    TestFile {
        CoreRules: "/usr/share/modsecurity-crs/rules" of "modsecurity-crs",
        CoreRulesSetup: "/etc/modsecurity/crs/crs-setup.conf" of "modsecurity-crs",
        DirbWords: "/usr/share/dirb/wordlists/common.txt" of "dirb",
        // A clock for a single process.
        Faketime: "/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1" of "libfaketime",
        ModsecurityInApache: "/usr/lib/apache2/modules/mod_security2.so" of "libapache2-mod-security2",
        ModsecurityInApacheDefaults: "/etc/modsecurity/modsecurity.conf-recommended" of "libapache2-mod-security2",
        ModsecurityInNginx: "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so" of "libnginx-mod-http-modsecurity",
        ModsecurityInNginxDefaults: "/usr/share/nginx/docs/modsecurity/modsecurity.conf" of "libnginx-mod-http-modsecurity",
    }

    /// Filters that `bench xdp` compares ours with. A benchmark goes on without those that cannot be installed.
    FilterPeer {
        Ipset: "ipset" of "ipset",
        IptablesLegacy: "iptables-legacy" of "iptables",
        IptablesLegacyRestore: "iptables-legacy-restore" of "iptables",
        IptablesNft: "iptables-nft" of "iptables",
        IptablesNftRestore: "iptables-nft-restore" of "iptables",
        Nft: "nft" of "nftables",
        XdpFilter: "xdp-filter" of "xdp-tools",
    }

    /// Programs that `vm` starts or puts into its guests, besides some of the lab's.
    VmProgram {
        Busybox: "busybox" of "busybox-static",
        Ldd: "ldd" of "libc-bin",
        Qemu: "qemu-system-x86_64" of "qemu-system-x86",
        Xz: "xz" of "xz-utils",
    }

    /// Programs that `dist` starts.
    DistProgram {
        DpkgShlibdeps: "dpkg-shlibdeps" of "dpkg-dev",
        Git: "git" of "git",
        Readelf: "readelf" of "binutils",
        Strip: "strip" of "binutils",
    }

    /// Programs that make a Debian and a disk of it.
    DebianProgram {
        Debootstrap: "debootstrap" of "debootstrap",
        MkfsExt4: "mkfs.ext4" of "e2fsprogs",
    }

    /// What `fuzz` compiles libFuzzer with.
    FuzzProgram {
        CxxCompiler: "c++" of "g++",
    }

    /// Programs with which `lint` checks the Vagrantfile and the compose file. Some distributions lack them.
    LintProgram {
        DockerCompose: "docker-compose" of "docker-compose",
        Vagrant: "vagrant" of "vagrant",
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, SECTIONS, TestFile, find};
    use std::{collections::BTreeSet, path::PathBuf};

    #[test]
    fn no_name_is_in_the_table_twice() {
        let names: Vec<_> = SECTIONS.concat().into_iter().map(|row| row.name).collect();
        let mut met = BTreeSet::new();
        let twice: Vec<_> = names.into_iter().filter(|name| !met.insert(*name)).collect();
        assert_eq!(twice, [""; 0]);
        assert!(met.contains("nginx"));
    }

    #[test]
    fn a_value_has_the_row_that_it_was_declared_with() {
        let package = "modsecurity-crs";
        let name = "/usr/share/modsecurity-crs/rules";
        assert_eq!(TestFile::CoreRules.row(), Row { name, package });
    }

    #[test]
    fn programs_are_found_on_path_and_files_where_they_are() {
        assert!(find("sh").is_some_and(|path| path.ends_with("sh")));
        assert_eq!(
            find("/proc/self/status"),
            Some(PathBuf::from("/proc/self/status"))
        );
        assert_eq!(find("/proc/self"), Some(PathBuf::from("/proc/self")));
        assert_eq!(find("no-program-has-this-name"), None);
        // A folder on PATH is no program.
        assert_eq!(find("."), None);
    }
}
