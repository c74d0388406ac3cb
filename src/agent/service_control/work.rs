use crate::identity::Home;
use crate::state::StateDirectory;
use crate::stop::Stop;
use crate::{agent_file, service};
use std::path::Path;

/// # Errors
/// Where an agent would end at once, since neither `config` nor an enrolment in `state` gives it anything to do, and where one of them is wrong.
pub(super) fn demand(config: &Path, state: Option<&StateDirectory>) -> Result<(), Stop> {
    let is_enrolled = state.map(|state| Home::of(state).identity()).transpose()?.flatten().is_some();
    let asks = agent_file::load_if_there(config)?.is_some_and(|config| agent_file::has_work(&config));
    if is_enrolled || asks { Ok(()) } else { Err(service::nothing_to_do(config)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[test]
    fn an_agent_that_would_have_nothing_to_do_is_no_service() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("agent.toml");
        let state = StateDirectory::open(Some(&folder.path().join("state"))).unwrap();
        for state in [None, Some(&state)] {
            let stop = demand(&config, state).unwrap_err();
            assert!(stop.next.is_some_and(|next| next.contains("enroll") && next.contains("schedule template")));
        }
        write(&config, "version = 1\n").unwrap();
        assert!(demand(&config, None).is_err());
        write(&config, "[[schedule]]\nname = \"own\"\nset = \"port\"\ntargets = [\"127.0.0.1:9\"]\nevery = \"1h\"\n").unwrap();
        assert_eq!(demand(&config, None), Ok(()));
        write(&config, "[[schedule]\n").unwrap();
        assert!(demand(&config, None).unwrap_err().message.contains("agent.toml"), "what is wrong is said now");
    }
}
