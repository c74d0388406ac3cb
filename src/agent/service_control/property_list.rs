//! What launchd reads: where it is, and its text. launchd itself is macOS's alone; this is looked at everywhere.

use super::State;
use crate::stop::Stop;
use std::path::Path;

pub(super) const LABEL: &str = "org.netsonde.agent";
pub(super) const FILE: &str = "/Library/LaunchDaemons/org.netsonde.agent.plist";
/// What the agent says goes here: launchd keeps no journal.
pub(super) const LOG: &str = "/var/log/netsonde-agent.log";

/// The property list for a program at this path. Whatever the agent ends with but 0 has it started again, once a minute at most.
///
/// # Errors
/// Where the path would need quotes.
pub(super) fn text(program: &Path) -> Result<String, Stop> {
    let path = program.to_str().filter(|path| path.starts_with('/')).unwrap_or_default();
    if path.is_empty() || path.contains(['<', '>', '&', '"']) {
        return Err(Stop::usage(format!("the service cannot use the program at {}", program.display()))
            .next(super::conditions::elsewhere(program)));
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>\n\
         <key>Label</key><string>{LABEL}</string>\n\
         <key>ProgramArguments</key><array><string>{path}</string><string>agent</string><string>--log-format</string><string>json</string></array>\n\
         <key>RunAtLoad</key><true/>\n\
         <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n\
         <key>ThrottleInterval</key><integer>60</integer>\n\
         <key>StandardOutPath</key><string>{LOG}</string>\n\
         <key>StandardErrorPath</key><string>{LOG}</string>\n\
         </dict></plist>\n"
    ))
}

/// From what `launchctl print` says of the service, which is nothing where it is not loaded. Its own state stands before those of what belongs to
/// it.
pub(super) fn told(printed: Option<&str>) -> State {
    let Some(printed) = printed else { return State { runs: false, words: "not loaded".to_owned() } };
    let state = printed.lines().find_map(|line| line.trim().strip_prefix("state = ")).unwrap_or("in an unknown state");
    State { runs: state == "running", words: format!("loaded, {state}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_runs_where_launchd_says_so_and_not_where_it_is_only_loaded() {
        let of = |state: &str| {
            format!(
                "system/{LABEL} = {{\n\tactive count = 1\n\tstate = {state}\n\n\tcoalition = {{\n\t\tstate = running\n\t}}\n}}"
            )
        };
        for (printed, runs, words) in [
            (Some(of("running")), true, "loaded, running"),
            (Some(of("not running")), false, "loaded, not running"),
            (Some(of("spawn scheduled")), false, "loaded, spawn scheduled"),
            (Some(String::new()), false, "loaded, in an unknown state"),
            (None, false, "not loaded"),
        ] {
            assert_eq!(told(printed.as_deref()), State { runs, words: words.to_owned() });
        }
    }

    #[test]
    fn launchd_starts_the_agent_again_whenever_it_did_not_end_well_and_keeps_what_it_says() {
        let text = text(Path::new("/usr/local/bin/netsonde")).unwrap();
        for line in [
            "<key>Label</key><string>org.netsonde.agent</string>",
            "<array><string>/usr/local/bin/netsonde</string><string>agent</string><string>--log-format</string><string>json</string></array>",
            "<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>",
            "<key>ThrottleInterval</key><integer>60</integer>",
            "<key>StandardErrorPath</key><string>/var/log/netsonde-agent.log</string>",
            "<key>StandardOutPath</key><string>/var/log/netsonde-agent.log</string>",
        ] {
            assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
        }
        // Each element is closed, in its order.
        let mut open = Vec::new();
        for tag in text.split('<').skip(1).filter_map(|part| part.split('>').next()) {
            match tag.strip_prefix('/') {
                _ if tag.starts_with(['?', '!']) || tag.ends_with('/') => {}
                Some(closed) => assert_eq!(open.pop(), Some(closed), "{text}"),
                None => open.push(tag.split(' ').next().unwrap()),
            }
        }
        assert_eq!(open, Vec::<&str>::new());
        assert!(FILE.ends_with(&format!("/{LABEL}.plist")));
    }

    #[test]
    fn a_path_that_would_change_the_property_list_is_refused() {
        for path in ["netsonde", "/opt/<x>/netsonde", "/opt/a&b/netsonde", "/opt/\"a\"/netsonde"] {
            assert!(text(Path::new(path)).is_err(), "{path}");
        }
    }
}
