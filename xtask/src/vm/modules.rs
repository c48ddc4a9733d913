//! The kernel modules that the guest loads, and those that they need.

use crate::process::output_bytes;
use anyhow::{Context, Result, bail};
use secbeat_programs::VmProgram;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The bus and the drivers that the checks run on, what a machine with a disk boots from, kinds of interfaces, and filters.
pub(super) const WANTED: [&str; 23] = [
    "virtio_pci",
    "virtio_net",
    "veth",
    "virtio_blk",
    "crc32c_generic",
    "ext4",
    "8021q",
    "bonding",
    "cls_bpf",
    "dummy",
    "ifb",
    "ip6_gre",
    "ip6_tunnel",
    "ip6_vti",
    "ip_gre",
    "ip_vti",
    "ipip",
    "sch_ingress",
    "sit",
    "team",
    "vrf",
    "wireguard",
    "xfrm_interface",
];

/// Writes the modules of the unpacked kernel package `package` to `to`, as files whose names sort in the order of loading.
pub(super) fn unpack(package: &Path, to: &Path) -> Result<()> {
    let tree = Tree::of(package)?;
    let mut loaded = Vec::new();
    for module in WANTED {
        load(&tree, module, &mut loaded)?;
    }
    for (number, (name, bytes)) in loaded.iter().enumerate() {
        let file = to.join(format!("{number:02}-{name}.ko"));
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Appends `module` after what it depends on.
fn load(tree: &Tree, module: &str, loaded: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if loaded.iter().any(|(name, _)| name == module) || tree.is_built_in(module) {
        return Ok(());
    }
    let bytes = tree.read(module)?;
    for dependency in dependencies(&bytes) {
        load(tree, &dependency, loaded)?;
    }
    loaded.push((module.to_owned(), bytes));
    Ok(())
}

/// A module names what it depends on in its section `.modinfo`, a list of `key=value` that end in NUL.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let names = value
        .split(|byte| *byte == b',')
        .map(|name| name_of(&String::from_utf8_lossy(name)));
    names.filter(|name| !name.is_empty()).collect()
}

/// Where every module of a kernel is.
struct Tree {
    files: BTreeMap<String, PathBuf>,
    built_in: Vec<String>,
}

impl Tree {
    fn of(package: &Path) -> Result<Self> {
        let modules = ["lib/modules", "usr/lib/modules"].map(|path| package.join(path));
        let modules = modules
            .iter()
            .find(|path| path.is_dir())
            .context("the kernel's package has no modules")?;
        let mut kernels =
            fs::read_dir(modules).with_context(|| format!("cannot read {}", modules.display()))?;
        let kernel = kernels
            .next()
            .context("the kernel's package has no modules")??
            .path();
        let list = kernel.join("modules.builtin");
        let built_in =
            fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        let mut tree = Self {
            files: BTreeMap::new(),
            built_in: built_in.lines().map(name_of).collect(),
        };
        tree.collect(&kernel)?;
        Ok(tree)
    }

    fn collect(&mut self, directory: &Path) -> Result<()> {
        let cannot_read = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(directory).with_context(cannot_read)? {
            let path = entry.with_context(cannot_read)?.path();
            if path.is_dir() {
                self.collect(&path)?;
            } else {
                self.files.insert(name_of(&path.to_string_lossy()), path);
            }
        }
        Ok(())
    }

    fn is_built_in(&self, module: &str) -> bool {
        self.built_in.iter().any(|name| name == module)
    }

    fn read(&self, module: &str) -> Result<Vec<u8>> {
        let file = self
            .files
            .get(module)
            .with_context(|| format!("the kernel has no module {module}"))?;
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("ko") => fs::read(file).with_context(|| format!("cannot read {}", file.display())),
            Some("xz") => output_bytes(
                Command::new(VmProgram::Xz.name())
                    .arg("--decompress")
                    .arg("--stdout")
                    .arg(file),
            ),
            _ => bail!(
                "{} is compressed in a way that `vm` does not know",
                file.display()
            ),
        }
    }
}

/// A module's name: that of its file to the first dot, with underscores.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::{dependencies, name_of};

    #[test]
    fn dependencies_are_read_from_a_module() {
        let module = b"\x7fELF\0license=GPL\0depends=net_failover,virtio-ring\0intree=Y\0";
        assert_eq!(dependencies(module), ["net_failover", "virtio_ring"]);
        assert!(dependencies(b"\x7fELF\0license=GPL\0depends=\0").is_empty());
        assert!(dependencies(b"\x7fELF").is_empty());
    }

    #[test]
    fn modules_are_named_after_their_files() {
        assert_eq!(name_of("kernel/net/core/failover.ko.xz"), "failover");
        assert_eq!(name_of("virtio-rng.ko"), "virtio_rng");
    }
}
