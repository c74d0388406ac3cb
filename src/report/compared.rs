//! The other run that a diagnosis was held against, in words that every report shares.

use crate::{units, words};
use netsonde_contract::control::{Control, ControlEffect, ControlRelation, ControlSays, Difference};
use netsonde_contract::id::ObservationId;

/// Who the control is and how much both runs looked at.
pub(crate) fn head(control: &Control) -> String {
    let who = match control.relation {
        ControlRelation::SameMachine => "the same machine".to_owned(),
        ControlRelation::OtherMachine => control.machine.clone(),
    };
    format!(
        "Held against the run of {who} that began at {} (bundle {}): {} looked at by both, {}.",
        units::moment(control.began),
        control.bundle.short(),
        units::counted(control.compared as usize, "thing", "things"),
        match control.differences.len() {
            0 => "none seen differently".to_owned(),
            number => format!("{number} seen differently"),
        }
    )
}

/// `connection of 192.0.2.1:443`.
pub(crate) fn subject(difference: &Difference) -> String {
    format!("{} of {}", difference.about.words(), difference.subject)
}

/// What the control says of a finding, in one paragraph.
pub(crate) fn says(says: &ControlSays) -> String {
    let alone = words::confidence(says.confidence_alone);
    let effect = match says.effect {
        ControlEffect::Raised => format!("without it: {alone}"),
        ControlEffect::Lowered => format!("speaks against it; without it: {alone}"),
        ControlEffect::Found => "found only with it".to_owned(),
        ControlEffect::Unchanged => "changes nothing".to_owned(),
    };
    format!("{} ({effect}; {})", says.text, evidence(says.bundle.short(), &says.evidence))
}

/// Ids of an observation mean something only with their bundle.
pub(crate) fn evidence(bundle: &str, ids: &[ObservationId]) -> String {
    /// The bundle has them all; so many lead there.
    const SHOWN: usize = 4;
    let shown: Vec<&str> = ids.iter().take(SHOWN).map(ObservationId::as_str).collect();
    let more = ids.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("bundle {bundle}: {}{more}", shown.join(", "))
}
