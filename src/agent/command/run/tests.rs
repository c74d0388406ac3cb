use super::*;
use clap::{FromArgMatches, Parser};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    run: RunCommand,
}

fn parse(arguments: &[&str]) -> Result<RunCommand, clap::Error> {
    let matches = <Line as clap::CommandFactory>::command().try_get_matches_from([&["run"], arguments].concat())?;
    RunCommand::from_arg_matches(&matches)
}

#[test]
fn whoever_can_be_asked_is_asked_and_without_anyone_nothing_is_sent() {
    use Sending::{Agreed, No, Unagreed};
    assert_eq!(agreement(true, false, false, true), None);
    assert_eq!(agreement(true, true, false, true), Some(Agreed(Consent::Flag)));
    assert_eq!(agreement(true, false, true, false), Some(Agreed(Consent::Ticket)));
    assert_eq!(agreement(true, false, false, false), Some(Unagreed));
    assert_eq!(agreement(false, false, false, false), Some(No));
    assert_eq!(agreement(false, false, false, true), None);
}

#[test]
fn without_a_set_the_sets_are_named() {
    let stop = parse(&[]).unwrap().plan(None).unwrap_err();
    let next = stop.next.unwrap();
    assert!(stop.exit == exit::USAGE && ["web ", "port ", "--ticket"].iter().all(|named| next.contains(named)), "{next}");
}

#[test]
fn a_negative_budget_is_told_as_one() {
    let error = parse(&["web", "--budget", "-5"]).err().unwrap().to_string();
    assert!(error.contains("longer than nothing"), "{error}");
}

#[test]
fn without_a_place_to_write_a_run_goes_on_and_a_damaged_key_stops_it_before() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("below");
    let place = parse(&["web", "--state-dir", below.to_str().unwrap()]).unwrap().open_state(true).unwrap();
    assert!(place.state.is_none() && place.key.is_none());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("agent.key"), "damaged").unwrap();
    let stop = parse(&["web", "--state-dir", folder.path().to_str().unwrap()]).unwrap().open_state(true).err().unwrap();
    assert!(stop.message.contains("agent.key"), "{stop:?}");
}

#[test]
fn a_ticket_fixes_what_is_measured() {
    for own in [["--target", "x"], ["--param", "a=1"], ["--case", "4711"]] {
        assert!(parse(&["--ticket", "nst1_x", own[0], own[1]]).is_err(), "{own:?}");
    }
    assert!(parse(&["web", "--ticket", "nst1_x"]).is_err());
    assert!(parse(&["web", "--upload", "--no-upload"]).is_err());
}

#[test]
fn what_is_mistyped_is_refused_before_anything_is_sent() {
    let wrong =
        [["--expect-status", "2x"], ["--resolver", "dns.example"], ["--case", "a b"], ["--param", "x"], ["--redact", "some"]];
    for arguments in wrong {
        assert!(parse(&["web", arguments[0], arguments[1]]).is_err(), "{arguments:?}");
    }
    let stop = parse(&["web", "--target", "ftp://x"]).unwrap().plan(None).unwrap_err();
    assert!(stop.message.contains("scheme") && stop.next.unwrap().contains("sets show web"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml").display().to_string();
    std::fs::write(&file, netsonde_contract::set::find_built_in("web").unwrap().text).unwrap();
    let next = parse(&[&file, "--target", "ftp://x"]).unwrap().plan(None).unwrap_err().next.unwrap();
    assert!(next.starts_with(&file) && !next.contains("sets show"), "a file is no built-in set: {next}");
    assert_eq!(parse(&["web", "--upload", "--target", "x"]).unwrap().execute().unwrap_err().exit, exit::USAGE);
    assert!(parse(&["web", "--out", "/nowhere/b.tar.gz"]).unwrap().check_out().is_err());
}

#[test]
fn a_shorter_budget_shortens_every_check() {
    let plan = parse(&["web", "--target", "x.example", "--budget", "3s"]).unwrap().plan(None).unwrap();
    assert!(plan.checks.iter().all(|check| check.deadline.as_secs() <= 3));
}

#[test]
fn through_a_proxy_the_target_is_not_connected_to() {
    let ids = |proxy: &str| {
        let plan = parse(&["web", "--target", "https://x.example/", "--proxy", proxy]).unwrap().plan(None).unwrap();
        plan.checks.iter().map(|check| check.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids("http://anna:secret@proxy.example:3128"), ["machine", "proxy", "http"]);
    assert!(ids("none").contains(&"connect".to_owned()));
}
