/// One instant, on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day that the fleet goes by: milliseconds since the Unix epoch. It may be corrected at any time.
    pub wall_ms: i64,
    /// Milliseconds of a clock that only moves forward, as since the host's start.
    pub boot_ms: i64,
}
