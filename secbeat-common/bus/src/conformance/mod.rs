//! What every implementation of the bus keeps, as cases. [`for_each_case`](crate::for_each_case) hands a macro the names of all,
//! of which each implementation makes tests.
//!
//! Each case has a [`Lab`] of its own with an empty server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case fails by a panic, as every test does"
)]

mod bucket;
mod ends;
mod fleet;
mod follow;
mod log;
mod topic;
mod watch;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};

pub use self::{bucket::*, ends::*, fleet::*, follow::*, log::*, topic::*, watch::*};
use crate::{Bucket, BucketSettings, Bus, Created, Entry, EntryKind, Error, Messages, Write, WriteOutcome};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause before a look again.
const LOOK: Duration = Duration::from_millis(50);
/// The bucket of most cases.
const BUCKET: &str = "test_bucket";
/// The log of most cases.
const LOG: &str = "TEST_LOG";

/// A server, and who connects to it.
pub trait Lab: Send + Sync {
    /// A member's connection, which is up.
    fn join(&self) -> impl Future<Output = Bus> + Send;

    /// Stops the server: all are disconnected.
    fn stop(&self) -> impl Future<Output = ()> + Send;

    /// Starts it again with what it keeps on disk.
    fn start(&self) -> impl Future<Output = ()> + Send;

    /// Deletes the bucket of this name.
    fn delete_bucket(&self, name: &str) -> impl Future<Output = ()> + Send;
}

/// Stops the server, and starts it again once `bus` is away; returns once `bus` is back.
async fn restart(lab: &impl Lab, bus: &Bus) {
    let before = bus.connection();
    lab.stop().await;
    until("the bus is away", async || !bus.is_connected()).await;
    lab.start().await;
    let back = tokio::time::timeout(PATIENCE, bus.connection_after(before)).await;
    back.expect("the bus is back");
}

/// Looks until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// The next of `messages`.
async fn next<T>(messages: &mut (impl Stream<Item = Result<T, Error>> + Unpin)) -> T {
    let next = tokio::time::timeout(PATIENCE, messages.next()).await;
    next.expect("a message in time")
        .expect("a message")
        .expect("no error")
}

/// The next `n` of `messages`.
async fn take<T>(messages: &mut Messages<T>, n: usize) -> Vec<T> {
    let mut taken = Vec::with_capacity(n);
    while taken.len() < n {
        taken.push(next(messages).await);
    }
    taken
}

/// A bucket of these settings.
async fn made(bus: &Bus, settings: BucketSettings) -> Arc<dyn Bucket> {
    let bucket = bus.bucket(BUCKET);
    bucket.make(settings).await.expect("making a bucket");
    bucket
}

/// One whose entries may end, and that takes batches.
fn settings() -> BucketSettings {
    BucketSettings {
        marker_ttl: Some(Duration::from_secs(60)),
        batches: true,
        ..BucketSettings::default()
    }
}

/// The revision of a write that succeeds.
async fn write(bucket: &Arc<dyn Bucket>, write: Write) -> u64 {
    match bucket.write(write).await.expect("a write") {
        WriteOutcome::Written(revision) => revision,
        WriteOutcome::Conflict => panic!("a conflict"),
    }
}

async fn put(bucket: &Arc<dyn Bucket>, key: &str, value: &str) -> u64 {
    write(bucket, Write::put(key, value.to_owned())).await
}

/// Returns what a test compares of an entry.
fn shown(entry: &Entry) -> (String, EntryKind, String, u64) {
    let value = String::from_utf8_lossy(&entry.value).into_owned();
    (entry.key.clone(), entry.kind, value, entry.revision)
}

async fn get(bucket: &Arc<dyn Bucket>, key: &str) -> Option<(EntryKind, String, u64)> {
    let entry = bucket.get(key).await.expect("reading a key")?;
    let (_, operation, value, revision) = shown(&entry);
    Some((operation, value, revision))
}

async fn created(bucket: &Arc<dyn Bucket>) -> Created {
    bucket.status().await.expect("a bucket's status").created
}

fn assert_refused<T: Debug>(outcome: &Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
}

fn assert_missing<T: Debug>(outcome: &Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Missing(_))), "{outcome:?}");
}

fn assert_invalid<T: Debug>(outcome: &Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
}

