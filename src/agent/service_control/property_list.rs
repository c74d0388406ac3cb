//! What launchd reads: where it is, and its text. launchd itself is macOS's alone; this is looked at everywhere.

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

#[cfg(test)]
mod tests {
    use super::*;

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
