use super::send::SendHow;
use super::state_option::StateOption;
use crate::audit::{Audit, Entry as Note};
use crate::identity::Home;
use crate::spool::{Depth, Entry, Maker, Released, Spool, Stage};
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{disk, exit, keeping, service, terminal};
use clap::Subcommand;
use jiff::Timestamp;
use netsonde_contract::agent_config::UploadWhen;
use netsonde_probes::clock::Clock;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(super) enum SpoolCommand {
    /// Lists the bundles that are kept on this machine: those that wait, and those that were delivered in the last seven days.
    #[command(after_help = "Example:\n  netsonde spool list")]
    List {
        #[command(flatten)]
        state: StateOption,
    },
    /// Sends a bundle that waits, with the ticket that it was made for; or has the agent send a schedule's bundle that was to stay here.
    #[command(
        after_help = "Examples:\n  netsonde spool retry 0123456789ab --ticket -\n  netsonde spool retry 0123456789ab             a schedule's, by the enrolled agent"
    )]
    Retry {
        /// The first digits of the bundle's id.
        bundle: String,
        #[command(flatten)]
        how: SendHow,
    },
    /// Removes a bundle from this machine.
    #[command(after_help = "Example:\n  netsonde spool drop 0123456789ab")]
    Drop {
        /// The first digits of the bundle's id.
        bundle: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        state: StateOption,
    },
    /// Copies bundles into a folder, to be carried to support by hand; they stay here, too.
    #[command(
        after_help = "Examples:\n  netsonde spool export 0123456789ab --to /media/usb\n  netsonde spool export --all --to /media/usb"
    )]
    Export {
        /// The first digits of the bundle's id.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        bundle: Option<String>,
        /// All bundles that wait.
        #[arg(long)]
        all: bool,
        /// The folder.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        state: StateOption,
    },
}

impl SpoolCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::List { state } => list(&state),
            Self::Retry { bundle, how } => retry(&bundle, how),
            Self::Drop { bundle, yes, state } => drop_one(&bundle, yes, &state),
            Self::Export { bundle, to, state, .. } => {
                if export(bundle.as_deref(), &to, &state)? == 0 {
                    terminal::say("netsonde: no bundle waits on this machine; nothing was copied");
                }
                Ok(exit::AS_EXPECTED)
            }
        }
    }
}

fn list(state: &StateOption) -> Result<u8, Stop> {
    let Some(state) = StateDirectory::existing(state.path()) else { return Ok(none()) };
    let (_, entries) = entries(&state)?;
    if entries.is_empty() {
        return Ok(none());
    }
    let now = Clock::start().wall();
    let lines: String = entries.iter().map(|(stage, entry)| line(*stage, entry, now)).collect();
    terminal::output(&netsonde_contract::harmless::clean_lines(&lines))?;
    Ok(exit::AS_EXPECTED)
}

/// Digits, size, when and by whom it was made, what it is for, how it stands, and when it is tried next.
fn line(stage: Stage, entry: &Entry, now: Timestamp) -> String {
    let kilobytes = entry.size_bytes.div_ceil(1000);
    let made = entry.made.map_or_else(String::new, |at| format!("made {at:.0} "));
    let case = entry.case.as_ref().map_or_else(String::new, |case| format!("  case {case}"));
    let ticket = entry.ticket.as_ref().map_or_else(String::new, |ticket| format!("  ticket {ticket}"));
    let head = format!("{}  {kilobytes:>6} kB  {made}by {}{case}{ticket}", entry.bundle.short(), entry.maker());
    format!("{head}  {}\n", standing(stage, entry, now))
}

fn standing(stage: Stage, entry: &Entry, now: Timestamp) -> String {
    let waits = match (stage, entry.delivered, entry.sending()) {
        (Stage::Sent, Some(at), _) => return format!("delivered {at:.0}"),
        (Stage::Sent, None, _) => return "delivered".to_owned(),
        (Stage::Ready, _, UploadWhen::Never) if entry.ticket.is_some() => "waits for a person to send it",
        (Stage::Ready, _, UploadWhen::Never) => "stays here",
        (Stage::Ready, _, UploadWhen::Now) => "waits to be sent",
        (Stage::Ready, _, UploadWhen::Later) => "waits to be sent outside quiet hours",
    };
    let tries = &entry.tries;
    if tries.is_none() {
        return waits.to_owned();
    }
    let next = tries.rest(now).map_or_else(|| "now".to_owned(), |at| format!("{at:.0}"));
    let reason = tries.reason.as_deref().unwrap_or("for an unknown reason");
    format!("{waits}; failed {} times, next try {next} ({reason})", tries.failed)
}

