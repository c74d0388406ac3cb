use super::*;
use jiff::SignedDuration;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_contract::id::OrderId;
use proptest::prelude::*;
use std::fs;

fn spool() -> (tempfile::TempDir, Spool) {
    bounded(Bounds::default())
}

fn bounded(bounds: Bounds) -> (tempfile::TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool { bounds, ..Spool::at(folder.path().join("spool"), Disk::system()) };
    (folder, spool)
}

fn day(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + day * 86_400).unwrap()
}

/// Made that day, by a person.
fn entry(number: usize, made: i64) -> Entry {
    Entry { made: Some(day(made)), ..Entry::of(&BundleId::new(format!("{number:064x}")), "b.tar.gz".into(), b"bytes") }
}

fn scheduled(number: usize, made: i64) -> Entry {
    Entry { schedule: Some("shop".into()), upload: UploadWhen::Now, ..entry(number, made) }
}

fn keep(spool: &Spool, entry: &Entry, now: i64) -> Vec<BundleId> {
    spool.keep(entry, b"bytes", day(now)).unwrap().lost.into_iter().map(|entry| entry.bundle).collect()
}

fn ready(spool: &Spool) -> Vec<BundleId> {
    spool.scan(Depth::Bytes).ready.into_iter().map(|entry| entry.bundle).collect()
}

fn queue_of(entries: &[Entry]) -> Queue {
    let mut queue = Queue::default();
    entries.iter().for_each(|entry| queue.put(entry));
    queue
}

#[test]
fn a_full_spool_loses_the_oldest_that_a_schedule_made_and_refuses_where_only_people_did() {
    let (_folder, spool) = bounded(Bounds { count: 4, ..Bounds::default() });
    let order = Entry { order: Some(OrderId::from_bytes([1; 16])), ..entry(1, 0) };
    let unsent = Entry { upload: UploadWhen::Never, ..scheduled(4, 9) };
    for entry in [&entry(0, 0), &order, &scheduled(3, 2), &unsent] {
        assert_eq!(keep(&spool, entry, 10), []);
    }
    assert_eq!(keep(&spool, &entry(5, 10), 10), [unsent.bundle], "what nobody sends goes before what waits");
    assert_eq!(keep(&spool, &entry(6, 10), 10), [scheduled(3, 2).bundle]);
    let full = spool.keep(&scheduled(7, 10), b"bytes", day(10)).unwrap_err();
    assert!(matches!(full, NotKept::Full { count: 4, .. }) && full.next_step().contains("spool drop"), "{full}");
    let kept = ready(&spool);
    assert!([0, 1, 5, 6].iter().all(|number| kept.contains(&entry(*number, 0).bundle)) && kept.len() == 4);
}

#[test]
fn bundles_too_large_together_make_room() {
    let (_folder, spool) = bounded(Bounds { bytes: 12, ..Bounds::default() });
    keep(&spool, &scheduled(1, 1), 1);
    keep(&spool, &scheduled(2, 2), 2);
    assert_eq!(keep(&spool, &scheduled(3, 3), 3), [scheduled(1, 1).bundle]);
    assert!(matches!(spool.keep(&scheduled(4, 4), &[0; 13], day(4)), Err(NotKept::Full { count: 0, bytes: 0 })));
}

#[test]
fn delivered_bundles_stay_seven_days_and_take_a_bounded_room() {
    let (_folder, spool) = bounded(Bounds { delivered_bytes: 12, ..Bounds::default() });
    for (number, delivered) in [(1, 1), (2, 5), (3, 6), (4, 7)] {
        keep(&spool, &entry(number, 0), 0);
        let entry = spool.find_ready(&entry(number, 0).bundle).unwrap();
        spool.delivered(&entry, b"{}", day(delivered)).unwrap();
    }
    assert_eq!(spool.prune(day(7)), [], "what was delivered is not lost");
    let delivered = |spool: &Spool| spool.scan(Depth::Bytes).sent.iter().map(|entry| entry.delivered).collect::<Vec<_>>();
    assert_eq!(delivered(&spool), [Some(day(6)), Some(day(7))]);
    spool.prune(day(13) + SignedDuration::from_hours(1));
    assert_eq!(delivered(&spool), [Some(day(7))]);
    assert_eq!(spool.receipt(&entry(4, 0).bundle).unwrap(), b"{}");
}

#[test]
fn what_a_schedule_made_a_month_ago_goes_and_what_a_person_made_stays() {
    let (_folder, spool) = spool();
    keep(&spool, &entry(1, 0), 0);
    keep(&spool, &scheduled(2, 0), 0);
    keep(&spool, &scheduled(3, 20), 20);
    assert_eq!(spool.prune(day(31)), [scheduled(2, 0)]);
    assert_eq!(ready(&spool), [entry(1, 0).bundle, scheduled(3, 20).bundle]);
}

