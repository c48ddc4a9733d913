//! The BPF file system, where the edge pins its program and maps.

use super::Part;
use crate::process::{as_root, run};
use anyhow::{Context, Result};

const MOUNT_POINT: &str = "/sys/fs/bpf";

pub(super) struct Bpffs;

impl Part for Bpffs {
    fn missing(&self) -> Result<Vec<String>> {
        let mounts = std::fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
        let mounted = mounts.lines().any(|line| {
            let mut fields = line.split(' ').skip(1);
            fields.next() == Some(MOUNT_POINT) && fields.next() == Some("bpf")
        });
        Ok(if mounted {
            Vec::new()
        } else {
            vec![format!("the BPF file system on {MOUNT_POINT}")]
        })
    }

    fn install(&self) -> Result<()> {
        run(as_root("mount")?.args(["-t", "bpf", "bpf", MOUNT_POINT]))
    }
}
