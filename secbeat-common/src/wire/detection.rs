//! Orders of the fleet's detector, for edges whose own stands in while no orchestrator decides.

use serde::{Deserialize, Serialize};

use super::{Kind, Message};
use crate::sign::Command;

/// Rules, durations and limits of bans, and the networks that the config protects. JSON, whose readers ignore fields that they do not
/// know: only the detector's own crate knows its types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    pub json: String,
}

impl Message for Detection {
    const KIND: Kind = Kind::Detection;
}

impl Command for Detection {}
