//! State of this edge's own detector.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::view::DetectionView;

pub(super) fn render(detection: &DetectionView) {
    describe_gauge!(
        "secbeat_edge_standing_in",
        "1 while this edge's own detector decides because the fleet does not."
    );
    let stands_in = detection.deciding_since_ms.is_some() && detection.away.is_some();
    gauge!("secbeat_edge_standing_in").set(u8::from(stands_in));
    describe_counter!(
        "secbeat_edge_own_bans_total",
        "Bans that this edge's own detector made, and those among them that the fleet took over."
    );
    for (fate, bans) in [("made", detection.banned), ("taken_over", detection.taken_over)] {
        counter!("secbeat_edge_own_bans_total", "fate" => fate).absolute(bans);
    }
}
