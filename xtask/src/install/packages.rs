//! The packages of what the groups need.

use super::toolchain::{BpfToolchain, Way};
use super::{Group, Part, apt, nats, pip, schemathesis::Schemathesis};
use anyhow::Result;
use secbeat_programs::Row;

/// Packages whose names are known from the start.
pub(super) struct Packages {
    groups: Vec<Group>,
}

impl Packages {
    pub(super) fn new(groups: Vec<Group>) -> Self {
        Self { groups }
    }
}

impl Part for Packages {
    fn missing(&self) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        if self.groups.contains(&Group::Build) && BpfToolchain::find()?.is_none_or(|it| it.way == Way::Debian)
        {
            missing.extend(apt::not_installed(&apt::BPF_RUST));
        }
        if self.groups.contains(&Group::Run) {
            missing.extend(missing_pip());
        }
        let rows = self.groups.iter().flat_map(|group| group.rows());
        missing.extend(rows.filter_map(missing_package));
        missing.sort();
        missing.dedup();
        Ok(missing)
    }

    fn install(&self) -> Result<()> {
        apt::install(&self.missing()?)
    }
}

/// The package that brings pip, if something is still to be fetched by it and there is none.
fn missing_pip() -> Option<String> {
    let is_fetched = Schemathesis::is_installed()
        && [nats::CURRENT, nats::TOO_OLD]
            .iter()
            .all(|server| server.is_installed().unwrap_or(false));
    (!is_fetched && !pip::is_there()).then(|| "python3-pip".to_owned())
}

/// The package of a row, if its program or file is not here.
fn missing_package(row: Row) -> Option<String> {
    row.find().is_none().then(|| row.package.to_owned())
}

/// A row that is installed without others: a distribution may lack one and have the next.
impl Part for Row {
    fn missing(&self) -> Result<Vec<String>> {
        Ok(missing_package(*self).into_iter().collect())
    }

    fn install(&self) -> Result<()> {
        apt::install(&self.missing()?)
    }
}
