//! Files into modules.

use super::{Module, cfg, names};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};
use syn::{Expr, ExprLit, Item, ItemMod, Lit, Meta, Visibility};

/// All modules of the crate whose root is `file`, the root first.
pub(super) fn modules(file: &Path) -> Result<Vec<Module>> {
    let mut modules = Vec::new();
    add_file(&mut modules, file, &folder_of(file), Module::default())?;
    Ok(modules)
}

/// Adds the module that is all of `file`, and those in it. `folder` has the files of the latter.
fn add_file(modules: &mut Vec<Module>, file: &Path, folder: &Path, module: Module) -> Result<usize> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let parsed = syn::parse_file(&text).map_err(|error| {
        let line = error.span().start().line;
        anyhow!("{}:{line}: {error}", file.display())
    })?;
    let module = Module {
        file: file.to_owned(),
        is_file: true,
        ..module
    };
    add(modules, &parsed.items, folder, module)
}

fn add(modules: &mut Vec<Module>, items: &[Item], folder: &Path, mut module: Module) -> Result<usize> {
    names::collect(items, &mut module);
    let index = modules.len();
    modules.push(module);
    for item in items {
        if let Item::Mod(item) = item {
            let child = add_child(modules, index, item, folder)?;
            modules[index].children.insert(item.ident.to_string(), child);
        }
    }
    Ok(index)
}

fn add_child(modules: &mut Vec<Module>, parent: usize, item: &ItemMod, folder: &Path) -> Result<usize> {
    let above = &modules[parent];
    let name = item.ident.to_string();
    let folder = folder.join(&name);
    let child = Module {
        path: above.path.iter().cloned().chain([name]).collect(),
        file: above.file.clone(),
        is_public: matches!(item.vis, Visibility::Public(_)),
        is_test: above.is_test || cfg::is_test(&item.attrs),
        declared: item.ident.span().start().line,
        parent: Some(parent),
        ..Module::default()
    };
    if let Some((_, items)) = &item.content {
        return add(modules, items, &folder, child);
    }
    if let Some(path) = path_attribute(item) {
        let file = folder_of(&above.file).join(path);
        return add_file(modules, &file, &folder_of(&file), child);
    }
    let beside = folder.with_extension("rs");
    let file = if beside.exists() {
        beside
    } else {
        folder.join("mod.rs")
    };
    add_file(modules, &file, &folder, child)
}

/// The file that `#[path = "…"]` names.
fn path_attribute(item: &ItemMod) -> Option<String> {
    item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_owned).unwrap_or_default()
}
