//! The kernels that `vm` boots.

use std::fmt;

/// A long-term kernel that Debian keeps up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Series {
    /// Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13, and in Debian 12 by choice
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    pub(super) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}
