use super::*;
use std::fs;

/// So that a log is long after some entries.
const FEW_BYTES: u64 = 2_000;

fn log_of(most_bytes: u64) -> (tempfile::TempDir, Audit) {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::on(Disk::system(), folder.path(), most_bytes);
    (folder, audit)
}

fn log() -> (tempfile::TempDir, Audit) {
    log_of(MAX_BYTES)
}

fn entry(what: &str) -> Entry {
    Entry::new(Timestamp::UNIX_EPOCH, what)
}

/// Has so many logs be put aside.
fn put_aside(audit: &Audit, times: u32) {
    let mut put = 0;
    while put < times {
        let before = fs::metadata(audit.folder.join(FILE)).map_or(0, |file| file.len());
        audit.append(entry("order_refused").decided("words")).unwrap();
        put += u32::from(fs::metadata(audit.folder.join(FILE)).unwrap().len() < before);
    }
}

fn fault(audit: &Audit) -> String {
    audit.verify().unwrap_err().message
}

/// The file without its first lines.
fn behead(path: &Path, lines: usize) {
    let text = fs::read_to_string(path).unwrap();
    let rest: String = text.lines().skip(lines).map(|line| format!("{line}\n")).collect();
    fs::write(path, rest).unwrap();
}

#[test]
fn a_changed_or_missing_line_is_found() {
    let (folder, audit) = log();
    assert_eq!(audit.head().unwrap(), None);
    for what in ["enrolled", "order_refused", "order_accepted"] {
        audit.append(entry(what).decided("words")).unwrap();
    }
    let checked = audit.verify().unwrap();
    assert_eq!((checked.entries, checked.dropped, &checked.head), (3, 0, &audit.head().unwrap()));
    let path = folder.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    for tampered in [
        text.replace("order_refused", "order_accepted"),
        text.lines().enumerate().filter(|(place, _)| *place != 1).map(|(_, line)| format!("{line}\n")).collect(),
    ] {
        fs::write(&path, tampered).unwrap();
        assert!(fault(&audit).contains("does not follow"));
    }
}

#[test]
fn a_beginning_that_was_taken_out_is_found() {
    let (folder, audit) = log();
    for _ in 0..50 {
        audit.append(entry("order_received")).unwrap();
    }
    behead(&folder.path().join(FILE), 40);
    assert!(fault(&audit).contains("beginning of the audit log is missing"));
    audit.append(entry("paused")).unwrap();
    assert!(fault(&audit).contains("beginning of the audit log is missing"), "also when it goes on");
}

#[test]
fn a_line_that_a_crash_cut_off_does_not_break_the_chain() {
    let (folder, audit) = log();
    audit.append(entry("enrolled")).unwrap();
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], b"{\"at\":\"19"].concat()).unwrap();
    audit.append(entry("paused")).unwrap();
    assert_eq!(audit.verify().unwrap().entries, 2);
}

#[test]
fn a_long_log_is_put_aside_and_the_next_says_how_much_went_before_it() {
    let (folder, audit) = log_of(FEW_BYTES);
    put_aside(&audit, 1);
    let aside = fs::read_to_string(folder.path().join("audit.1.jsonl")).unwrap();
    let now = fs::read_to_string(folder.path().join(FILE)).unwrap();
    let first: Entry = serde_json::from_str(now.lines().next().unwrap()).unwrap();
    assert_eq!((first.what.as_str(), first.before), (CONTINUES, Some(aside.lines().count() as u64)));
    assert_eq!(first.previous, digest(aside.lines().last().unwrap().as_bytes()));
    let checked = audit.verify().unwrap();
    assert_eq!((checked.dropped, checked.head), (0, audit.head().unwrap()));
    assert_eq!(checked.entries, (aside.lines().count() + now.lines().count()) as u64);
}

