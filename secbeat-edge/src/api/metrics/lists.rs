//! Static lists, and what the kernel's maps take.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::view::StatsView;

pub(super) fn render(stats: &StatsView) {
    describe_gauge!(
        "secbeat_edge_kernel_memory_bytes",
        "Kernel memory by the name of the map."
    );
    for (map, bytes) in &stats.kernel_memory {
        gauge!("secbeat_edge_kernel_memory_bytes", "map" => map.clone()).set(*bytes as f64);
    }
    describe_gauge!(
        "secbeat_edge_list_prefixes",
        "Prefixes of each static list in force."
    );
    describe_gauge!(
        "secbeat_edge_list_age_seconds",
        "Time since each static list in force was last given."
    );
    describe_gauge!(
        "secbeat_edge_list_problem",
        "1 for each static list that is not in force as it should be, 0 for the others."
    );
    describe_counter!(
        "secbeat_edge_list_packets_total",
        "Packets of addresses on each static list, whatever became of them."
    );
    describe_counter!("secbeat_edge_list_bytes_total", "Bytes of those packets.");
    for list in &stats.lists.lists {
        let name = || list.name.clone();
        gauge!("secbeat_edge_list_problem", "list" => name()).set(u8::from(list.problem.is_some()));
        if !list.in_force {
            continue;
        }
        let verdict = list.verdict.name();
        gauge!("secbeat_edge_list_prefixes", "list" => name(), "verdict" => verdict)
            .set(f64::from(list.prefixes));
        gauge!("secbeat_edge_list_age_seconds", "list" => name()).set(list.age_ms as f64 / 1000.0);
        counter!("secbeat_edge_list_packets_total", "list" => name()).absolute(list.packets);
        counter!("secbeat_edge_list_bytes_total", "list" => name()).absolute(list.bytes);
    }
}
