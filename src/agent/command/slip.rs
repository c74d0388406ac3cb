//! Slips on the command line for which there is a better word than the parser's own.

use crate::stop::Stop;
use clap::error::ErrorKind;
use netsonde_contract::harmless::clean;
use netsonde_contract::kind::Kind;
use netsonde_contract::nearest::nearest;
use std::ffi::OsString;

const CAPTURE: &str = "--capture";

/// What was meant, where it can be told; none leaves the word to the parser.
pub(super) fn of(error: &clap::Error, arguments: &[OsString]) -> Option<Stop> {
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|argument| argument.to_str()).collect();
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_kind(&words).or_else(|| unknown_command(&words)),
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

/// `rnu web`: the parser takes two letters that changed places for another word.
fn unknown_command(words: &[&str]) -> Option<Stop> {
    let mut command = super::command_line();
    let mut path = vec![command.get_name().to_owned()];
    for word in words {
        if let Some(inner) = command.find_subcommand(word).cloned() {
            path.push((*word).to_owned());
            command = inner;
        } else if !word.starts_with('-') {
            if path.len() == 1 && ["silence", "silences", "mute", "maintenance"].contains(word) {
                let next = "write a [[silence]] into agent.toml, as netsonde schedule template shows, and have the agent read it anew (SIGHUP)";
                return Some(Stop::usage(format!("there is no command `netsonde {word}`")).next(next));
            }
            let names: Vec<String> = command.get_subcommands().map(|known| known.get_name().to_owned()).collect();
            let (path, whole) = (path.join(" "), names.join(", "));
            let stop = Stop::usage(format!("there is no command `{path} {}`", clean(word)));
            return Some(match nearest(word, names.iter().map(String::as_str)) {
                Some(meant) => stop.next(format!("did you mean `{path} {meant}`? {path} --help lists all")),
                None => stop.next(format!("the commands are {whole}; {path} --help says what each does")),
            });
        }
    }
    None
}

/// The parser's own word in the form that every other message has: what is wrong, and a next step. None for help and version, which are
/// no errors, and where the parser shows the whole help instead.
pub(super) fn in_own_words(error: &clap::Error, arguments: &[OsString]) -> Option<Stop> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return None;
    }
    let said = error.render().to_string();
    let (mut message, mut tips, mut usage) = (Vec::new(), Vec::new(), None);
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(line) = line.strip_prefix("Usage: ") {
            usage.get_or_insert(line.to_owned());
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            tips.push(in_backticks(tip));
        } else if usage.is_none() && !line.starts_with("For more information") {
            message.push(in_backticks(line.strip_prefix("error: ").unwrap_or(line)));
        }
    }
    let help = format!("{} --help lists what it takes", path(arguments).join(" "));
    // The usage of the whole program says nothing of the command that was given.
    let usage = usage.filter(|usage| !usage.ends_with("<COMMAND>")).map(|usage| format!("write it as {usage}"));
    let next: Vec<String> = tips.into_iter().chain(usage).chain([help]).collect();
    // The library's word for what is no number.
    let message = message.join(" ").replace("invalid digit found in string", "it is no whole number");
    Some(Stop::usage(message).next(next.join("; ")))
}

/// The program and the commands that were given, as far as they are known.
fn path(arguments: &[OsString]) -> Vec<String> {
    let mut command = super::command_line();
    let mut path = vec![command.get_name().to_owned()];
    for word in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        let Some(inner) = command.find_subcommand(word).cloned() else { break };
        path.push(word.to_owned());
        command = inner;
    }
    path
}

/// Quoted words as all messages quote them. An apostrophe within a word stays.
fn in_backticks(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = |place: Option<usize>| place.and_then(|place| characters.get(place)).copied();
    let is_edge = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || "()[],.:;".contains(c));
    let quoted = |(place, c): (usize, &char)| match c {
        '\'' if is_edge(at(place.checked_sub(1))) || is_edge(at(Some(place + 1))) => '`',
        other => *other,
    };
    characters.iter().enumerate().map(quoted).collect()
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
    fn a_command_that_is_misspelt_is_told_by_its_right_name() {
        for (arguments, meant) in [
            (&["rnu", "web"][..], "did you mean `netsonde run`?"),
            (&["sets", "chekc", "x.toml"], "did you mean `netsonde sets check`?"),
            (&["kubernetes"], "the commands are run, watch"),
            (&["silence", "shop"], "write a [[silence]] into agent.toml"),
        ] {
            assert!(next(arguments).unwrap().contains(meant), "{arguments:?}: {:?}", next(arguments));
        }
    }

    #[test]
    fn the_parsers_word_comes_as_every_other_message_does() {
        let own = |arguments: &[&str]| {
            let arguments: Vec<OsString> = ["netsonde"].iter().chain(arguments).map(OsString::from).collect();
            let error = Cli::try_parse_from(&arguments).err().unwrap();
            in_own_words(&error, &arguments).map(|stop| (stop.message, stop.next.unwrap_or_default()))
        };
        let (message, next) = own(&["run", "web", "--formt", "json"]).unwrap();
        assert_eq!(message, "unexpected argument `--formt` found");
        assert!(next.contains("`--format`") && next.contains("netsonde run"), "{next}");
        let (message, next) = own(&["probe", "tcp"]).unwrap();
        assert!(message.contains("<HOST>") && next.contains("netsonde probe tcp"), "{message}\n{next}");
        let (message, next) = own(&["schedule", "run"]).unwrap();
        assert!(message.contains("<NAME|--due>") && next.contains("netsonde schedule run"), "{message}\n{next}");
        assert!(own(&["schedule", "run", "shop", "--due"]).is_some(), "one of both");
        let (message, _) = own(&["probe", "traceroute", "x", "--protocol", "it's"]).unwrap();
        assert!(message.starts_with("invalid value `it's` for `--protocol <WORD>`"), "{message}");
        let (message, next) = own(&["probe", "icmp", "x", "--trust", "ca.pem"]).unwrap();
        assert!(message.contains("--trust means nothing to `probe icmp`"), "{message}");
        assert_eq!(next, "netsonde probe icmp --help lists what it takes");
        let (message, next) = own(&["probe", "tcp", "127.0.0.1", "--port", "x"]).unwrap();
        assert!(message.ends_with("it is no whole number") && next.contains("probe tcp --help"), "{message}\n{next}");
        assert_eq!(own(&["--help"]), None);
        assert_eq!(own(&["--version"]), None);
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
