//! The two streams and the person before them.
//!
//! Standard output carries the document that was asked for; everything else goes to standard error. A reader that went away (a
//! closed pipe) is no error: whoever pipes into `head` has what they wanted.

use crate::stop::Stop;
use netsonde_contract::harmless::clean_lines;
use netsonde_probes::clock::Clock;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is said goes to a log.
static AS_JSON: AtomicBool = AtomicBool::new(false);
/// Lines are this wide where the output is no terminal.
const PLAIN_WIDTH: usize = 100;

/// Writes a piece of the document to standard output.
///
/// # Errors
/// Where the output cannot be written for another reason than a reader that went away.
pub(crate) fn output(text: &str) -> Result<(), Stop> {
    let mut stdout = anstream::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::usage(format!("writing to standard output failed: {error}")).next("check what the output is redirected to"))
        }
        _ => Ok(()),
    }
}

/// Says something beside the document, on standard error. Much of it quotes tickets, backends and bundles, so this is the one place where
/// everything but line ends that would steer the terminal is written out. A standard error that is closed cannot be told of.
pub(crate) fn say(text: &str) {
    say_as(Level::Info, text, None);
}

/// The same of something that is not as it should be, and that goes on.
pub(crate) fn warn(text: &str) {
    say_as(Level::Warn, text, None);
}

/// How much it matters to whoever collects the log.
#[derive(Clone, Copy, Debug)]
enum Level {
    Info,
    Warn,
    Error,
}

fn say_as(level: Level, text: &str, next: Option<&str>) {
    #[cfg(windows)]
    events::tell(level, text, next);
    #[cfg(target_os = "macos")]
    crate::service_control::log_file::keep_to_its_name();
    let mut stderr = anstream::stderr().lock();
    if AS_JSON.load(Ordering::Relaxed) {
        let _ = writeln!(stderr, "{}", json_line(level, text, next));
        return;
    }
    let _ = writeln!(stderr, "{}", clean_lines(text));
    if let Some(next) = next {
        let _ = writeln!(stderr, "{}", clean_lines(&format!("  next: {next}")));
    }
}

/// From here on what is said is a JSON object a line, as a log's collector wants it.
pub(crate) fn say_as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// From here on what is said goes to the event log as well: nobody has the standard error of a service of Windows.
#[cfg(windows)]
pub(crate) fn say_to_event_log() {
    events::IS_TOLD.store(true, Ordering::Relaxed);
}

#[cfg(windows)]
mod events {
    use super::{Level, bare};
    use crate::clock::UpTime;
    use crate::event_words::Recent;
    use crate::platform::windows_events::{self, Kind};
    use crate::service_control::NAME;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};

    pub(super) static IS_TOLD: AtomicBool = AtomicBool::new(false);
    static RECENT: Mutex<Recent> = Mutex::new(Recent::new());

    pub(super) fn tell(level: Level, text: &str, next: Option<&str>) {
        if !IS_TOLD.load(Ordering::Relaxed) {
            return;
        }
        let kind = match level {
            Level::Info => Kind::Information,
            Level::Warn => Kind::Warning,
            Level::Error => Kind::Error,
        };
        let words = next.map_or_else(|| bare(text).to_owned(), |next| format!("{}; next: {next}", bare(text)));
        let admitted = RECENT.lock().unwrap_or_else(PoisonError::into_inner).admit(&words, UpTime::read().now);
        if let Some(words) = admitted {
            windows_events::write(NAME, kind, &words);
        }
    }
}

/// Without what only a terminal needs: a log has the program's name elsewhere.
fn bare(text: &str) -> &str {
    text.strip_prefix("netsonde: ").unwrap_or(text).trim()
}

fn json_line(level: Level, text: &str, next: Option<&str>) -> serde_json::Value {
    let message = bare(text);
    let level = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    };
    let mut line = serde_json::json!({ "timestamp": Clock::start().wall().to_string(), "level": level, "message": message });
    if let Some(next) = next {
        line["next"] = next.into();
    }
    line
}

/// Says why a command stopped and what to do next.
pub(crate) fn say_stop(stop: &Stop) {
    say_as(Level::Error, &format!("netsonde: {}", stop.message), stop.next.as_deref());
}

/// Someone can be asked: both the question's and the answer's stream are a terminal.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question that is answered by yes or no. Without a terminal, or where the answer cannot be read, the answer is no.
pub(crate) fn ask(question: &str, default: bool) -> bool {
    if !can_ask() {
        return false;
    }
    dialoguer::Confirm::new().with_prompt(clean_lines(question)).default(default).interact_opt().ok().flatten().unwrap_or(false)
}

pub(crate) fn progress_is_seen() -> bool {
    io::stderr().is_terminal()
}

/// Whether the document may be coloured, by `NO_COLOR`, `CLICOLOR_FORCE` and whether anyone looks at it.
pub(crate) fn output_colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

pub(crate) fn output_width() -> usize {
    let term = dialoguer::console::Term::stdout();
    let seen = term.size_checked().filter(|_| io::stdout().is_terminal()).map(|(_, columns)| usize::from(columns));
    seen.or_else(|| columns(std::env::var("COLUMNS").ok()?.as_str())).unwrap_or(PLAIN_WIDTH)
}

/// What `COLUMNS` asks for (POSIX, XBD section 8.3): it counts where no terminal tells its own width, as in a pipe.
fn columns(text: &str) -> Option<usize> {
    text.parse().ok().filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::{Level, columns, json_line};

    #[test]
    fn a_log_line_is_one_json_object_whatever_it_quotes() {
        let line = json_line(Level::Info, "netsonde: \"quoted\"\nand \u{1b}[31m", None).to_string();
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "\"quoted\"\nand \u{1b}[31m");
    }

    #[test]
    fn a_log_line_says_how_much_it_matters_and_what_to_do_about_it() {
        let levels = [Level::Info, Level::Warn, Level::Error].map(|level| json_line(level, "x", None)["level"].clone());
        assert_eq!(levels, ["INFO", "WARN", "ERROR"]);
        let line = json_line(Level::Error, "netsonde: the disk is full", Some("make room"));
        assert_eq!((&line["message"], &line["next"]), (&"the disk is full".into(), &"make room".into()));
    }

    #[test]
    fn a_width_that_was_asked_for_counts_where_it_is_one() {
        assert_eq!(columns("60"), Some(60));
        for wrong in ["", "0", "-5", "wide"] {
            assert_eq!(columns(wrong), None, "{wrong}");
        }
    }
}
