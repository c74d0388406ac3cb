use crate::layer::Layer;
use netsonde_contract::finding::Finding;

/// The most severe first, then the one furthest up, then the surest. What is equal keeps the order of targets and rules.
pub(super) fn rank(findings: &mut [Finding]) {
    findings.sort_by(|left, right| {
        let severity = right.severity.cmp(&left.severity);
        let layer = || Layer::of(&left.cause).cmp(&Layer::of(&right.cause));
        let confidence = || right.confidence.total_cmp(&left.confidence);
        severity.then_with(layer).then_with(confidence)
    });
}
