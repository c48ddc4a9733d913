//! Comparisons with the kernel.

use super::*;

#[test]
fn an_evicted_ban_is_put_back() {
    let mut reconciler = reconciler();
    let change = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    reconciler.written(&change.target());
    let (drift, changes) = diff(&mut reconciler, &[], NOW.boot, nothing);
    assert_eq!(
        (drift, changes),
        (
            Drift {
                missing: 1,
                evicted: 1,
                ..Drift::default()
            },
            vec![change.clone()]
        )
    );
    assert_eq!(
        diff(&mut reconciler, &kernel_of(&change), NOW.boot, nothing),
        (Drift::default(), vec![])
    );
}

#[test]
fn pinned_bans_are_left_alone_until_the_bus_was_heard_and_then_compared() {
    let mut before = reconciler();
    let kernel = kernel_of(
        &before
            .accept(&command("198.51.100.7", 300), NOW, nothing)
            .unwrap()
            .unwrap(),
    );
    let mut restarted = reconciler();
    assert_eq!(
        diff(&mut restarted, &kernel, NOW.boot, nothing),
        (Drift::default(), vec![])
    );
    assert_eq!(restarted.complete_snapshot(&HashSet::new()), vec![]);
    let (drift, changes) = diff(&mut restarted, &kernel, NOW.boot, nothing);
    assert_eq!(
        (drift.foreign, changes),
        (1, vec![Change::Remove(prefix("198.51.100.7"))])
    );
}

#[test]
fn a_source_that_became_protected_is_taken_out_of_the_kernel() {
    let mut before = reconciler();
    let kernel = kernel_of(
        &before
            .accept(&command("198.51.100.7", 300), NOW, nothing)
            .unwrap()
            .unwrap(),
    );
    let (drift, changes) = diff(&mut reconciler(), &kernel, NOW.boot, |_| true);
    assert_eq!(
        (drift.foreign, changes),
        (1, vec![Change::Remove(prefix("198.51.100.7"))])
    );
}

#[test]
fn l7_bans_never_reach_the_kernel() {
    let mut reconciler = reconciler();
    let ban = BlockCommand {
        layer: Layer::L7,
        ..command("198.51.100.7", 300)
    };
    reconciler.accept(&ban, NOW, nothing).unwrap();
    assert_eq!(
        diff(&mut reconciler, &[], NOW.boot, nothing),
        (Drift::default(), vec![])
    );
}

#[test]
fn a_ban_that_differs_or_is_not_stamped_is_written_again_and_is_no_eviction() {
    let mut reconciler = reconciler();
    let change = reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap()
        .unwrap();
    let mut kernel = kernel_of(&change);
    kernel[0].1.unallowed_in = 5;
    assert_eq!(
        diff(&mut reconciler, &kernel, NOW.boot, nothing),
        (Drift::default(), vec![change.clone()])
    );
    kernel[0].1.ends = at(200);
    let (drift, changes) = diff(&mut reconciler, &kernel, NOW.boot, nothing);
    assert_eq!((drift.differing, drift.missing, changes), (1, 0, vec![change]));
}

#[test]
fn what_the_kernel_did_not_take_is_missing_but_not_evicted() {
    let mut reconciler = reconciler();
    let target = prefix("198.51.100.7");
    reconciler
        .accept(&command("198.51.100.7", 300), NOW, nothing)
        .unwrap();
    let (drift, changes) = diff(&mut reconciler, &[], NOW.boot, nothing);
    assert_eq!((drift.missing, drift.evicted, changes.len()), (1, 0, 1));
    reconciler.written(&target);
    let (drift, _) = diff(&mut reconciler, &[], NOW.boot, nothing);
    assert_eq!((drift.missing, drift.evicted), (1, 1), "repaired, and lost again");
}

#[test]
fn orders_between_the_steps_of_a_pass_are_neither_undone_nor_called_missing() {
    let mut reconciler = reconciler();
    for target in ["198.51.100.7", "198.51.100.77"] {
        reconciler.accept(&command(target, 300), NOW, nothing).unwrap();
    }
    let pass = reconciler.begin();
    // The walk is past this one's bucket when it is banned.
    let during = BlockCommand {
        id: Uuid::from_u128(3),
        ..command("203.0.113.7", 300)
    };
    reconciler.accept(&during, NOW, nothing).unwrap();
    reconciler.written(&during.target);
    let (drift, missing) = reconciler.finish(pass, NOW.boot);
    assert_eq!((drift.missing, missing.len()), (2, 2));
    reconciler.withdraw(&prefix("198.51.100.7")).unwrap();
    let repaired = reconciler.repair(&missing, NOW.boot);
    let repaired: Vec<_> = repaired.iter().map(Change::target).collect();
    assert_eq!(repaired, [prefix("198.51.100.77")]);
}

#[test]
fn nothing_is_called_new_while_the_kernel_may_hold_what_nobody_has_spoken_of() {
    let is_new = |reconciler: &Reconciler, change: &Change| {
        matches!(reconciler.entries(change).next(), Some(Entry::Add(..)))
    };
    let mut reconciler = reconciler();
    let ban = |reconciler: &mut Reconciler, target: &str| {
        let change = reconciler.accept(&command(target, 300), NOW, nothing);
        change.unwrap().unwrap()
    };
    let change = ban(&mut reconciler, "198.51.100.1");
    assert!(!is_new(&reconciler, &change), "before anything was compared");
    let pinned = kernel_of(&Change::Put(
        prefix("198.51.100.9"),
        reconciler.get(&change.target()).unwrap().clone(),
    ));
    diff(&mut reconciler, &pinned, NOW.boot, nothing);
    let change = ban(&mut reconciler, "198.51.100.2");
    assert!(
        !is_new(&reconciler, &change),
        "the kernel holds an earlier process's bans"
    );
    reconciler.complete_snapshot(&HashSet::from(["198.51.100.1", "198.51.100.2"].map(prefix)));
    diff(&mut reconciler, &pinned, NOW.boot, nothing);
    let change = ban(&mut reconciler, "198.51.100.3");
    assert!(is_new(&reconciler, &change), "all that was there is known");
    reconciler.written(&change.target());
    assert!(!is_new(&reconciler, &change), "written already");
}
