//! Certificates that the proxy gets itself: from Pebble, which validates as the authorities on the internet do, and from one of which
//! nobody gets any.

mod failing;
mod obtaining;
mod web;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTE_MS: i64 = 60 * 1000;
