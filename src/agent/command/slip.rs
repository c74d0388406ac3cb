//! Slips on the command line for which there is a better word than the parser's own.

use crate::stop::Stop;
use clap::error::ErrorKind;
use netsonde_contract::kind::Kind;
use netsonde_contract::nearest::nearest;
use std::ffi::OsString;

const CAPTURE: &str = "--capture";

/// What was meant, where it can be told; none leaves the word to the parser.
pub(super) fn of(error: &clap::Error, arguments: &[OsString]) -> Option<Stop> {
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).collect();
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_kind(&words),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            capture_apart(&words, &error.to_string())
        }
        _ => None,
    }
}

/// `probe dnss`: the parser shows the usage of the whole program, in which no kind stands.
fn unknown_kind(words: &[&str]) -> Option<Stop> {
    let at = words.iter().position(|word| *word == "probe")?;
    let given = words.get(at + 1).filter(|word| Kind::from_name(word).is_none())?;
    let names = || Kind::ALL.iter().map(|kind| kind.name());
    let stop = Stop::usage(format!("there is no probe kind `{given}`"));
    Some(match nearest(given, names()) {
        Some(meant) => stop.next(format!("did you mean `netsonde probe {meant}`? netsonde probe --help lists all kinds")),
        None => stop.next(format!("the kinds are {}", names().collect::<Vec<_>>().join(", "))),
    })
}

/// `--capture FILE`: the name is taken for something else, as the option may stand without one.
fn capture_apart(words: &[&str], said: &str) -> Option<Stop> {
    let at = words.iter().position(|word| *word == CAPTURE)?;
    let name = words.get(at + 1).filter(|name| !name.starts_with('-') && said.contains(**name))?;
    Some(Stop::usage(format!("{CAPTURE} takes its file behind an equals sign")).next(format!("write {CAPTURE}={name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cli;
    use clap::Parser;

    fn next(arguments: &[&str]) -> Option<String> {
        let arguments: Vec<OsString> = ["netsonde"].iter().chain(arguments).map(OsString::from).collect();
        let error = Cli::try_parse_from(&arguments).err().unwrap();
        of(&error, &arguments).and_then(|stop| stop.next)
    }

    #[test]
    fn a_kind_that_is_misspelt_is_told_by_its_right_name() {
        assert!(next(&["probe", "dnss", "shop.example"]).unwrap().contains("did you mean `netsonde probe dns`?"));
        assert!(next(&["probe", "kubernetes"]).unwrap().contains("the kinds are dns"));
    }

    #[test]
    fn a_capture_whose_file_stands_apart_is_told_how_to_write_it() {
        for kind in [&["tcp", "127.0.0.1:1"][..], &["http", "127.0.0.1:1"]] {
            let arguments = [&["probe"], kind, &["--capture", "x.pcapng"]].concat();
            assert_eq!(next(&arguments).as_deref(), Some("write --capture=x.pcapng"), "{arguments:?}");
        }
        assert_eq!(next(&["probe", "tcp", "127.0.0.1:1", "--capture", "--nonsense"]), None);
    }
}
