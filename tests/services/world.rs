use netsonde_contract::document::Document;
use netsonde_contract::observation::{Fact, Service};
use netsonde_tests::programs::program;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a program may take until it listens: databases set themselves up first.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A network namespace with a loopback, a folder and the programs that run in it; all are gone when it is dropped.
pub(super) struct World {
    pub(super) name: String,
    pub(super) folder: tempfile::TempDir,
    processes: Vec<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Each is a group of its own, with the workers that it started.
            let group = nix::unistd::Pid::from_raw(i32::try_from(process.id()).unwrap());
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            let _ = process.wait();
        }
        // Some programs leave their group: whoever is still in the namespace is theirs.
        let left = Command::new("ip").args(["netns", "pids", &self.name]).output().unwrap();
        for pid in String::from_utf8_lossy(&left.stdout).split_whitespace() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

impl World {
    /// None, and a line that says so, where a right or a program is missing; for continuous integration that is a failure.
    pub(super) fn with(programs: &[&str]) -> Option<Self> {
        let missing = programs.iter().find(|path| !Path::new(path).is_file());
        let root = nix::unistd::geteuid().is_root();
        let netns = Command::new("ip").args(["netns", "list"]).output().is_ok_and(|output| output.status.success());
        if !root || !netns || missing.is_some() {
            let why = missing.map_or("root and iproute2 are needed".to_owned(), |path| format!("{path} is not installed"));
            assert!(std::env::var_os("CI").is_none(), "{why}");
            eprintln!("skipped: services against {programs:?}: {why}");
            return None;
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("nss{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let world = Self { name, folder, processes: Vec::new() };
        world.shell(&format!("ip netns add {0}; ip -n {0} link set lo up", world.name));
        Some(world)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.path(name)
    }

    /// Runs commands in the folder, outside the namespace.
    pub(super) fn shell(&self, commands: &str) {
        let output = Command::new("sh").args(["-e", "-c", commands]).current_dir(self.folder.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{commands}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A key and a certificate of this folder's own authority, for 127.0.0.1.
    pub(super) fn certificate(&self) {
        self.shell(
            r#"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj "/CN=Test Authority" 2>/dev/null
               openssl req -newkey rsa:2048 -nodes -keyout key.pem -out leaf.csr -subj "/CN=service.test" 2>/dev/null
               printf 'subjectAltName=IP:127.0.0.1' > leaf.ext
               openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile leaf.ext -out leaf.pem 2>/dev/null
               chmod 644 leaf.pem ca.pem; chmod 600 key.pem"#,
        );
    }

    /// Starts a shell line in the namespace, in private mounts, as the leader of a group of its own.
    pub(super) fn start(&mut self, line: &str) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "sh", "-e", "-c", line]).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        self.processes.push(command.spawn().unwrap());
    }

    /// Starts and waits until something listens on the TCP port.
    pub(super) fn serve(&mut self, line: &str, port: u16) {
        self.start(line);
        let ready = format!(":{port} ");
        self.wait_for(&ready, |world| {
            let output = Command::new("ip").args(["netns", "exec", &world.name, "ss", "-Hltun"]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains(&ready)
        });
    }

    /// Keeps a connection to a service that has room for one, from when its answer begins with `answer`. A client before it may still
    /// have the place, so that it is tried again until it is had.
    pub(super) fn occupy(&mut self, port: u16, question: &str, answer: &str) {
        let script = format!(
            "until exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{question}' >&3 && read -r -t 2 line <&3 && [[ $line == {answer}* ]]; do sleep 0.1; done; touch occupied; exec sleep 60"
        );
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "bash", "-c", &script]).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.processes.push(command.spawn().unwrap());
        self.wait_for("a place at the service", |world| Path::new(&world.path("occupied")).exists());
    }

    pub(super) fn wait_for(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let pause = Duration::from_millis(50);
        for _ in 0..STARTS_WITHIN.as_millis() / pause.as_millis() {
            if is_there(self) {
                return;
            }
            std::thread::sleep(pause);
        }
        panic!("{what} did not come: {}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
    }

    fn netsonde(&self, arguments: &[&str]) -> Document {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program("netsonde").unwrap()).args(arguments);
        let output = command.args(["--format", "json", "--redact", "none"]).current_dir(self.folder.path()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// What netsonde records in the namespace.
    pub(super) fn probe(&self, arguments: &[&str]) -> Vec<Fact> {
        let document = self.netsonde(&[&["probe"], arguments].concat());
        document.outcomes.into_iter().flat_map(|outcome| outcome.observations).map(|observation| observation.fact).collect()
    }

    /// Runs a set in the namespace, which trusts the folder's own authority. Nothing is sent anywhere.
    pub(super) fn run(&self, set: &str, target: &str, parameters: &[&str]) -> Document {
        let mut arguments = vec!["run", set, "--target", target, "--trust", "ca.pem", "--no-upload", "--state-dir", "state"];
        arguments.extend(parameters.iter().flat_map(|parameter| ["--param", parameter]));
        self.netsonde(&arguments)
    }

    /// What the service on the loopback says of itself.
    pub(super) fn ask(&self, protocol: &str, port: u16) -> Service {
        let facts = self.probe(&["service", "127.0.0.1", protocol, &port.to_string()]);
        let Some(Fact::Service(service)) = facts.into_iter().next() else { panic!("no fact of the service") };
        *service
    }
}
