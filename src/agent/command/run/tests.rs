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
fn whoever_can_be_asked_is_asked() {
    assert_eq!(agreement(false, false, true), None);
    assert_eq!(agreement(true, false, true), Some(Consent::Flag));
    assert_eq!(agreement(false, true, true), Some(Consent::Ticket));
    assert_eq!(agreement(false, false, false), Some(Consent::Ticket));
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
    assert_eq!(parse(&["web", "--upload", "--target", "x"]).unwrap().execute().unwrap_err().exit, exit::USAGE);
    assert!(parse(&["web", "--out", "/nowhere/b.tar.gz"]).unwrap().check_out().is_err());
}

#[test]
fn a_shorter_budget_shortens_every_check() {
    let plan = parse(&["web", "--target", "x.example", "--budget", "3s"]).unwrap().plan(None).unwrap();
    assert!(plan.checks.iter().all(|check| check.deadline.as_secs() <= 3));
}
