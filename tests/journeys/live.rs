use super::world::{World, code, text};
use netsonde_tests::programs::program;
use std::process::{Command, Output};
use std::time::Duration;

/// The view comes with its first round, within a second; a machine that is busy building something gets a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of its own in which a shell runs; it ends with this value.
struct Desk {
    socket: String,
    folder: tempfile::TempDir,
}

impl Desk {
    /// None where there is no tmux; continuous integration has to have it.
    fn open() -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "the journey of the live view needs tmux");
            eprintln!("skipped: the live view on a terminal: it needs tmux");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { socket: folder.path().join("tmux").to_string_lossy().into_owned(), folder };
        desk.tmux(&[
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
        Some(desk)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let output = Command::new("tmux").env_remove("TMUX").args(["-S", &self.socket]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        output
    }

    fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits until the screen is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
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

    /// Starts the view of the way to this machine itself, between two readings of the terminal's settings.
    async fn begin(&self) {
        let netsonde = program("netsonde").unwrap();
        let folder = self.folder.path().display();
        self.enter(&format!(
            "cd {folder}; stty -a >before; HOME={folder} {} probe traceroute 127.0.0.1 --protocol udp --live --interval-ms 200; \
             echo \"ended=$?\"; stty -a >after; echo is\"set\"",
            netsonde.display()
        ));
        self.until("the view", |screen| screen.contains("q end") && screen.contains("  1 127.0.0.1")).await;
    }

    /// The view is gone, the report is there, and the terminal is as it was.
    async fn ended(&self, exit: i32) {
        let ended = format!("ended={exit}");
        let screen =
            self.until("the report", |screen| screen.contains(&ended) && screen.lines().any(|line| line == "isset")).await;
        assert!(screen.contains("127.0.0.1 reached at hop 1"), "{screen}");
        assert!(!screen.contains("q end"), "{screen}");
        let settings = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        assert_eq!(settings("before"), settings("after"));
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(String::from_utf8_lossy(&flags.stdout).trim(), "0 1", "the usual screen, and the cursor is seen");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_trace_gives_the_terminal_back_and_prints_its_report() {
    let Some(desk) = Desk::open() else { return };
    for key in ["q", "Escape", "C-c"] {
        desk.begin().await;
        desk.press("p");
        desk.until("the pause", |screen| screen.contains("paused")).await;
        desk.press("?");
        desk.until("the help", |screen| screen.contains("print the report of all rounds")).await;
        desk.press("?");
        desk.until("the hops", |screen| screen.contains("  1 127.0.0.1")).await;
        desk.press(key);
        desk.ended(0).await;
        desk.enter("clear");
        desk.until("an empty screen", |screen| !screen.contains("ended=")).await;
    }
}

/// The program at the end of the chain that begins with a shell.
fn last_descendant(mut process: String) -> String {
    loop {
        let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
        let Some(child) = children.split_whitespace().last() else { return process };
        process = child.to_owned();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_view_and_the_terminal_is_given_back() {
    let Some(desk) = Desk::open() else { return };
    desk.begin().await;
    let shell = String::from_utf8_lossy(&desk.tmux(&["display-message", "-p", "#{pane_pid}"]).stdout).trim().to_owned();
    let child = last_descendant(shell);
    assert!(Command::new("kill").args(["-TERM", &child]).status().unwrap().success());
    desk.ended(130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_without_a_terminal_or_for_a_program_is_refused_with_a_next_step() {
    let world = World::new();
    for arguments in [&["127.0.0.1", "--live"][..], &["127.0.0.1", "--live", "--format", "json"]] {
        for kind in ["icmp", "traceroute"] {
            let output = world.stage.netsonde(&[&["probe", kind], arguments].concat()).await.unwrap();
            assert_eq!(code(&output), 2, "{}", text(&output));
            assert!(output.stdout.is_empty() && text(&output).contains("next:"), "{}", text(&output));
        }
    }
    let output = world.stage.netsonde(&["probe", "icmp", "127.0.0.1", "--live", "--interval-ms", "10"]).await.unwrap();
    assert_eq!(code(&output), 2, "{}", text(&output));
    assert!(text(&output).contains("100 to 60000"), "{}", text(&output));
}
