use crate::stop::Stop;
use crate::{exit, terminal, written_text};
use clap::Subcommand;
use netsonde_contract::config_error::ConfigError;
use netsonde_contract::nearest::nearest;
use netsonde_contract::set::{BuiltIn, MAX_SET_BYTES, ProbeSet, built_in, find_built_in};
use std::path::Path;

#[derive(Subcommand)]
pub(super) enum SetsCommand {
    /// Lists the built-in sets and the question that each answers.
    #[command(after_help = "Example:\n  netsonde sets list")]
    List,
    /// Shows a set's exact text: its parameters, its checks and when each runs.
    #[command(
        after_help = "Examples:\n  netsonde sets show web\n  netsonde sets show web > mine.toml    a start for a set of your own"
    )]
    Show {
        /// The set's name.
        name: String,
    },
    /// Checks a set's file: says what is wrong with it, and where.
    #[command(after_help = "Example:\n  netsonde sets check mine.toml")]
    Check {
        /// The file, or `-` for standard input.
        file: String,
    },
}

impl SetsCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        match self {
            Self::List => {
                terminal::output(&(list("") + "\n"))?;
            }
            Self::Show { name } => {
                let set = find_built_in(&name).ok_or_else(|| unknown(&name))?;
                terminal::output(set.text)?;
            }
            Self::Check { file } => {
                let (origin, text) = read_text(&file)?;
                let set = ProbeSet::check_whole(&origin, &text).map_err(|mistakes| all_of(&mistakes))?;
                terminal::say(&format!("{file}: in order ({} version {}, {} checks)", set.name, set.version, set.checks.len()));
            }
        }
        Ok(exit::AS_EXPECTED)
    }
}

/// A set by its name, its file, or from standard input.
pub(crate) fn load(given: &str) -> Result<ProbeSet, Stop> {
    if let Some(set) = find_built_in(given) {
        return set.parse().map_err(|error| Stop::usage(error.to_string()));
    }
    let looks_like_a_file = given == "-" || given.ends_with(".toml") || given.contains(['/', '\\']);
    if looks_like_a_file || Path::new(given).is_file() { read(given) } else { Err(unknown(given)) }
}

fn read(file: &str) -> Result<ProbeSet, Stop> {
    let (origin, text) = read_text(file)?;
    ProbeSet::parse(&origin, &text).map_err(|error| Stop::usage(error.to_string()))
}

/// Where it is told what the set wants: a built-in one is shown, one's own is a file that is there to be read.
pub(crate) fn wanted_by(given: &str, set: &ProbeSet) -> String {
    match find_built_in(given) {
        Some(_) => format!("netsonde sets show {} tells what the set wants", set.name),
        None if given == "-" => "the set on standard input says in [parameters] and [[check]] what it wants".to_owned(),
        None => {
            format!("{given} says in [parameters] and [[check]] what the set wants; netsonde sets check {given} looks it over")
        }
    }
}

/// Every mistake on a line of its own.
fn all_of(mistakes: &[ConfigError]) -> Stop {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    match lines.split_first() {
        Some((only, [])) => Stop::usage(only.clone()),
        _ => Stop::usage(format!("{} mistakes:\n  {}", lines.len(), lines.join("\n  "))),
    }
}

/// What stands for the file in messages, and its text.
fn read_text(file: &str) -> Result<(String, String), Stop> {
    let (origin, text) = if file == "-" {
        ("standard input", written_text::read(std::io::stdin().lock(), MAX_SET_BYTES))
    } else {
        (file, std::fs::File::open(file).and_then(|file| written_text::read(file, MAX_SET_BYTES)))
    };
    let text = text.map_err(|error| {
        let stop = Stop::usage(format!("reading the probe set {origin} failed: {error}"));
        match error.kind() {
            std::io::ErrorKind::InvalidData => stop.next("save it anew as UTF-8, then netsonde sets check FILE"),
            _ => stop.next("give the name of a built-in set (netsonde sets list) or an existing file"),
        }
    })?;
    Ok((origin.to_owned(), text))
}

/// Neither a set nor a ticket was given.
pub(super) fn none_given() -> Stop {
    let next = format!("netsonde run SET --target …, with one of\n{}", list("    "));
    Stop::usage("which probe set should be run?").next(next + "\n  or with what support sent: netsonde run --ticket nst1_…")
}

/// The built-in sets, a line each, with the questions that they answer.
fn list(indent: &str) -> String {
    let longest = built_in().iter().map(|set| set.name.len()).max().unwrap_or_default();
    let line = |set: &BuiltIn| {
        let question = set.parse().map(|set| set.question).unwrap_or_default();
        format!("{indent}{:<longest$}  {question}", set.name)
    };
    built_in().iter().map(line).collect::<Vec<_>>().join("\n")
}

fn unknown(name: &str) -> Stop {
    let known = || built_in().iter().map(|set| set.name);
    let stop = Stop::usage(format!("there is no probe set `{name}`"));
    match nearest(name, known()) {
        Some(meant) => stop.next(format!("did you mean `{meant}`? netsonde sets list shows all")),
        None => {
            stop.next(format!("the built-in ones are {}; a file is given with its path", known().collect::<Vec<_>>().join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_set_is_refused_with_the_nearest_one() {
        let stop = load("wbe").unwrap_err();
        assert_eq!(stop.exit, exit::USAGE);
        assert!(stop.next.unwrap().contains("did you mean `web`"));
        assert!(load("kubernetes").unwrap_err().next.unwrap().contains("quick, web"));
    }

    #[test]
    fn an_error_in_a_file_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let web = find_built_in("web").unwrap().text.replace("required = true", "requird = true");
        std::fs::write(&path, web).unwrap();
        let stop = load(path.to_str().unwrap()).unwrap_err();
        assert!(stop.message.contains("mine.toml:") && stop.message.contains("did you mean `required`"), "{stop:?}");
    }

    #[test]
    fn a_set_that_powershell_redirected_is_the_set_that_was_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let text = format!("\u{feff}{}", find_built_in("web").unwrap().text);
        std::fs::write(&path, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
        assert_eq!(load(path.to_str().unwrap()).unwrap().name, "web");
    }

    #[test]
    fn checking_tells_every_mistake_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let web = find_built_in("web").unwrap().text.replace("required = true", "requird = true").replacen(
            "question = ",
            "qestion = ",
            1,
        );
        std::fs::write(&path, web).unwrap();
        let stop = SetsCommand::Check { file: path.display().to_string() }.execute().unwrap_err();
        assert!(stop.message.contains("`required`") && stop.message.lines().count() > 2, "{stop:?}");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_by_its_name() {
        assert!(load("./nowhere.toml").unwrap_err().message.contains("nowhere.toml"));
    }
}
