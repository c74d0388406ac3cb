//! What this process may see on this machine.

use crate::context::NotMeasurable;
use crate::{host, platform};
use netsonde_contract::capability::{Grantor, Rights, Sight, System};
use netsonde_contract::outcome::Note;

/// The rights of this process, asked of the system anew each time: they may be given while a service runs.
pub fn rights() -> Rights {
    Rights {
        ping_sockets: platform::ping_sockets(),
        raw_sockets: platform::raw_sockets(),
        packet_filter: platform::packet_filter(),
        other_processes: platform::other_processes(),
        low_ports: platform::low_ports() || host::opens_low_ports(),
        administrator: platform::elevated(),
        grantor: grantor(),
    }
}

fn grantor() -> Grantor {
    if host::is_in_container() {
        Grantor::Container
    } else if platform::is_kept_from_rights() {
        Grantor::Starter
    } else {
        Grantor::Person
    }
}

/// # Errors
/// Where it is not seen here by this process: why, and what grants it.
pub(crate) fn require(sight: &Sight) -> Result<(), NotMeasurable> {
    sight.missing(System::here(), rights()).map_or(Ok(()), |note| Err(NotMeasurable(note)))
}

/// Why it is not seen, where the system has said so itself.
pub(crate) fn denied(sight: &Sight) -> Note {
    let refused = || Note { why: format!("the system does not allow {}", sight.what), grant: None };
    sight.missing(System::here(), Rights { grantor: grantor(), ..Rights::NONE }).unwrap_or_else(refused)
}
