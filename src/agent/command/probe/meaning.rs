//! Options that a whole run takes and that mean something to some kinds only. A kind to which one means nothing does not show it, and
//! refuses it, so that nobody believes that it was heeded.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use netsonde_contract::kind::Kind;

/// Options by their names within the program, as they are written, and the kinds that heed them.
const OPTIONS: [(&str, &str, &[Kind]); 4] = [
    ("trust", "--trust", Kind::JUDGING_CERTIFICATES),
    ("proxy", "--proxy", &[Kind::Http, Kind::Proxy, Kind::Load]),
    ("networks", "--networks", &[Kind::Traceroute]),
    ("reflector_key", "--reflector-key", &[Kind::Reflect]),
];

/// Hides what the kind does not heed.
pub(super) fn only_what_counts(kind: Kind, command: Command) -> Command {
    let unheeded = OPTIONS.iter().filter(|(_, _, kinds)| !kinds.contains(&kind));
    unheeded.fold(command, |command, (name, _, _)| command.mut_arg(name, |argument| argument.hide(true)))
}

/// # Errors
/// Where an option was given that the kind does not heed.
pub(super) fn check(kind: Kind, matches: &ArgMatches) -> Result<(), clap::Error> {
    for (name, written, kinds) in OPTIONS {
        if matches.value_source(name) == Some(ValueSource::CommandLine) && !kinds.contains(&kind) {
            let heeding: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let text = format!("{written} means nothing to `probe {}`, only to: {}", kind.name(), heeding.join(", "));
            return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::OPTIONS;
    use crate::command::probe::{ProbeCommand, kind_command};
    use clap::{Command, FromArgMatches, Subcommand};
    use netsonde_contract::kind::{FieldType, Kind};

    #[test]
    fn an_option_that_a_kind_does_not_heed_is_neither_shown_nor_swallowed() {
        for kind in Kind::ALL {
            let help = kind_command(*kind).render_long_help().to_string();
            for (name, written, kinds) in OPTIONS {
                let heeds = kinds.contains(kind);
                assert_eq!(help.contains(&format!("{written} <")), heeds, "{}: {written}", kind.name());
                let value = if name == "proxy" { "http://127.0.0.1:3128" } else { "/a/file" };
                let required = kind.fields().iter().filter(|field| field.required).map(|field| match &field.kind {
                    FieldType::Integer => "1".to_owned(),
                    FieldType::Choice(words) => words[0].clone(),
                    _ => "127.0.0.1".to_owned(),
                });
                let arguments = ["probe", kind.name()].map(str::to_owned).into_iter().chain(required);
                let arguments: Vec<String> = arguments.chain([written.to_owned(), value.to_owned()]).collect();
                let matches = ProbeCommand::augment_subcommands(Command::new("probe")).try_get_matches_from(arguments).unwrap();
                let parsed = ProbeCommand::from_arg_matches(&matches);
                assert_eq!(parsed.is_ok(), heeds, "{}: {written}", kind.name());
                if let Err(error) = parsed {
                    assert!(error.to_string().contains("means nothing") && error.exit_code() == 2, "{error}");
                }
            }
        }
    }
}
