//! Embeds the files of the web page, if they were built. Without them, the daemons build all the same.
#![allow(clippy::disallowed_macros, reason = "cargo reads what a build script prints")]

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let built = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("dashboard/dist");
    // Cargo looks whether what is in it has changed, and takes a folder that is not there for changed each time.
    let _ = fs::create_dir_all(&built);
    println!("cargo:rerun-if-changed={}", built.display());
    let mut files = Vec::new();
    if built.is_dir() {
        collect(&built, &built, &mut files)?;
    }
    files.sort();
    let mut text = "static FILES: &[File] = &[\n".to_owned();
    for (path, file) in files {
        let mut hasher = DefaultHasher::new();
        fs::read(&file)?.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        writeln!(
            text,
            "    File {{ path: {path:?}, bytes: include_bytes!({file:?}), tag: {tag:?} }},"
        )?;
    }
    text.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("dashboard.rs"), text)?;
    Ok(())
}

/// All files in `folder`, each with its path from `root` on.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden || path.extension().is_some_and(|extension| extension == "map") {
            continue;
        }
        match path.is_dir() {
            true => collect(root, &path, files)?,
            false => files.push((format!("/{}", path.strip_prefix(root)?.display()), path)),
        }
    }
    Ok(())
}
