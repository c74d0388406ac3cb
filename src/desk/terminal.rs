//! The two streams and the person before them.
//!
//! Standard output carries the document that was asked for, so that it can be piped; everything else goes to standard error.

use crate::stop::Stop;
use netsonde_contract::harmless::{clean, clean_lines};
use std::io::{self, IsTerminal, Read, Write};
use zeroize::Zeroizing;

/// Lines are this wide where the output is no terminal.
const PLAIN_WIDTH: usize = 100;
/// A pasted secret is shorter; this keeps a file that was redirected by mistake out of memory.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Writes the document. A reader that went away (a closed pipe) has what it wanted.
pub(crate) fn output(text: &str) -> Result<(), Stop> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::failed(format!("writing to standard output failed: {error}"))
                .next("check what the output is redirected to"))
        }
        _ => Ok(()),
    }
}

/// Says something beside the document. Whatever is quoted in it, only its line ends steer the terminal. A standard error that is closed cannot be told of.
pub(crate) fn say(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{}", clean_lines(text));
}

pub(crate) fn say_stop(stop: &Stop) {
    say(&format!("netsonde-desk: {}", stop.message));
    if let Some(next) = &stop.next {
        say(&format!("  next: {next}"));
    }
}

/// A secret: asked for without an echo where there is a terminal, else the whole of standard input.
pub(crate) fn read_secret(prompt: &str) -> Result<Zeroizing<String>, Stop> {
    let failed = |error: &dyn std::fmt::Display| {
        Stop::failed(format!("reading the token failed: {error}")).next("run the command again and paste the token")
    };
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        let answer = dialoguer::Password::new().with_prompt(prompt).interact().map_err(|error| failed(&error))?;
        return Ok(Zeroizing::new(answer));
    }
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(MAX_SECRET_BYTES).read_to_string(&mut text).map_err(|error| failed(&error))?;
    Ok(text)
}

/// A secret that is new, asked for twice where there is a terminal.
pub(crate) fn new_secret(prompt: &str) -> Result<Zeroizing<String>, Stop> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return read_secret(prompt);
    }
    let asked = dialoguer::Password::new()
        .with_prompt(prompt)
        .with_confirmation("Once more", "The two differ; again")
        .interact()
        .map_err(|error| Stop::failed(format!("reading the passphrase failed: {error}")).next("run the command again"))?;
    Ok(Zeroizing::new(asked))
}

/// Whether the person says yes. Nobody is taken to have said it where there is nobody to ask.
pub(crate) fn confirm(question: &str) -> Result<bool, Stop> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(
            Stop::usage("there is no terminal to ask at").next("read what is shown, and run the command again with --yes")
        );
    }
    dialoguer::Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()
        .map_err(|error| Stop::failed(format!("reading the answer failed: {error}")).next("run the command again"))
}

/// The answer to a question, or what is offered where the person just presses Enter; none where there is nobody to ask.
pub(crate) fn ask(question: &str, offered: &str) -> Result<Option<String>, Stop> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(None);
    }
    let answer: String = dialoguer::Input::new()
        .with_prompt(question)
        .default(offered.to_owned())
        .interact_text()
        .map_err(|error| Stop::failed(format!("reading the answer failed: {error}")).next("run the command again"))?;
    Ok(Some(answer))
}

pub(crate) fn output_colour() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

pub(crate) fn output_width() -> usize {
    let term = dialoguer::console::Term::stdout();
    term.size_checked().filter(|_| io::stdout().is_terminal()).map_or(PLAIN_WIDTH, |(_, columns)| usize::from(columns))
}

/// Text from elsewhere on one line, without what would steer a terminal or disguise other text.
pub(crate) fn harmless(text: &str) -> String {
    clean(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn a_cause_with_an_escape_sequence_does_not_reach_the_terminal() {
        assert_eq!(harmless("tls\u{1b}[31m\u{202e}x\n"), r"tls\x1b[31m\u{202e}x\n");
    }
}
