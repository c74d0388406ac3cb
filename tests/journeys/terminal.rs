use super::world::text;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// What is waited for comes within a second; a machine that is busy building something gets a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of its own in which a shell runs; it ends with this value.
pub(super) struct Terminal {
    socket: String,
    folder: tempfile::TempDir,
}

impl Terminal {
    /// None where there is no tmux; continuous integration has to have it.
    pub(super) fn open(what: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "the journey of {what} needs tmux");
            eprintln!("skipped: {what} on a terminal: it needs tmux");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let terminal = Self { socket: folder.path().join("tmux").to_string_lossy().into_owned(), folder };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "env -i TERM=screen PATH=\"$PATH\" PS1='$ ' sh",
        ]);
        Some(terminal)
    }

    pub(super) fn tmux(&self, arguments: &[&str]) -> Output {
        let output = Command::new("tmux").env_remove("TMUX").args(["-S", &self.socket]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        output
    }

    pub(super) fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    pub(super) fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until the screen is as wanted.
    pub(super) async fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let waiting = async {
            loop {
                let screen = self.screen();
                if wanted(&screen) {
                    return screen;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{what} did not come:\n{}", self.screen()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}
