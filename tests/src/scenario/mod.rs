//! What the demo, the behavioural script and the benchmark of the loop share: an attack and when what happened in it,
//! the ban that follows, and a frame that cleans up after failures and Ctrl-C.

pub mod attack;
pub mod ban;
pub mod frame;
mod knock;
pub mod moment;
pub mod race;
