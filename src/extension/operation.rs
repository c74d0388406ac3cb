use crate::folders::{Folders, Status};
use crate::placement::{FILES, Places};
use crate::program::{self, Netsonde};
use crate::settings::{Asked, Public, Settings};
use crate::telling::{self, telling};
use crate::{Failure, platform};
use std::fs;
use std::time::Duration;

/// What the guest agent asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Install,
    Enable,
    Disable,
    Update,
    Uninstall,
}

impl Operation {
    const ALL: [Self; 5] = [Self::Install, Self::Enable, Self::Disable, Self::Update, Self::Uninstall];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Update => "update",
            Self::Uninstall => "uninstall",
        }
    }

    /// Carries it out. What is returned is for the log, and of enabling for the portal.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub(crate) fn carry_out(self, folders: &Folders, number: Option<u64>) -> Result<Option<String>, Failure> {
        let places = Places::of_this_machine();
        let netsonde = &places.program;
        match self {
            Self::Install => install(folders, &places, netsonde).map(|()| None),
            Self::Enable => enable_telling(folders, &places, netsonde, number).map(Some),
            Self::Disable => disable(&places, netsonde).map(|()| None),
            Self::Update => update(folders, &places, netsonde).map(|()| None),
            Self::Uninstall => uninstall(&places, netsonde).map(|()| None),
        }
    }
}

fn install(folders: &Folders, places: &Places, netsonde: &dyn Netsonde) -> Result<(), Failure> {
    places.refuse_beside_a_package()?;
    places.put_program(&folders.own)?;
    let unsupported = |why: &str| Failure::Unsupported(format!("the program does not run on this machine: {why}"));
    match netsonde.call(&["--version"], "") {
        Ok(said) if said.code == Some(0) => Ok(()),
        Ok(said) => Err(unsupported(&said.errors)),
        Err(failure) => Err(unsupported(failure.words())),
    }
}

/// Enables, and has the portal show that it goes on.
fn enable_telling(folders: &Folders, places: &Places, netsonde: &dyn Netsonde, number: Option<u64>) -> Result<String, Failure> {
    let tell = |passed: Duration| {
        // A status that cannot be written now may be the next time.
        if let Err(failure) =
            folders.report(number, "enable", Status::Transitioning, &format!("at work for {} s", passed.as_secs()), 0)
        {
            folders.log(failure.words());
        }
    };
    telling(telling::EVERY, tell, || enable(folders, places, netsonde, number))
}

fn enable(folders: &Folders, places: &Places, netsonde: &dyn Netsonde, number: Option<u64>) -> Result<String, Failure> {
    let settings = Settings::parse(&folders.settings(number)?, platform::decrypt)?;
    let mut said = Vec::new();
    let service = settings.ask_for_the_service();
    // A package that came later does not keep a policy that is no longer asked for.
    if !service && end_service(places, netsonde)? {
        said.push("the service that earlier settings asked for is ended, and its files are taken away".to_owned());
    }
    places.refuse_beside_a_package()?;
    if !places.program.exists() {
        places.put_program(&folders.own)?;
    }
    // What is enabled is followed by none.
    places.was_followed();
    if service {
        said.push(start_service(places, netsonde, &settings.public, settings.protected.enrolment.as_deref())?);
    }
    if let Some(asked) = Asked::by(&settings) {
        said.push(run_once(places, netsonde, number, &asked)?);
    }
    Ok(if said.is_empty() { "installed; the settings ask for nothing".to_owned() } else { said.join("; ") })
}

/// What a run came to; of one that took place already, what it came to then: a machine that restarts, and a new version of this handler,
/// do not run it again.
fn run_once(places: &Places, netsonde: &dyn Netsonde, number: Option<u64>, asked: &Asked<'_>) -> Result<String, Failure> {
    let known = places.run(&asked.key(number));
    if let Ok(said) = fs::read_to_string(&known) {
        return Ok(said);
    }
    let said = program::run(netsonde, asked)?;
    places.note_run(&known, &said)?;
    Ok(said)
}

/// What the settings no longer ask for; the agent's key and what it learnt stay. Says whether there was anything.
fn end_service(places: &Places, netsonde: &dyn Netsonde) -> Result<bool, Failure> {
    // The policy first: what runs on has none then.
    let files = places.take_away_files()?;
    let served = places.serves();
    disable(places, netsonde)?;
    Ok(files || served)
}

