//! The other run that a diagnosis was held against, in words that every report shares.

use crate::{units, words};
use netsonde_contract::control::{Control, ControlEffect, ControlRelation, ControlSays, Difference};
use netsonde_contract::id::ObservationId;

/// Who the control is and how much both runs looked at.
pub(crate) fn head(control: &Control) -> String {
    let who = match control.relation {
        ControlRelation::SameMachine => "the same machine".to_owned(),
        ControlRelation::Unsure => format!("{}, which may be the same machine,", control.machine),
        ControlRelation::OtherMachine => control.machine.clone(),
    };
    format!(
        "Held against the run of {who} that began at {} (bundle {}): {} looked at by both, {}.",
        units::moment(control.began),
        control.bundle.short(),
        units::counted(control.compared as usize, "thing", "things"),
        match control.differences.len() {
            0 => "none of those seen differently".to_owned(),
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
    let ruled_out: Vec<&str> = says.rejects.iter().map(|rejected| rejected.cause.as_str()).collect();
    let ruled_out = if ruled_out.is_empty() { String::new() } else { format!(" It rules out {}.", ruled_out.join(", ")) };
    format!("{}{ruled_out} ({effect}; {})", says.text, evidence(says.bundle.short(), &says.evidence))
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

#[cfg(test)]
mod tests {
    use crate::text::{Depth, Style, render};
    use crate::{html, markdown, sample};
    use serde_json::json;

    #[test]
    fn every_report_shows_the_control_and_none_lets_its_words_steer() {
        let mut run = sample::refused();
        let bundle = "c0".repeat(32);
        run["control"] = json!({
            "bundle": bundle, "run": "other", "machine": "jump-host", "began": "2026-05-15T12:00:00Z",
            "relation": "other_machine", "compared": 3,
            "differences": [{
                "about": "reach", "subject": "192.0.2.1:443", "here": "refused", "there": "connects <b>\u{1b}[31m",
                "evidence": ["connect/1"], "control_evidence": ["connect/7"],
            }],
        });
        run["findings"][0]["control"] = json!({
            "bundle": bundle, "effect": "lowered", "confidence_alone": 0.85, "text": "jump-host connects.", "evidence": ["connect/7"],
        });
        let document = sample::document(run);
        let style = Style { colour: false, width: 100, depth: Depth { detail: false, explain: true } };
        for report in [render(&document, style), markdown::render(&document), html::page(&document)] {
            for words in ["Against the control", "jump-host", "1 seen differently", "connection of 192.0.2.1:443", "connect/7"] {
                assert!(report.contains(words), "{words}: {report}");
            }
            assert!(report.contains("speaks against it") && !report.contains('\u{1b}'), "{report}");
        }
        assert!(!html::page(&document).contains("connects <b>"));
    }
}