#[test]
fn a_bundle_goes_from_ready_to_sent_with_its_receipt() {
    let (_folder, spool) = spool();
    let kept = spool.keep(&entry(1, 0), b"bytes", day(0)).unwrap();
    assert_eq!(fs::read(kept.file).unwrap(), b"bytes");
    assert_eq!(spool.scan(Depth::Bytes), Scan { ready: vec![entry(1, 0)], ..Scan::default() });
    spool.delivered(&entry(1, 0), b"{}", day(3)).unwrap();
    let delivered = Entry { delivered: Some(day(3)), ..entry(1, 0) };
    assert_eq!(spool.scan(Depth::Bytes), Scan { sent: vec![delivered.clone()], ..Scan::default() });
    assert_eq!(spool.read(Stage::Sent, &delivered).unwrap(), b"bytes");
}

#[test]
fn when_a_bundle_is_tried_again_survives_a_restart() {
    let (_folder, spool) = spool();
    keep(&spool, &scheduled(1, 0), 0);
    let tries = Tries::default().after_failure(day(0), None, "no answer", Chance(1.0));
    spool.tried(&scheduled(1, 0), tries.clone()).unwrap();
    let queue = queue_of(&spool.scan(Depth::Entries).ready);
    assert_eq!((queue.len(), queue.next(day(0), Link::default())), (1, None));
    assert_eq!(queue.wake(day(0), Link::default()), tries.next);
    assert_eq!(queue.next(day(1), Link::default()), Some(&scheduled(1, 0).bundle));
}

#[test]
fn one_that_failed_lets_the_others_go_first_and_comes_back_in_its_place() {
    let mut queue = queue_of(&[scheduled(1, 0), scheduled(2, 1), scheduled(3, 2)]);
    let tries = Tries::default().after_failure(day(3), None, "no answer", Chance(1.0));
    queue.put(&Entry { tries: tries.clone(), ..scheduled(1, 0) });
    queue.put(&Entry { tries: tries.clone(), ..scheduled(2, 1) });
    assert_eq!((queue.len(), queue.next(day(3), Link::default())), (3, Some(&scheduled(3, 2).bundle)));
    assert_eq!(queue.wake(day(3), Link::default()), Some(day(3)));
    queue.remove(&scheduled(3, 2).bundle);
    assert_eq!((queue.next(day(3), Link::default()), queue.wake(day(3), Link::default())), (None, tries.next));
    assert_eq!(queue.next(day(4), Link::default()), Some(&scheduled(1, 0).bundle));
    // What is wanted at once may become what can wait, and then goes last.
    queue.put(&Entry { upload: UploadWhen::Later, ..scheduled(1, 0) });
    assert_eq!(queue.next(day(4), Link::default()), Some(&scheduled(2, 1).bundle));
    queue.remove(&scheduled(2, 1).bundle);
    queue.remove(&scheduled(1, 0).bundle);
    assert_eq!((queue.len(), queue.next(day(9), Link::default())), (0, None));
}

#[test]
fn what_can_wait_waits_for_a_network_that_costs_nothing_and_for_the_end_of_quiet_hours() {
    let later = Entry { upload: UploadWhen::Later, ..scheduled(1, 0) };
    let never = Entry { upload: UploadWhen::Never, ..scheduled(2, 0) };
    let mut queue = queue_of(&[later.clone(), never, entry(3, 0)]);
    for link in [Link { metered: true, quiet: false }, Link { metered: false, quiet: true }] {
        assert_eq!((queue.next(day(1), link), queue.wake(day(1), link)), (None, None), "{link:?}");
    }
    assert_eq!(queue.next(day(1), Link::default()), Some(&later.bundle));
    let now = scheduled(4, 5);
    queue.put(&now);
    assert_eq!(queue.next(day(9), Link::default()), Some(&now.bundle), "what is wanted at once comes first");
    queue.remove(&now.bundle);
    queue.remove(&later.bundle);
    assert_eq!((queue.len(), queue.next(day(9), Link::default())), (0, None));
}

#[test]
fn what_a_crash_left_half_written_is_swept_and_never_ready() {
    let (_folder, spool) = spool();
    let half = spool.root.join("tmp/half");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("b.tar.gz"), "by").unwrap();
    assert_eq!(spool.scan(Depth::Bytes), Scan::default());
    assert!(!half.exists());
}

#[test]
fn a_damaged_entry_is_put_aside_and_the_others_stay() {
    let (_folder, spool) = spool();
    for number in 1..=4 {
        keep(&spool, &entry(number, 0), 0);
    }
    let folder = |number| spool.folder(Stage::Ready, &entry(number, 0).bundle);
    fs::write(folder(1).join("b.tar.gz"), "chang").unwrap();
    fs::write(folder(3).join(ENTRY_FILE), "{").unwrap();
    fs::write(folder(4).join("b.tar.gz"), "shorter").unwrap();
    assert_eq!(spool.scan(Depth::Entries).quarantined.len(), 2, "other bytes of the same length show only when they are read");
    let scan = spool.scan(Depth::Bytes);
    assert_eq!(scan.ready, [entry(2, 0)]);
    assert_eq!(scan.quarantined.len(), 1);
    assert!(scan.quarantined.iter().all(|one| one.aside.exists() && one.aside.starts_with(spool.root.join("quarantine"))));
    assert_eq!(spool.scan(Depth::Bytes).quarantined, [], "a second scan has nothing left to put aside");
}