fn start_service(places: &Places, netsonde: &dyn Netsonde, public: &Public, enrolment: Option<&str>) -> Result<String, Failure> {
    // 0 is a service that runs, 3 one that is there and does not.
    if !places.serves() && matches!(netsonde.call(&["service", "status"], "")?.code, Some(0 | 3)) {
        return Err(Failure::Failed(
            "a service of netsonde was set up at the machine, which is left alone; remove it (netsonde service uninstall) or the extension".to_owned(),
        ));
    }
    let texts = [public.policy.as_deref(), public.agent.as_deref()];
    for (name, text) in FILES.into_iter().zip(texts) {
        places.put(name, text)?;
    }
    for (name, text, command) in [("policy", texts[0], ["policy", "check"]), ("agent", texts[1], ["schedule", "check"])] {
        if text.is_some() {
            netsonde.demand(&format!("the setting {name}"), &command, "")?;
        }
    }
    if let Some(enrolment) = enrolment
        && netsonde.call(&["identity"], "")?.code != Some(0)
    {
        netsonde.demand("enrolling failed", &["enroll", "-", "--yes"], enrolment)?;
    }
    // A service that runs already goes by the settings of before.
    disable(places, netsonde)?;
    places.note_service()?;
    let said = netsonde.call(&["service", "install", "--even-idle"], "")?;
    if said.code != Some(0) {
        return Err(Failure::Failed(format!("the service does not start: {}", said.errors)));
    }
    Ok("the service runs".to_owned())
}

/// Whoever set up a service at the machine keeps it. Without the program there is none of this handler's.
fn disable(places: &Places, netsonde: &dyn Netsonde) -> Result<(), Failure> {
    if places.serves() && places.program.exists() {
        let said = netsonde.call(&["service", "uninstall"], "")?;
        if said.code != Some(0) {
            return Err(Failure::Failed(format!("the service cannot be ended: {}", said.errors)));
        }
        // What is taken from the list of services may still be at work.
        let said = netsonde.call(&["service", "status"], "")?.errors;
        if said.contains(": running") || said.contains(": stopping") {
            return Err(Failure::Failed(
                "the service was told to end and still runs; end netsonde.exe, then enable the extension again".to_owned(),
            ));
        }
    }
    places.forget_service()
}

/// Called before the old version is uninstalled, of the higher of the two, which is the old one where a lower one takes its place: what was
/// learnt and written stays.
fn update(folders: &Folders, places: &Places, netsonde: &dyn Netsonde) -> Result<(), Failure> {
    // A program that runs cannot be replaced.
    disable(places, netsonde)?;
    places.put_program(&folders.own)?;
    places.note_follower()
}

