use netsonde_agent::load::Clock;
use netsonde_tests::programs::program;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A user of nobody else's: the system counts the threads of a user, not of a process.
const USER: u32 = 61_234;
/// Slots are ten seconds apart; a machine that is busy building something gets more.
const PATIENCE: Duration = Duration::from_secs(90);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Called as that user.
fn as_user(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups"]).arg(program);
    command
}

/// How many threads the user of the process may have.
fn allow(process: u32, threads: u32) {
    // The soft limit, which whoever owns the process may raise again.
    let set = as_user("prlimit").args(["--pid", &process.to_string(), &format!("--nproc={threads}:")]).output().unwrap();
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
}

fn measured(state: &Path) -> usize {
    let asked = Command::new(program("netsonde").unwrap())
        .args(["history", "--format", "json", "--state-dir"])
        .arg(state)
        .output()
        .unwrap();
    String::from_utf8_lossy(&asked.stdout).matches("\"v\": ").count()
}

fn until(what: &str, log: &Path, is_so: impl Fn() -> bool) {
    let began = Clock::start();
    while !is_so() {
        assert!(began.now() < PATIENCE, "{what}: {}", std::fs::read_to_string(log).unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_slot_that_the_system_gives_no_thread_for_is_told_and_the_agent_goes_on_when_it_gives_them_again() {
    if std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) != 0) {
        eprintln!("skipped: a system that gives no threads: another user's limit needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(USER), Some(USER)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = |name: &str| folder.path().join(name);
    let schedule = format!(
        "[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"5s\"\n",
        listener.local_addr().unwrap()
    );
    std::fs::write(place("agent.toml"), schedule).unwrap();
    std::fs::write(place("policy.toml"), "version = 1\n").unwrap();
    let log = place("log");
    let mut command = as_user(program("netsonde").unwrap());
    command.arg("agent").arg("--config").arg(place("agent.toml"));
    command.arg("--policy").arg(place("policy.toml")).arg("--state-dir").arg(place("state"));
    command.env("HOME", folder.path()).stdin(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut agent = Running(command.spawn().unwrap());

    until("nothing is measured", &log, || measured(&place("state")) > 0);
    allow(agent.0.id(), 1);
    until("it does not say what it lacks", &log, || {
        std::fs::read_to_string(&log).unwrap().contains("the system gives no thread")
    });
    assert!(agent.0.try_wait().unwrap().is_none(), "it ended: {}", std::fs::read_to_string(&log).unwrap());
    let before = measured(&place("state"));
    allow(agent.0.id(), 1_000);
    until("it does not measure again", &log, || measured(&place("state")) > before);
    let stopped = Clock::start();
    assert!(Command::new("kill").args(["-TERM", &agent.0.id().to_string()]).status().unwrap().success());
    assert!(agent.0.wait().unwrap().success(), "{}", std::fs::read_to_string(&log).unwrap());
    assert!(stopped.now() < Duration::from_secs(10));
}