fn none() -> u8 {
    terminal::say("netsonde: no bundles are kept on this machine");
    exit::AS_EXPECTED
}

fn retry(bundle: &str, how: SendHow) -> Result<u8, Stop> {
    let state = existing(&how.state)?;
    let (spool, entries) = entries(&state)?;
    let (stage, entry) = find(&entries, bundle)?;
    if *stage == Stage::Sent {
        return Err(Stop::usage(format!("the bundle {} was delivered already", entry.bundle.short())));
    }
    intact(&spool, *stage, entry)?;
    match (how.ticket.is_none(), entry.maker()) {
        (true, Maker::Schedule(name)) => release(&state, entry, name, &how),
        _ => how.send_file(&spool.file(*stage, entry)),
    }
}

/// Has the agent send a schedule's bundle at once, whatever `upload` says of the schedule's others.
fn release(state: &StateDirectory, entry: &Entry, schedule: &str, how: &SendHow) -> Result<u8, Stop> {
    let Some(identity) = Home::of(state).identity()? else {
        return Err(Stop::usage(
            "this machine is not enrolled with a support organisation, and the bundle was made for no ticket",
        )
        .next("netsonde spool export BUNDLE --to DIR, and hand the file to support in the way you usually do"));
    };
    let bytes = entry.size_bytes.div_ceil(1000);
    terminal::say(&format!(
        "Bundle {} ({bytes} kB)\n  made by   the schedule {schedule}\n  goes to   {} at {}",
        entry.bundle.short(),
        identity.organisation,
        identity.backend
    ));
    how.agree()?;
    let now = Clock::start().wall();
    let note = Note::new(now, "bundle_released").decided(&format!("{} of schedule {schedule}, by a person's word", entry.bundle));
    let failed = |error: std::io::Error| Stop::disk(format!("the bundle cannot be put among those to be sent: {error}"), &error);
    let _lock = state.lock().map_err(failed)?;
    Audit::of(state).append(note).and_then(|()| state.spool().release(entry)).map_err(failed)?;
    Released::add(state, &entry.bundle).map_err(failed)?;
    terminal::say(if service::is_running(state) {
        "The agent sends it within a minute."
    } else {
        "It is sent once the agent runs."
    });
    Ok(exit::AS_EXPECTED)
}

fn drop_one(bundle: &str, yes: bool, state: &StateOption) -> Result<u8, Stop> {
    let state = existing(state)?;
    let (spool, entries) = entries(&state)?;
    let (stage, entry) = find(&entries, bundle)?;
    let undelivered = if *stage == Stage::Ready { ", which was not delivered," } else { "" };
    if !yes && !terminal::ask(&format!("Remove the bundle {}{undelivered} for good?", entry.bundle.short()), false) {
        return Err(Stop::refused("nothing was removed").next("agree on the command line with --yes"));
    }
    let failed = |error: std::io::Error| Stop::usage(format!("removing the bundle {} failed: {error}", entry.bundle.short()));
    let _lock = state.lock().map_err(failed)?;
    spool.remove(*stage, &entry.bundle).map_err(failed)?;
    terminal::say(&format!("Removed the bundle {}.", entry.bundle.short()));
    Ok(exit::AS_EXPECTED)
}

