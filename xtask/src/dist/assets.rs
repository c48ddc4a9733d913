//! What the daemons say of themselves: manual pages, completions, schemas of their configs, and what they are made of.

use super::DAEMONS;
use crate::install::cargo_tools;
use crate::process::{cargo, output_bytes, run as run_command};
use crate::scenario::Profile;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::process::Command;

/// Writes them below `target/dist/share`.
pub(super) fn make() -> Result<()> {
    let share = workspace::dist().join("share");
    let [man, completions, schema, sbom] =
        ["man", "completions", "schema", "sbom"].map(|name| share.join(name));
    for folder in [&man, &completions, &schema, &sbom] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    for daemon in DAEMONS {
        let program = || Command::new(Profile::Release.bin_dir().join(daemon));
        run_command(program().arg("man").arg(man.join(daemon)))?;
        let mut files = Vec::new();
        for (shell, file) in [
            ("bash", format!("{daemon}.bash")),
            ("zsh", format!("_{daemon}")),
            ("fish", format!("{daemon}.fish")),
        ] {
            let text = output_bytes(program().args(["completions", shell]))?;
            files.push((completions.join(file), text));
        }
        files.push((
            schema.join(format!("{daemon}.schema.json")),
            output_bytes(program().arg("schema"))?,
        ));
        let mut list = cargo("sbom");
        list.args([
            "--output-format",
            "cyclone_dx_json_1_6",
            "--cargo-package",
            daemon,
        ])
        .env("PATH", cargo_tools::on_path()?);
        files.push((sbom.join(format!("{daemon}.cdx.json")), output_bytes(&mut list)?));
        for (path, text) in files {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
