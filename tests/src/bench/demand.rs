//! What is demanded of a figure, and what came of it.

use std::{fmt, process::ExitCode};

use serde_json::{Value, json};

/// Where a number has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing is demanded; it is worth knowing.
    None,
}

/// One demand, with what came of it.
#[derive(Clone, Debug)]
pub struct Demand {
    pub figure: String,
    /// `None` if it could not be measured.
    pub value: Option<f64>,
    pub limit: Limit,
    /// What is hoped for beyond the limit, in the same direction.
    pub aim: Option<f64>,
    /// Whether something that was measured did not do what it should.
    pub failed: bool,
}

/// What came of a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// There was no limit.
    Reported,
    Pass,
    NotRun,
    Fail,
}

/// The worst of all: what was not run is not passed, but did not fail either.
#[must_use]
pub fn overall(demands: &[Demand]) -> Verdict {
    let worst = demands.iter().map(Demand::verdict).max();
    worst.unwrap_or(Verdict::NotRun).max(Verdict::Pass)
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::None => true,
        }
    }

    fn with(self, limit: f64) -> Self {
        match self {
            Self::AtMost(_) => Self::AtMost(limit),
            Self::AtLeast(_) => Self::AtLeast(limit),
            Self::None => Self::None,
        }
    }
}

impl Demand {
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.value, self.limit) {
            _ if self.failed => Verdict::Fail,
            (None, _) => Verdict::NotRun,
            (Some(_), Limit::None) => Verdict::Reported,
            (Some(value), limit) if limit.holds(value) => Verdict::Pass,
            (Some(_), _) => Verdict::Fail,
        }
    }

    pub(super) fn reaches_aim(&self) -> Option<bool> {
        Some(self.limit.with(self.aim?).holds(self.value?))
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let (at_most, at_least) = match self.limit {
            Limit::AtMost(limit) => (Some(limit), None),
            Limit::AtLeast(limit) => (None, Some(limit)),
            Limit::None => (None, None),
        };
        json!({
            "figure": self.figure,
            "value": self.value,
            "at_most": at_most,
            "at_least": at_least,
            "aim": self.aim,
            "aim_reached": self.reaches_aim(),
            "verdict": self.verdict().to_string(),
        })
    }
}

impl From<Verdict> for ExitCode {
    /// 0 when every limit is kept, 1 when one is not, 2 when none failed but something could not be measured.
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass | Verdict::Reported => Self::SUCCESS,
            Verdict::Fail => Self::from(1),
            Verdict::NotRun => Self::from(2),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reported => "reported",
            Self::Pass => "PASS",
            Self::NotRun => "NOT RUN",
            Self::Fail => "FAIL",
        })
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}{}", self.verdict(), self.figure)?;
        if let Some(value) = self.value {
            write!(f, ": {value:.2}")?;
        }
        match self.limit {
            Limit::AtMost(limit) => write!(f, ", at most {limit:.2}")?,
            Limit::AtLeast(limit) => write!(f, ", at least {limit:.2}")?,
            Limit::None => {}
        }
        if let Some(aim) = self.aim {
            let reached = match self.reaches_aim() {
                Some(true) => " reached",
                Some(false) => " missed",
                None => "",
            };
            write!(f, " (aim {aim:.2}{reached})")?;
        }
        Ok(())
    }
}
