use crate::folders::{Folders, Status};
use crate::placement::{FILES, Places};
use crate::settings::{Asked, Public, Settings};
use crate::{Failure, platform, program};
use std::fs;

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
        match self {
            Self::Install => install(folders, &places).map(|()| None),
            Self::Enable => enable(folders, &places, number).map(Some),
            Self::Disable => disable(&places).map(|()| None),
            Self::Update => update(folders, &places).map(|()| None),
            Self::Uninstall => uninstall(folders, &places).map(|()| None),
        }
    }
}

fn install(folders: &Folders, places: &Places) -> Result<(), Failure> {
    places.refuse_beside_a_package()?;
    places.put_program(&folders.own)?;
    program::demand("the program does not run on this machine", &places.program, &["--version"], "")
}

fn enable(folders: &Folders, places: &Places, number: Option<u64>) -> Result<String, Failure> {
    let settings = Settings::parse(&folders.settings(number)?, platform::decrypt)?;
    places.refuse_beside_a_package()?;
    let mut said = Vec::new();
    let (public, protected) = (&settings.public, &settings.protected);
    if !places.program.exists() {
        places.put_program(&folders.own)?;
    }
    if public.agent.is_some() || public.policy.is_some() || protected.enrolment.is_some() {
        said.push(start_service(places, public, protected.enrolment.as_deref())?);
    }
    if let Some(asked) = Asked::by(&settings) {
        said.push(run_once(folders, places, number, &asked)?);
    }
    Ok(if said.is_empty() { "installed; the settings ask for nothing".to_owned() } else { said.join("; ") })
}

/// What a run came to; of one that took place already, what it came to then: a machine that restarts, and a new version of this handler,
/// do not run it again.
fn run_once(folders: &Folders, places: &Places, number: Option<u64>, asked: &Asked<'_>) -> Result<String, Failure> {
    let known = places.run(&asked.key(number));
    if let Ok(said) = fs::read_to_string(&known) {
        return Ok(said);
    }
    folders.report(number, "enable", Status::Transitioning, "measuring", 0)?;
    let said = program::run(&places.program, asked)?;
    places.note_run(&known, &said)?;
    Ok(said)
}

fn start_service(places: &Places, public: &Public, enrolment: Option<&str>) -> Result<String, Failure> {
    let texts = [public.policy.as_deref(), public.agent.as_deref()];
    for (name, text) in FILES.into_iter().zip(texts) {
        places.put(name, text)?;
    }
    for (name, text, command) in [("policy", texts[0], ["policy", "check"]), ("agent", texts[1], ["schedule", "check"])] {
        if text.is_some() {
            program::demand(&format!("the setting {name}"), &places.program, &command, "")?;
        }
    }
    if let Some(enrolment) = enrolment
        && program::call(&places.program, &["identity"], "")?.code != Some(0)
    {
        program::demand("enrolling failed", &places.program, &["enroll", "-", "--yes"], enrolment)?;
    }
    // A service that runs already goes by the settings of before.
    disable(places)?;
    program::demand("the service does not start", &places.program, &["service", "install"], "")?;
    Ok("the service runs".to_owned())
}

/// Without the program there is no service of it.
fn disable(places: &Places) -> Result<(), Failure> {
    if !places.program.exists() {
        return Ok(());
    }
    program::demand("the service cannot be ended", &places.program, &["service", "uninstall"], "")
}

/// Called of the new version, before the old one is uninstalled: what was learnt and written stays.
fn update(folders: &Folders, places: &Places) -> Result<(), Failure> {
    // A program that runs cannot be replaced.
    disable(places)?;
    places.put_program(&folders.own)?;
    places.note_follower(&version(folders)?)
}

fn uninstall(folders: &Folders, places: &Places) -> Result<(), Failure> {
    if places.is_followed(&version(folders)?) {
        return Ok(());
    }
    disable(places)?;
    places.remove_all()
}

fn version(folders: &Folders) -> Result<String, Failure> {
    let text = fs::read_to_string(folders.own.join("version")).map_err(Failure::of("reading the package's version"))?;
    Ok(text.trim().to_owned())
}
