//! Fleets in which several edges have to agree.

use super::*;

fn two_agree() -> Rig {
    Rig::ready_with(|config| config.agreeing_edges = NonZeroU32::new(2).unwrap())
}

fn edges(edges: &[&str]) -> Scope {
    Scope::of_edges(edges.iter().map(ToString::to_string).collect())
}

/// What follows from `n` errors that `edge` reports.
fn ban(rig: &mut Rig, edge: &str, n: usize) -> Option<BlockCommand> {
    written(&rig.errors(edge, CLIENT, n)).pop()
}

#[test]
fn one_edges_word_bans_on_that_edge_and_the_audit_says_so() {
    let mut rig = two_agree();
    let command = ban(&mut rig, "edge-1", 50).unwrap();
    assert_eq!(command.scope, edges(&["edge-1"]));
    let [record] = &audited(&rig.acknowledge(&command, 7))[..] else {
        panic!()
    };
    let Audited::Ban { edges, .. } = &record.decision else {
        panic!("{record:?}");
    };
    assert_eq!(edges.as_deref(), Some(&["edge-1".to_owned()][..]));
}

#[test]
fn the_word_of_two_edges_bans_on_all() {
    let mut rig = two_agree();
    assert_eq!(ban(&mut rig, "edge-1", 25), None);
    assert_eq!(ban(&mut rig, "edge-2", 25).unwrap().scope, Scope::Fleet);
}

#[test]
fn a_ban_on_one_edge_is_extended_to_all_with_the_strikes_of_the_first() {
    let mut rig = two_agree();
    let first = ban(&mut rig, "edge-1", 50).unwrap();
    rig.acknowledge(&first, 7);
    rig.pass(100_000);
    assert_eq!(ban(&mut rig, "edge-1", 500), None, "it has said enough");
    let second = ban(&mut rig, "edge-2", 50).unwrap();
    assert_eq!((second.scope, second.strikes), (Scope::Fleet, 0));
    assert_eq!(second.expires_at_ms, NOW + 400_000);
    assert_eq!(ban(&mut rig, "edge-2", 500), None);
}

#[test]
fn with_three_that_agree_a_ban_grows_edge_by_edge() {
    let mut rig = Rig::ready_with(|config| config.agreeing_edges = NonZeroU32::new(3).unwrap());
    let scopes = ["edge-1", "edge-2", "edge-3"].map(|edge| ban(&mut rig, edge, 50).unwrap().scope);
    assert_eq!(
        scopes,
        [edges(&["edge-1"]), edges(&["edge-1", "edge-2"]), Scope::Fleet]
    );
}

#[test]
fn a_ban_on_one_edge_is_known_when_its_partition_is_taken() {
    let mut rig = two_agree();
    let first = ban(&mut rig, "edge-1", 50).unwrap();
    rig.acknowledge(&first, 7);
    rig.lose(CLIENT);
    rig.take(CLIENT, 2);
    assert_eq!(ban(&mut rig, "edge-1", 49), None);
    assert_eq!(rig.counted(CLIENT), 0);
    rig.pass(100_000);
    assert_eq!(
        ban(&mut rig, "edge-2", 50).unwrap().scope,
        Scope::Fleet,
        "edge-1's word counts for as long as its ban lasts"
    );
}

#[test]
fn another_orchestrators_ban_on_one_edge_counts_as_its_word() {
    let mut rig = two_agree();
    let command = BlockCommand {
        scope: edges(&["edge-1"]),
        ..theirs(CLIENT, 9)
    };
    rig.hear(&command, 7);
    assert_eq!(ban(&mut rig, "edge-1", 50), None);
    assert_eq!(ban(&mut rig, "edge-2", 50).unwrap().scope, Scope::Fleet);
}

#[test]
fn an_unban_takes_all_words_back() {
    let mut rig = two_agree();
    let first = ban(&mut rig, "edge-1", 50).unwrap();
    rig.acknowledge(&first, 7);
    rig.unban(1, CLIENT);
    rig.pass(1);
    assert_eq!(ban(&mut rig, "edge-2", 50).unwrap().scope, edges(&["edge-2"]));
}

#[test]
fn an_edges_word_counts_again_when_its_ban_is_over() {
    let mut rig = two_agree();
    ban(&mut rig, "edge-1", 50).unwrap();
    rig.pass(300_000);
    rig.tick();
    let second = ban(&mut rig, "edge-1", 50).unwrap();
    assert_eq!((second.scope, second.strikes), (edges(&["edge-1"]), 1));
}

#[test]
fn a_ban_that_gave_way_to_one_on_another_edge_silences_nobody() {
    let mut rig = two_agree();
    let ours = ban(&mut rig, "edge-1", 50).unwrap();
    let theirs = BlockCommand {
        scope: edges(&["edge-2"]),
        ..theirs(CLIENT, 9)
    };
    rig.done(&ours, Fate::Outrun(Box::new(theirs)));
    rig.pass(1_000);
    assert_eq!(
        ban(&mut rig, "edge-1", 50).unwrap().scope,
        Scope::Fleet,
        "edge-1 does not enforce theirs"
    );
}
