use crate::stop::Stop;
use std::process::{Command, Stdio};

/// Runs the system's program for services, and gives back what it printed. It gets these arguments and nothing of what anybody typed.
///
/// # Errors
/// Where there is no such program, or it says no: with its own words.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Result<String, Stop> {
    let line = format!("{program} {}", arguments.join(" "));
    let answer = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let answer = answer.map_err(|error| Stop::usage(format!("{line} cannot be run: {error}")))?;
    let printed = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if answer.status.success() {
        return Ok(printed);
    }
    let words = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    let words = if words.is_empty() { printed } else { words };
    Err(Stop::usage(format!("{line} failed: {words}")))
}
