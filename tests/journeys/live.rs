use super::terminal::Terminal;
use super::world::{World, code, text};
use netsonde_tests::programs::program;
use std::process::Command;

/// A terminal in which the view is started.
struct Desk(Terminal);

impl Desk {
    fn open() -> Option<Self> {
        Terminal::open("the live view").map(Self)
    }

    /// Starts the view of the way to this machine itself, between two readings of the terminal's settings.
    async fn begin(&self) {
        let netsonde = program("netsonde").unwrap();
        let folder = self.0.folder().display();
        self.0.enter(&format!(
            "cd {folder}; stty -a >before; HOME={folder} {} probe traceroute 127.0.0.1 --protocol udp --live --interval-ms 200; \
             echo \"ended=$?\"; stty -a >after; echo is\"set\"",
            netsonde.display()
        ));
        self.0.until("the view", |screen| screen.contains("q end") && screen.contains("  1 127.0.0.1")).await;
    }

    /// The view is gone, the report is there, and the terminal is as it was.
    async fn ended(&self, exit: i32) {
        let ended = format!("ended={exit}");
        let screen =
            self.0.until("the report", |screen| screen.contains(&ended) && screen.lines().any(|line| line == "isset")).await;
        assert!(screen.contains("127.0.0.1 reached at hop 1"), "{screen}");
        assert!(!screen.contains("q end"), "{screen}");
        let settings = |name: &str| std::fs::read_to_string(self.0.folder().join(name)).unwrap();
        assert_eq!(settings("before"), settings("after"));
        let flags = self.0.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(String::from_utf8_lossy(&flags.stdout).trim(), "0 1", "the usual screen, and the cursor is seen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_trace_gives_the_terminal_back_and_prints_its_report() {
    let Some(desk) = Desk::open() else { return };
    for key in ["q", "Escape", "C-c"] {
        desk.begin().await;
        desk.0.press("p");
        desk.0.until("the pause", |screen| screen.contains("paused")).await;
        desk.0.press("?");
        desk.0.until("the help", |screen| screen.contains("print the report of all rounds")).await;
        desk.0.press("?");
        desk.0.until("the hops", |screen| screen.contains("  1 127.0.0.1")).await;
        desk.0.press(key);
        desk.ended(0).await;
        desk.0.enter("clear");
        desk.0.until("an empty screen", |screen| !screen.contains("ended=")).await;
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
    let shell = String::from_utf8_lossy(&desk.0.tmux(&["display-message", "-p", "#{pane_pid}"]).stdout).trim().to_owned();
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
