//! The kill switch where pins cannot be reached: bpffs is read-only or gone, and the links live on.

use std::path::Path;

use anyhow::Context as _;
use aya::programs::{ProgramInfo, loaded_programs};
use nix::net::if_::if_indextoname;

use super::{program::record_in, raw::detach_links, record::Record};

/// Detaches the links of programs whose ban maps the daemon with this folder has noted as its own since the host was booted. Returns
/// the interfaces that were freed.
///
/// # Errors
///
/// Returns an error if the kernel refuses: only root may look for links without pins.
pub fn detach_noted(state_dir: &Path) -> anyhow::Result<Vec<String>> {
    let noted = Record::read(&record_in(state_dir));
    let is_noted = |program: &ProgramInfo| {
        let maps = program.map_ids().ok().flatten().unwrap_or_default();
        maps.into_iter().any(|id| noted.has(id))
    };
    let ours: Vec<u32> = loaded_programs()
        .flatten()
        .filter(is_noted)
        .map(|program| program.id())
        .collect();
    let freed =
        detach_links(|program| ours.contains(&program)).context("detaching links by their numbers")?;
    let name = |index| {
        let name = if_indextoname(index)
            .ok()
            .and_then(|name| name.into_string().ok());
        name.unwrap_or_else(|| format!("interface {index}"))
    };
    Ok(freed.into_iter().map(name).collect())
}