fn uninstall(places: &Places, netsonde: &dyn Netsonde) -> Result<(), Failure> {
    disable(places, netsonde)?;
    if places.was_followed() {
        return Ok(());
    }
    places.remove_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::tests::machine;
    use crate::program::Said;
    use std::cell::{Cell, RefCell};
    use std::path::PathBuf;

    /// netsonde, and the system's list of services.
    #[derive(Default)]
    struct Fake {
        serves: Cell<bool>,
        /// The service is there and does not run.
        stopped: Cell<bool>,
        never_ends: Cell<bool>,
        /// That it does not end, by its exit code.
        says_so: Cell<bool>,
        /// What fails, by the first word that it is called with, and its exit code.
        fails: Cell<Option<(&'static str, i32)>>,
        runs: Cell<u32>,
        /// What the status file said while it measured.
        told: RefCell<String>,
        status: PathBuf,
    }

    impl Netsonde for Fake {
        fn call(&self, arguments: &[&str], _input: &str) -> Result<Said, Failure> {
            let (mut code, mut output, mut errors) = (0, "", "");
            match arguments {
                [first, ..] if self.fails.get().is_some_and(|(which, _)| which == *first) => {
                    (code, errors) = (self.fails.get().map_or(0, |(_, code)| code), "netsonde: why");
                }
                ["identity"] => code = 2,
                ["service", "install", "--even-idle"] => self.serves.set(true),
                ["service", "uninstall"] => {
                    self.serves.set(self.never_ends.get());
                    if self.never_ends.get() && self.says_so.get() {
                        (code, errors) = (2, "netsonde: netsonde-agent was told to end and still runs after 20 s");
                    }
                }
                ["service", "status"] => {
                    (code, errors) = match (self.serves.get(), self.stopped.get()) {
                        (false, _) => (1, ""),
                        (true, false) => (0, "netsonde: netsonde-agent: running"),
                        (true, true) => (3, "netsonde: netsonde-agent: stopped"),
                    };
                }
                ["run", ..] => {
                    self.runs.set(self.runs.get() + 1);
                    self.told.replace(fs::read_to_string(&self.status).unwrap_or_default());
                    output = r#"{"state":"as_expected","findings":[],"unexplained":[],"not_measured":[],"bundle":{"path":"b"}}"#;
                }
                _ => {}
            }
            Ok(Said { code: Some(code), output: output.into(), errors: errors.to_owned() })
        }
    }

    struct Vm {
        top: tempfile::TempDir,
        folders: Folders,
        places: Places,
        netsonde: Fake,
    }

    impl Vm {
        fn new() -> Self {
            let (top, places) = machine();
            let netsonde = Fake { status: top.path().join("0.status"), ..Fake::default() };
            let vm = Self { folders: Folders::of(top.path().join("own"), top.path()), netsonde, top, places };
            install(&vm.folders, &vm.places, &vm.netsonde).unwrap();
            vm
        }

        fn enable(&self, number: u64, public: &str) -> Result<String, Failure> {
            let text = format!(r#"{{"runtimeSettings":[{{"handlerSettings":{{"publicSettings":{public}}}}}]}}"#);
            fs::write(self.file(&format!("{number}.settings")), text).unwrap();
            enable(&self.folders, &self.places, &self.netsonde, Some(number))
        }

        fn file(&self, path: &str) -> PathBuf {
            self.top.path().join(path)
        }

        fn has(&self, path: &str) -> bool {
            self.file(path).exists()
        }
    }

    #[test]
    fn while_a_run_measures_the_status_says_that_it_goes_on() {
        let vm = Vm::new();
        fs::write(vm.file("0.settings"), r#"{"handlerSettings":{"publicSettings":{"run":{}}}}"#).unwrap();
        enable_telling(&vm.folders, &vm.places, &vm.netsonde, Some(0)).unwrap();
        let told = vm.netsonde.told.borrow();
        assert!(told.contains(r#""status":"transitioning""#) && told.contains("at work for 0 s"), "{told}");
    }

    #[test]
    fn the_code_blames_the_machine_the_settings_or_neither() {
        let vm = Vm::new();
        let enrolling = r#"{"handlerSettings":{"protectedSettings":{"enrolment":"nse1_"}}}"#;
        fs::write(vm.file("0.settings"), enrolling).unwrap();
        let enabled = || enable(&vm.folders, &vm.places, &vm.netsonde, Some(0)).map(|_| ());
        for (which, exit, wanted) in [("enroll", 2, 53), ("enroll", 6, 1), ("--version", 1, 51)] {
            vm.netsonde.fails.set(Some((which, exit)));
            let done = if which == "enroll" { enabled() } else { install(&vm.folders, &vm.places, &vm.netsonde) };
            let failure = done.unwrap_err();
            assert!(failure.code() == wanted && failure.words().ends_with(": netsonde: why"), "{which} {exit}: {failure:?}");
        }
        assert!(!vm.netsonde.serves.get());
        vm.netsonde.fails.set(None);
        enabled().unwrap();
        assert!(vm.netsonde.serves.get());
    }

    #[test]
    fn settings_that_no_longer_ask_for_the_service_end_it() {
        let vm = Vm::new();
        let both = r#"{"agent":"version = 1\n","policy":"version = 1\n"}"#;
        for (number, settings) in [(1, "{}"), (2, r#"{"run":{}}"#)] {
            assert_eq!(vm.enable(0, both).unwrap(), "the service runs");
            assert!(vm.netsonde.serves.get() && vm.has("data/netsonde/policy.toml") && vm.has("data/netsonde/agent.toml"));
            assert!(vm.enable(number, settings).unwrap().starts_with("the service that earlier settings asked for is ended"));
            assert!(!vm.netsonde.serves.get() && !vm.has("data/netsonde/policy.toml") && !vm.has("data/netsonde/agent.toml"));
        }
        assert_eq!(vm.enable(3, "{}").unwrap(), "installed; the settings ask for nothing");
        // A package that was installed since does not keep the policy.
        vm.enable(0, both).unwrap();
        fs::create_dir_all(vm.file("programs/netsonde")).unwrap();
        fs::write(vm.file("programs/netsonde/netsonde.exe"), "").unwrap();
        assert!(matches!(vm.enable(4, "{}"), Err(Failure::Failed(_))));
        assert!(!vm.has("data/netsonde/policy.toml"));
    }

    #[test]
    fn a_service_that_does_not_end_is_no_success_and_is_ended_the_next_time() {
        let vm = Vm::new();
        vm.enable(0, r#"{"policy":"version = 1\n"}"#).unwrap();
        vm.netsonde.never_ends.set(true);
        for attempt in [vm.enable(1, "{}").map(|_| ()), disable(&vm.places, &vm.netsonde), uninstall(&vm.places, &vm.netsonde)] {
            assert!(attempt.unwrap_err().words().contains("still runs"));
        }
        vm.netsonde.says_so.set(true);
        assert!(matches!(disable(&vm.places, &vm.netsonde), Err(Failure::Failed(words)) if words.contains("still runs after")));
        assert!(!vm.has("data/netsonde/policy.toml"), "what runs on still has a policy");
        vm.netsonde.never_ends.set(false);
        assert!(vm.enable(1, "{}").unwrap().contains("is ended") && !vm.netsonde.serves.get());
    }

    #[test]
    fn a_service_and_files_that_somebody_set_up_at_the_machine_are_left_alone() {
        let vm = Vm::new();
        fs::create_dir_all(vm.file("data/netsonde")).unwrap();
        fs::write(vm.file("data/netsonde/policy.toml"), "version = 1\n").unwrap();
        vm.netsonde.serves.set(true);
        assert_eq!(vm.enable(0, "{}").unwrap(), "installed; the settings ask for nothing");
        for stopped in [false, true] {
            vm.netsonde.stopped.set(stopped);
            let refused = vm.enable(1, r#"{"agent":"version = 1\n"}"#).unwrap_err();
            assert!(refused.words().contains("was set up at the machine"), "{refused:?}");
        }
        disable(&vm.places, &vm.netsonde).unwrap();
        uninstall(&vm.places, &vm.netsonde).unwrap();
        assert!(vm.netsonde.serves.get() && vm.has("data/netsonde/policy.toml"));
    }

    #[test]
    fn another_version_loses_nothing_whether_it_is_higher_or_lower() {
        let vm = Vm::new();
        let (lower, places, netsonde) = (&vm.folders, &vm.places, &vm.netsonde);
        let higher = &Folders::of(vm.file("higher"), vm.top.path());
        fs::create_dir_all(vm.file("higher/bin")).unwrap();
        fs::write(vm.file("higher/bin/netsonde.exe"), "").unwrap();
        for (package, version) in [("own", "0.0.1\n"), ("higher", "0.0.2\n")] {
            fs::write(vm.file(package).join("version"), version).unwrap();
        }
        vm.enable(0, r#"{"run":{},"policy":"version = 1\n"}"#).unwrap();
        fs::create_dir_all(vm.file("data/netsonde/state")).unwrap();
        fs::write(vm.file("data/netsonde/state/key"), "").unwrap();
        // `update` is of the higher one, whichever way it goes.
        for new in [higher, lower] {
            disable(places, netsonde).unwrap();
            update(higher, places, netsonde).unwrap();
            uninstall(places, netsonde).unwrap();
            install(new, places, netsonde).unwrap();
            enable(new, places, netsonde, Some(0)).unwrap();
            assert!(netsonde.serves.get() && vm.has("data/netsonde/state/key"));
            assert_eq!(netsonde.runs.get(), 1, "what was run is run again");
        }
        // What is enabled is followed by none.
        update(higher, places, netsonde).unwrap();
        enable(higher, places, netsonde, Some(0)).unwrap();
        uninstall(places, netsonde).unwrap();
        assert!(!vm.has("data/netsonde") && !vm.has("programs/netsonde-extension") && !netsonde.serves.get());
    }
}