#[test]
fn what_was_dropped_with_the_oldest_log_is_counted() {
    let (folder, audit) = log_of(FEW_BYTES);
    put_aside(&audit, MAX_ASIDE);
    let whole = audit.verify().unwrap();
    assert_eq!(whole.dropped, 0);
    let oldest = fs::read_to_string(folder.path().join("audit.4.jsonl")).unwrap().lines().count() as u64;
    put_aside(&audit, 1);
    let checked = audit.verify().unwrap();
    assert_eq!(checked.dropped, oldest);
    put_aside(&audit, 3);
    let later = audit.verify().unwrap();
    assert!(later.dropped > checked.dropped && later.entries < checked.entries + 20, "{later:?}");
}

#[test]
fn logs_that_were_taken_away_are_no_rotation() {
    let (folder, audit) = log_of(FEW_BYTES);
    put_aside(&audit, MAX_ASIDE + 1);
    assert!(audit.verify().unwrap().dropped > 0);
    let oldest = folder.path().join("audit.4.jsonl");
    let text = fs::read_to_string(&oldest).unwrap();
    behead(&oldest, 1);
    assert!(fault(&audit).contains("beginning of the audit log is missing"), "the line that says what went before");
    fs::write(&oldest, "").unwrap();
    assert!(fault(&audit).contains("no log was old enough"));
    fs::remove_file(&oldest).unwrap();
    assert!(fault(&audit).contains("no log was old enough"));
    fs::write(&oldest, text.replacen("\"before\":", "\"before\":1", 1)).unwrap();
    assert!(fault(&audit).contains("does not follow"), "{}", fault(&audit));
}

#[test]
fn a_crash_between_two_logs_loses_nothing_of_the_chain() {
    let (folder, audit) = log_of(FEW_BYTES);
    put_aside(&audit, 1);
    let head = audit.head().unwrap();
    audit.put_aside().unwrap();
    assert!(!folder.path().join(FILE).exists());
    assert_eq!(audit.head().unwrap(), head);
    audit.append(entry("paused")).unwrap();
    audit.verify().unwrap();
}

#[test]
fn a_crash_while_logs_move_up_drops_none_that_there_was_room_for() {
    let (folder, audit) = log_of(FEW_BYTES);
    put_aside(&audit, MAX_ASIDE - 1);
    // The process died after two of the moves.
    let aside = |number: u32| folder.path().join(state_names::audit_aside(number));
    fs::rename(aside(3), aside(4)).unwrap();
    fs::rename(aside(2), aside(3)).unwrap();
    put_aside(&audit, 1);
    assert_eq!(audit.verify().unwrap().dropped, 0);
}

/// What a backend can send at will must not push out what went before.
#[test]
fn a_flood_of_refusals_leaves_the_log_as_it_was() {
    let (folder, audit) = log_of(16 << 10);
    audit.append(entry("enrolled")).unwrap();
    let mut received = 0;
    for number in 0..20_000_u64 {
        let at = Duration::from_millis(number * 50);
        audit.note(entry("order_received"), at).unwrap();
        audit.note(entry("order_refused").decided(&format!("malformed: {number} {}", "x".repeat(400))), at).unwrap();
        received += 1;
    }
    audit.write_all_counts(Timestamp::UNIX_EPOCH).unwrap();
    let log = audit.export().unwrap();
    let entries: Vec<Entry> = log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(entries[0].what, "enrolled");
    assert!(!folder.path().join("audit.2.jsonl").exists() && entries.len() < 100, "{} entries", entries.len());
    let refused = entries.iter().filter(|entry| entry.what == "order_refused");
    assert_eq!(refused.map(|entry| entry.count.unwrap_or(1)).sum::<u64>(), received, "each stands in the log or is counted");
    audit.verify().unwrap();
}

#[test]
fn a_process_that_was_suspended_with_the_lock_does_not_hold_a_look_at_the_log_up() {
    let (_folder, audit) = log();
    let _held = audit.lock().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(audit.verify()));
    let stop = told.recv_timeout(LOOP_PATIENCE * 5).expect("a look at the log waits for nobody").unwrap_err();
    assert_eq!(stop.exit, crate::exit::NOT_NOW);
    assert!(stop.message.contains("suspended") && stop.next.is_some(), "{stop:?}");
}