/// How many were copied.
fn export(bundle: Option<&str>, to: &Path, state: &StateOption) -> Result<usize, Stop> {
    let state = existing(state)?;
    let (spool, entries) = entries(&state)?;
    let chosen: Vec<&(Stage, Entry)> = match bundle {
        Some(bundle) => vec![find(&entries, bundle)?],
        None => entries.iter().filter(|(stage, _)| *stage == Stage::Ready).collect(),
    };
    if !to.is_dir() {
        return Err(Stop::usage(format!("there is no folder {}", to.display())).next("name one that is there with --to DIR"));
    }
    for (stage, entry) in &chosen {
        let target = to.join(&entry.file);
        let failed = |error: std::io::Error| {
            Stop::usage(format!("writing {} failed: {error}", target.display()))
                .next("name a folder that can be written with --to DIR")
        };
        let bytes = intact(&spool, *stage, entry)?;
        disk::replace_file(&target, &bytes).map_err(failed)?;
        terminal::output(&format!("{}\n", target.display()))?;
    }
    Ok(chosen.len())
}

/// The bytes, as they were written.
fn intact(spool: &Spool, stage: Stage, entry: &Entry) -> Result<Vec<u8>, Stop> {
    spool.read(stage, entry).map_err(|error| {
        Stop::usage(format!("the bundle {} cannot be used: {error}", entry.bundle.short()))
            .next("restore its file from a backup, or run the checks again; netsonde spool list shows what is left")
    })
}

fn existing(state: &StateOption) -> Result<StateDirectory, Stop> {
    StateDirectory::existing(state.path()).ok_or_else(|| {
        Stop::usage("no bundles are kept on this machine").next("look in another state directory with --state-dir DIR")
    })
}

/// What waits, then what was delivered, each the oldest first. Damaged entries are put aside, and said.
fn entries(state: &StateDirectory) -> Result<(Spool, Vec<(Stage, Entry)>), Stop> {
    let spool = state.spool();
    let mut scan = match state.lock_soon() {
        Ok(_lock) => spool.scan(Depth::Bytes),
        // Whoever only looks need not wait for who writes, or was suspended.
        Err(error) if error.kind() == ErrorKind::WouldBlock => spool.look(),
        Err(error) => {
            return Err(Stop::usage(format!("the state directory {} cannot be used: {error}", state.path().display()))
                .next("run it as the user that the bundles belong to"));
        }
    };
    scan.quarantined.iter().for_each(keeping::say_damaged);
    scan.ready.sort_by_key(|entry| entry.made);
    scan.sent.sort_by_key(|entry| entry.delivered);
    let ready = scan.ready.into_iter().map(|entry| (Stage::Ready, entry));
    Ok((spool, ready.chain(scan.sent.into_iter().map(|entry| (Stage::Sent, entry))).collect()))
}

/// The one bundle whose id begins so.
fn find<'a>(entries: &'a [(Stage, Entry)], begin: &str) -> Result<&'a (Stage, Entry), Stop> {
    let mut fitting = entries.iter().filter(|(_, entry)| !begin.is_empty() && entry.bundle.as_str().starts_with(begin));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Stop::usage(format!("no bundle's id begins with `{begin}`")).next("netsonde spool list shows all")),
        (Some(_), Some(_)) => Err(Stop::usage(format!("several bundles' ids begin with `{begin}`"))
            .next("give more digits; netsonde spool list shows all")),
    }
}

