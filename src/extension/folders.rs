use crate::{Failure, clock};
use serde::Deserialize;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// The guest agent may be writing, or reading, the file at this moment: 0.2 s, 0.4 s and so on, about six seconds in all.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The portal shows a few lines; what is longer is cut.
const MAX_MESSAGE_CHARS: usize = 4_000;

/// What the portal shows of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Transitioning,
    Success,
    Error,
}

/// The folders that the guest agent gave this handler.
pub(crate) struct Folders {
    /// Where the package was unpacked.
    pub(crate) own: PathBuf,
    given: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    log_folder: PathBuf,
    config_folder: PathBuf,
    status_folder: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Environment {
    handler_environment: Given,
}

/// The agent writes a list of one; older ones wrote the one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    List(Vec<Environment>),
    One(Environment),
}

impl Folders {
    /// Those that `HandlerEnvironment.json` names, above the folder of this program.
    ///
    /// # Errors
    /// Where that file is not there or not what the guest agent writes.
    pub(crate) fn find() -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::of("finding this program's own folder"))?;
        let own = program.parent().and_then(Path::parent).map(Path::to_owned);
        let own = own.ok_or_else(|| Failure::Failed(format!("{} lies in no package", program.display())))?;
        let path = own.join("HandlerEnvironment.json");
        let given = again_and_again(sleep, || {
            fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| parsed(&text))
        });
        match given {
            Ok(given) => Ok(Self { own, given }),
            Err(error) => Err(Failure::Failed(format!("{} cannot be read: {error}", path.display()))),
        }
    }

    /// The number of the settings to go by: the one that the guest agent names, for numbers do not always grow; where it names none that is
    /// there, the greatest.
    pub(crate) fn settings_number(&self, named: Option<&str>) -> Option<u64> {
        let named = named.and_then(|number| number.parse().ok());
        named.filter(|&number| self.settings_file(number).exists()).or_else(|| self.greatest_number())
    }

    fn greatest_number(&self) -> Option<u64> {
        let files = fs::read_dir(&self.given.config_folder).ok()?;
        files.filter_map(|file| file.ok()?.file_name().to_str()?.strip_suffix(".settings")?.parse().ok()).max()
    }

    /// The text of the settings with this number; empty where there are none.
    pub(crate) fn settings(&self, number: Option<u64>) -> Result<String, Failure> {
        let Some(number) = number else { return Ok(String::new()) };
        let path = self.settings_file(number);
        fs::read_to_string(&path).map_err(Failure::of(format!("reading {}", path.display())))
    }

    fn settings_file(&self, number: u64) -> PathBuf {
        self.given.config_folder.join(format!("{number}.settings"))
    }

    /// Of the handler's package; empty where it does not say.
    pub(crate) fn version(&self) -> String {
        fs::read_to_string(self.own.join("version")).unwrap_or_default().trim().to_owned()
    }

    /// Writes the status file whole, so that the guest agent never reads half of one. Nothing takes a file's place on Windows while somebody reads it:
    /// that is waited for.
    ///
    /// # Errors
    /// Where it cannot be written, or stays in use.
    pub(crate) fn report(
        &self,
        number: Option<u64>,
        operation: &str,
        status: Status,
        message: &str,
        code: u8,
    ) -> Result<(), Failure> {
        let Some(number) = number else { return Ok(()) };
        self.write_status(number, &status_text(operation, status, message, code, &clock::now()), sleep)
    }

    fn write_status(&self, number: u64, text: &str, pause: impl FnMut(Duration)) -> Result<(), Failure> {
        let path = self.given.status_folder.join(format!("{number}.status"));
        let new = path.with_extension("status.new");
        again_and_again(pause, || fs::write(&new, text).and_then(|()| fs::rename(&new, &path)))
            .map_err(Failure::of(format!("writing {}", path.display())))
    }

    /// A log that cannot be written stops nothing.
    pub(crate) fn log(&self, line: &str) {
        let file = fs::OpenOptions::new().create(true).append(true).open(self.given.log_folder.join("handler.log"));
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{} {line}", clock::now());
        }
    }
}