#[test]
fn damage_that_shows_only_while_sending_is_told_and_put_aside() {
    let (_folder, spool) = spool();
    let kept = spool.keep(&entry(1, 0), b"bytes", day(0)).unwrap();
    fs::write(kept.file, "chang").unwrap();
    assert!(matches!(spool.read(Stage::Ready, &entry(1, 0)), Err(Unreadable::Damaged(one)) if one.aside.exists()));
    assert_eq!(ready(&spool), []);
}

#[test]
fn damaged_entries_do_not_pile_up() {
    let (_folder, spool) = spool();
    for number in 0..scan::MAX_QUARANTINED + 3 {
        let kept = spool.keep(&entry(number, 0), b"bytes", day(0)).unwrap();
        fs::write(kept.file, "chang").unwrap();
    }
    spool.scan(Depth::Bytes);
    keep(&spool, &entry(99, 0), 0);
    assert_eq!(spool.folders("quarantine").len(), scan::MAX_QUARANTINED);
}

#[test]
fn an_entry_cannot_name_a_file_outside_its_folder() {
    let (_folder, spool) = spool();
    let outside = Entry { file: "../../../x".into(), ..entry(1, 0) };
    let folder = spool.folder(Stage::Ready, &outside.bundle);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(ENTRY_FILE), serde_json::to_vec(&outside).unwrap()).unwrap();
    assert_eq!(spool.scan(Depth::Entries).quarantined.len(), 1);
}

#[test]
fn an_entry_of_an_older_version_is_read() {
    let (_folder, spool) = spool();
    keep(&spool, &entry(1, 0), 0);
    let bundle = entry(1, 0).bundle;
    let old =
        format!(r#"{{"bundle":"{bundle}","file":"b.tar.gz","sha256":"{}","order":"{}"}}"#, entry(1, 0).sha256, "0".repeat(32));
    fs::write(spool.folder(Stage::Ready, &bundle).join(ENTRY_FILE), old).unwrap();
    let read = spool.scan(Depth::Bytes).ready.remove(0);
    assert_eq!((read.size_bytes, read.sending(), read.failure), (5, UploadWhen::Now, None));
}

#[test]
fn a_ticket_run_leaves_nothing_behind() {
    let (_folder, spool) = spool();
    keep(&spool, &entry(1, 0), 0);
    spool.forget(&entry(1, 0).bundle).unwrap();
    spool.remove_if_empty();
    assert!(!spool.root.exists());
}

proptest! {
    /// Whatever comes and however large: the bounds hold, and nothing goes that a person or an order made.
    #[test]
    fn room_is_made_within_the_bounds_and_only_by_what_may_go(
        made in prop::collection::vec((0..4_u8, 0..40_i64, 1..50_u64), 0..60),
        size in 1..80_u64,
    ) {
        let bounds = Bounds { count: 20, bytes: 300, delivered_bytes: 80, ..Bounds::default() };
        let stored: Vec<Stored> = made.iter().enumerate().map(|(number, &(kind, at, size_bytes))| match kind {
            0 => Stored { stage: Stage::Ready, entry: Entry { size_bytes, ..entry(number, at) } },
            1 => Stored { stage: Stage::Sent, entry: Entry { size_bytes, delivered: Some(day(at)), ..entry(number, at) } },
            2 => Stored { stage: Stage::Ready, entry: Entry { size_bytes, order: Some(OrderId::from_bytes([1; 16])), ..entry(number, at) } },
            _ => Stored { stage: Stage::Ready, entry: Entry { size_bytes, ..scheduled(number, at) } },
        }).collect();
        let must_stay = |stored: &Stored| stored.stage == Stage::Ready && stored.entry.schedule.is_none();
        let staying: Vec<u64> = stored.iter().filter(|one| must_stay(one)).map(|one| one.entry.size_bytes).collect();
        let mut room = Room::of(stored, bounds);
        let mut gone = room.take_due(day(40));
        while !room.takes(size) {
            match room.remove_first() {
                Some(one) => gone.push(one),
                None => break,
            }
        }
        prop_assert!(gone.iter().all(|one| !must_stay(one)));
        let fits = staying.len() < bounds.count && staying.iter().sum::<u64>() + size <= bounds.bytes;
        prop_assert_eq!(room.takes(size), fits);
        prop_assert!(fits || room.count() == staying.len());
    }
}