/// As `netsonde spool retry BUNDLE --yes` does.
#[cfg(test)]
pub(crate) fn release_bundle(state: &Path, bundle: &str) -> Result<u8, Stop> {
    use clap::Parser;
    #[derive(Parser)]
    struct Asked {
        #[command(subcommand)]
        what: SpoolCommand,
    }
    let state = state.to_string_lossy();
    Asked::parse_from(["spool", "retry", bundle, "--yes", "--state-dir", &state]).what.execute()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Chance, Tries};
    use netsonde_contract::id::BundleId;

    #[test]
    fn a_beginning_that_fits_several_bundles_names_none() {
        let entry =
            |digits: &str| (Stage::Ready, Entry::of(&BundleId::new(digits.to_owned() + &"0".repeat(62)), "b".into(), b""));
        let entries = [entry("ab"), entry("ac")];
        assert_eq!(find(&entries, "ac").unwrap().1, entries[1].1);
        for (begin, words) in [("a", "several"), ("b", "no bundle"), ("", "no bundle")] {
            assert!(find(&entries, begin).unwrap_err().message.contains(words), "{begin}");
        }
    }

    #[test]
    fn a_bundle_that_no_agent_can_send_is_not_released() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let entry = Entry { schedule: Some("shop".into()), ..Entry::of(&BundleId::new("a".repeat(64)), "b".into(), b"bytes") };
        state.spool().put(&entry, b"bytes").unwrap();
        let stop = release_bundle(folder.path(), "aaaa").unwrap_err();
        assert!(stop.message.contains("not enrolled") && stop.next.unwrap().contains("export"), "{}", stop.message);
        assert_eq!(entries(&state).unwrap().1[0].1.sending(), UploadWhen::Never);
    }

    #[test]
    fn a_dropped_bundle_is_gone_and_an_exported_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let entry = Entry::of(&BundleId::new("a".repeat(64)), "b.tar.gz".into(), b"bytes");
        state.spool().keep(&entry, b"bytes", Timestamp::UNIX_EPOCH).unwrap();
        let target = tempfile::tempdir().unwrap();
        let (spool, all) = entries(&state).unwrap();
        let (stage, found) = find(&all, "aaaa").unwrap();
        disk::replace_file(&target.path().join(&found.file), &intact(&spool, *stage, found).unwrap()).unwrap();
        assert_eq!(std::fs::read(target.path().join("b.tar.gz")).unwrap(), b"bytes");
        assert_eq!(entries(&state).unwrap().1.len(), 1);
        spool.remove(*stage, &found.bundle).unwrap();
        assert_eq!(entries(&state).unwrap().1.len(), 0);
    }

    #[test]
    fn an_export_says_where_there_is_no_folder_and_counts_what_it_copied() {
        use clap::Parser;
        #[derive(Parser)]
        struct Asked {
            #[command(flatten)]
            state: StateOption,
        }
        let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let asked = Asked::parse_from(["export", "--state-dir", &folder.path().to_string_lossy()]);
        assert_eq!(export(None, target.path(), &asked.state).unwrap(), 0);
        let stop = export(None, Path::new("/nonexist"), &asked.state).unwrap_err();
        assert!(stop.message.contains("there is no folder /nonexist") && stop.next.is_some(), "{stop:?}");
        let entry = Entry::of(&BundleId::new("a".repeat(64)), "b.tar.gz".into(), b"bytes");
        state.spool().keep(&entry, b"bytes", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(export(None, target.path(), &asked.state).unwrap(), 1);
        assert!(target.path().join("b.tar.gz").exists());
    }

    #[test]
    fn the_list_tells_who_made_a_bundle_how_it_stands_and_when_it_is_tried_next() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let person = Entry { made: Some(at(0)), ..Entry::of(&BundleId::new("a".repeat(64)), "b.tar.gz".into(), b"bytes") };
        assert!(line(Stage::Ready, &person, at(1)).ends_with("made 2027-01-15T08:00:00Z by a person  stays here\n"));
        let tries = Tries::default().after_failure(at(0), None, "no answer", Chance(1.0));
        let scheduled = Entry { schedule: Some("shop".into()), upload: UploadWhen::Later, tries, ..person.clone() };
        let line = line(Stage::Ready, &scheduled, at(1));
        assert!(line.contains("by schedule shop  waits to be sent outside quiet hours; failed 1 times"), "{line}");
        assert!(line.ends_with("next try 2027-01-15T08:00:30Z (no answer)\n"), "{line}");
        let delivered = Entry { delivered: Some(at(5)), ..person };
        assert!(super::line(Stage::Sent, &delivered, at(9)).ends_with("delivered 2027-01-15T08:00:05Z\n"));
    }

    #[test]
    fn bundles_are_listed_while_another_process_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(folder.path())).unwrap();
        let entry = Entry::of(&BundleId::new("a".repeat(64)), "a.tar.gz".to_owned(), b"bytes");
        state.spool().put(&entry, b"bytes").unwrap();
        let _lock = state.lock().unwrap();
        let (_, listed) = entries(&state).unwrap();
        assert!(matches!(listed.as_slice(), [(Stage::Ready, one)] if one.bundle == entry.bundle), "{listed:?}");
    }
}