/// Hands the names of all cases to the macro `$test`, which makes a test of each.
#[macro_export]
macro_rules! for_each_case {
    ($test:ident) => {
        $test! {
            // Buckets.
            revisions_grow_over_the_whole_bucket,
            the_newest_entry_is_known_by_its_revision,
            an_entry_is_read_as_it_was_written,
            a_key_without_a_write_holds_nothing,
            a_write_over_an_older_revision_conflicts,
            a_write_over_nothing_makes_a_key_once,
            a_write_without_expectation_always_succeeds,
            of_writers_over_one_revision_one_wins,
            a_delete_leaves_a_marker,
            a_purge_leaves_a_marker_with_its_value,
            a_key_with_a_marker_exists,
            a_purge_over_an_older_revision_conflicts,
            a_purge_is_refused_where_a_bucket_has_none,
            a_retry_after_a_lost_acknowledgement_conflicts_with_itself,
            large_values_come_back_whole,
            a_value_over_the_limit_is_refused,
            keys_use_the_alphabet_and_no_other,
            a_missing_bucket_is_told,
            making_a_bucket_again_keeps_what_it_holds,
            a_bucket_that_was_made_anew_is_another,
            the_status_counts_keys_with_markers,
            the_server_tells_its_time,
            a_batch_is_written_in_order,
            a_batch_with_one_conflict_writes_nothing,
            a_batch_of_the_largest_size_is_taken,
            a_batch_is_refused_where_a_bucket_has_none,
            an_empty_batch_is_refused,
            writes_are_republished,
            a_bucket_on_disk_outlives_the_server,
            a_bucket_in_memory_does_not,
            // Ends.
            a_value_ends_and_leaves_a_marker,
            a_marker_ends_and_leaves_nothing,
            a_purge_ends_without_another_marker,
            what_has_no_end_stays,
            the_last_write_decides_the_end,
            an_old_entry_goes_without_a_marker,
            an_end_is_refused_where_a_bucket_has_none,
            a_key_can_be_made_again_after_its_marker_is_gone,
            // Watches.
            a_watch_reads_what_is_held_and_then_changes,
            a_watch_of_an_empty_bucket_holds_nothing,
            a_watch_shows_the_latest_of_each_key_and_markers,
            a_watch_shows_an_end,
            a_watch_is_complete_while_somebody_writes,
            a_watch_keeps_the_order_of_concurrent_writers,
            a_watch_of_a_missing_bucket_is_told,
            // Followers.
            a_follower_reads_a_snapshot_and_then_changes,
            a_follower_hands_over_a_large_snapshot_in_parts,
            a_follower_of_an_empty_bucket_completes_at_once,
            a_follower_misses_nothing_over_a_reconnect,
            a_follower_waits_for_its_bucket,
            a_follower_makes_its_bucket,
            a_follower_tells_a_bucket_that_was_made_anew,
            a_follower_that_is_dropped_while_it_waits_loses_nothing,
            a_follower_reads_again_on_demand,
            connections_are_counted,
            // Logs.
            sequences_grow,
            a_record_of_a_known_id_is_taken_once,
            a_log_is_read_from_its_beginning_and_then_live,
            a_log_is_read_from_a_sequence,
            a_log_is_read_from_a_time,
            a_log_is_read_from_now_on,
            a_log_is_read_by_subjects,
            a_log_tells_how_much_waits,
            a_log_keeps_what_is_published,
            a_full_log_drops_its_oldest,
            a_log_drops_what_is_old,
            a_batch_of_records_is_appended_in_order,
            a_batch_with_a_known_record_appends_nothing,
            a_missing_log_is_told,
            a_log_on_disk_outlives_the_server,
            a_log_in_memory_does_not,
            // Topics.
            a_subscriber_hears_what_it_asked_for,
            every_subscriber_hears_everything_in_order,
            a_subscription_outlives_a_reconnect,
            // The fleet.
            a_ban_is_put_read_and_lifted,
            a_ban_that_replaced_a_longer_one_stays_as_long,
            bans_are_put_together,
            what_nobody_trusts_is_no_ban,
            an_allowlist_is_followed,
            an_entry_of_the_allowlist_is_restored_only_where_nothing_counts,
            an_allowlist_that_was_made_anew_tells_what_it_lost,
            audit_records_are_written_once,
            the_latest_audit_records_come_first_of_all,
            audit_records_are_found_by_target_kind_actor_and_time,
            decisions_are_read_without_their_events,
            a_list_is_found_beside_its_bans,
            observed_bans_are_heard_from_now_on,
            a_sign_of_life_ends_by_itself,
            two_orchestrators_take_a_partition_once,
            edges_come_and_go,
            directives_are_written_only_if_they_are_news,
            a_set_of_signatures_takes_the_place_of_the_one_that_its_writer_has_seen,
            the_networks_of_a_feed_are_read_whole_and_as_its_record_names_them,
            telemetry_goes_on_where_it_was_read,
            telemetry_of_a_new_log_is_read_from_its_beginning,
            telemetry_comes_by_partition,
        }
    };
}
