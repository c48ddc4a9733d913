//! `status`: how this orchestrator does, and who shares the partitions with it.

use std::fmt::Write as _;

use secbeat_common::daemon::cli::{Output, print_json};

use crate::{api::view::ApiStats, leases::shell::LeasesView};

pub(super) fn show(stats: &ApiStats, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(stats),
        Output::Table => {
            print!("{}", text(stats));
            Ok(())
        }
    }
}

fn text(stats: &ApiStats) -> String {
    let bus = match stats.bus_connected {
        true => "connected",
        false => "unreachable",
    };
    let engine = &stats.engine;
    let mut text = format!(
        "NATS        {bus}\nbans        {} active, {} being written\nsources     {} watched\n",
        engine.active_bans, engine.unwritten, engine.tracked_sources
    );
    text.push_str(&shares(&stats.leases));
    text
}

fn shares(leases: &LeasesView) -> String {
    let mut text = String::new();
    for member in &leases.members {
        let owned = leases
            .partitions
            .iter()
            .filter(|view| view.holder.as_ref() == Some(member));
        let owned: Vec<_> = owned
            .map(|view| match view.epoch {
                Some(epoch) => format!("{} (epoch {epoch})", view.partition),
                None => view.partition.to_string(),
            })
            .collect();
        let who = match *member == leases.instance {
            true => "this one",
            false => "another",
        };
        let _ = writeln!(text, "{who:<11} {member} owns {}", list(&owned));
    }
    let unowned: Vec<_> = leases.unowned().map(|partition| partition.to_string()).collect();
    if !unowned.is_empty() {
        let _ = writeln!(text, "nobody      owns {}", list(&unowned));
    }
    text
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        items => items.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::shell::PartitionView;

    #[test]
    fn who_owns_what_is_shown() {
        let view = |partition, holder: Option<&str>, epoch| PartitionView {
            partition,
            holder: holder.map(str::to_owned),
            epoch,
        };
        let leases = LeasesView {
            instance: "a-1".to_owned(),
            members: vec!["a-1".to_owned(), "b-1".to_owned(), "c-1".to_owned()],
            partitions: vec![
                view(0, Some("a-1"), Some(7)),
                view(1, Some("b-1"), None),
                view(2, Some("b-1"), None),
                view(3, None, None),
            ],
        };
        assert_eq!(
            shares(&leases),
            "this one    a-1 owns 0 (epoch 7)\n\
             another     b-1 owns 1, 2\n\
             another     c-1 owns nothing\n\
             nobody      owns 3\n"
        );
    }
}