/// What failed is attempted again after ever longer pauses, for as long as it takes to read or write a file.
fn again_and_again<T, E>(mut pause: impl FnMut(Duration), mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut next = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        pause(next);
        next *= 2;
    }
    attempt()
}

fn parsed(text: &str) -> Result<Given, String> {
    match serde_json::from_str(without_mark(text)).map_err(|error| error.to_string())? {
        Written::One(environment) => Ok(environment.handler_environment),
        Written::List(list) => match list.into_iter().next() {
            Some(environment) => Ok(environment.handler_environment),
            None => Err("the list is empty".to_owned()),
        },
    }
}

/// Text without the byte order mark that programs of Windows like to begin with.
pub(crate) fn without_mark(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

fn status_text(operation: &str, status: Status, message: &str, code: u8, now: &str) -> String {
    let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    let name = match status {
        Status::Transitioning => "transitioning",
        Status::Success => "success",
        Status::Error => "error",
    };
    let mut body = json!({
        "name": "netsonde",
        "operation": operation,
        "status": name,
        "code": code,
        "formattedMessage": {"lang": "en-US", "message": message},
    });
    if status == Status::Success {
        body["configurationAppliedTime"] = now.into();
    }
    json!([{"version": 1.0, "timestampUTC": now, "status": body}]).to_string()
}

#[cfg(test)]
impl Folders {
    /// A handler's package in `own`, for which the guest agent has one folder.
    pub(crate) fn of(own: PathBuf, folder: &Path) -> Self {
        Self { own, given: Given { log_folder: folder.into(), config_folder: folder.into(), status_folder: folder.into() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDERS: &str = r#"{"version":1.0,"handlerEnvironment":{"logFolder":"C:\\L","configFolder":"C:\\C","statusFolder":"C:\\S","heartbeatFile":"h"}}"#;

    #[test]
    fn the_environment_is_read_as_a_list_alone_and_behind_a_byte_order_mark() {
        for text in [FOLDERS.to_owned(), format!("[{FOLDERS}]"), format!("\u{feff}[{FOLDERS}]")] {
            assert_eq!(parsed(&text).unwrap().config_folder, Path::new("C:\\C"));
        }
        assert!(parsed("[]").is_err() && parsed("").is_err() && parsed(&FOLDERS[..40]).is_err());
    }

    /// Nothing takes a folder's place either, which every system holds to.
    #[test]
    fn a_status_file_that_is_in_use_is_written_once_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::of(folder.path().into(), folder.path());
        let path = folder.path().join("1.status");
        fs::create_dir(&path).unwrap();
        let mut paused = Duration::ZERO;
        let failure = folders.write_status(1, "new", |pause| paused += pause).unwrap_err();
        assert!(failure.words().contains("1.status") && paused > Duration::from_secs(5), "{failure:?}, {paused:?}");
        assert!(paused < Duration::from_secs(10), "the guest agent waits for the operation");
        let mut pauses = 0;
        let let_go = |_: Duration| {
            pauses += 1;
            if pauses == 2 {
                fs::remove_dir(&path).unwrap();
            }
        };
        folders.write_status(1, "new", let_go).unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), pauses), ("new", 2));
    }

    #[test]
    fn the_settings_are_those_that_the_guest_agent_names_or_else_those_of_the_greatest_number() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::of(folder.path().into(), folder.path());
        assert_eq!((folders.settings_number(None), folders.settings_number(Some("0"))), (None, None));
        for name in ["9.settings", "10.settings", "11.status", "x.settings"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(folders.settings_number(Some("9")), Some(9));
        for named in [None, Some(""), Some("x"), Some("-1"), Some("11")] {
            assert_eq!(folders.settings_number(named), Some(10), "{named:?}");
        }
        folders.report(Some(10), "enable", Status::Success, &"ä".repeat(5_000), 0).unwrap();
        let written: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("10.status")).unwrap()).unwrap();
        assert_eq!(written[0]["status"]["status"], "success");
        assert_eq!(written[0]["status"]["formattedMessage"]["message"].as_str().unwrap().chars().count(), MAX_MESSAGE_CHARS);
    }
}
