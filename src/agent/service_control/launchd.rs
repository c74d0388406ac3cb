//! The service under launchd. It is type-checked only: no test of this project runs it.

use super::manager::ask;
use crate::stop::Stop;
use std::path::Path;

const LABEL: &str = "org.netsonde.agent";
const PROPERTY_LIST: &str = "/Library/LaunchDaemons/org.netsonde.agent.plist";
const DOMAIN: &str = "system";
const SERVICE: &str = "system/org.netsonde.agent";

/// # Errors
/// Without root's rights, and where launchd says no.
pub(crate) fn install(program: &Path) -> Result<Vec<String>, Stop> {
    ready()?;
    let text = property_list(program)?;
    std::fs::write(PROPERTY_LIST, text).map_err(|error| Stop::usage(format!("{PROPERTY_LIST} cannot be written: {error}")))?;
    ask("launchctl", &["bootstrap", DOMAIN, PROPERTY_LIST])?;
    Ok(vec![format!("wrote {PROPERTY_LIST}"), format!("{LABEL} runs, and starts with the system")])
}

/// # Errors
/// Without root's rights, and where launchd says no.
pub(crate) fn uninstall() -> Result<Vec<String>, Stop> {
    if state()?.is_none() {
        return Ok(Vec::new());
    }
    ready()?;
    // It fails where the service is not loaded, and then there is nothing to end.
    let _ = ask("launchctl", &["bootout", SERVICE]);
    std::fs::remove_file(PROPERTY_LIST).map_err(|error| Stop::usage(format!("{PROPERTY_LIST} cannot be removed: {error}")))?;
    Ok(vec![format!("{LABEL} is ended"), format!("removed {PROPERTY_LIST}")])
}

/// # Errors
/// None here.
pub(crate) fn state() -> Result<Option<String>, Stop> {
    if !Path::new(PROPERTY_LIST).exists() {
        return Ok(None);
    }
    let loaded = ask("launchctl", &["print", SERVICE]).is_ok();
    Ok(Some(if loaded { "loaded" } else { "not loaded" }.to_owned()))
}

fn ready() -> Result<(), Stop> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Stop::usage("services are root's to install and to remove").next("run the same command with sudo"))
}

fn property_list(program: &Path) -> Result<String, Stop> {
    let path = program.to_str().filter(|path| path.starts_with('/')).unwrap_or_default();
    if path.is_empty() || path.contains(['<', '>', '&', '"']) {
        return Err(Stop::usage(format!("the service cannot use the program at {}", program.display()))
            .next("sudo install netsonde /usr/local/bin/ && sudo /usr/local/bin/netsonde service install"));
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>\n\
         <key>Label</key><string>{LABEL}</string>\n\
         <key>ProgramArguments</key><array><string>{path}</string><string>agent</string><string>--log-format</string><string>json</string></array>\n\
         <key>RunAtLoad</key><true/>\n\
         <key>KeepAlive</key><dict><key>Crashed</key><true/></dict>\n\
         <key>ThrottleInterval</key><integer>10</integer>\n\
         </dict></plist>\n"
    ))
}
