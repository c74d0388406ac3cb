//! What no code of this program reads on systems other than Linux.

use super::host::ClockState;
use netsonde_contract::observation::Firewall;
use netsonde_contract::outcome::Note;

pub(crate) fn firewall() -> Firewall {
    let why = format!("the packet filter of {} cannot be read by this version", std::env::consts::OS);
    Firewall { unread: Some(Note { why, grant: None }), ..Firewall::default() }
}

pub(crate) fn clock_state() -> Option<ClockState> {
    None
}
