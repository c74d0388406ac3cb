use super::Hypothesis;

/// Drops what a narrower cause says more precisely, then what follows from a fault further up. The fault keeps the codes of its
/// consequences.
pub(super) fn suppress(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    consequences(refined(hypotheses))
}

fn refined(hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    let says_more = |narrow: &Hypothesis, broad: &Hypothesis| {
        narrow.rule.refines.contains(&broad.rule.code)
            && narrow.candidate.evidence.iter().any(|id| broad.candidate.evidence.contains(id))
    };
    let stands = |broad: &&Hypothesis| !hypotheses.iter().any(|narrow| says_more(narrow, broad));
    hypotheses.iter().filter(stands).cloned().collect()
}

fn consequences(mut hypotheses: Vec<Hypothesis>) -> Vec<Hypothesis> {
    hypotheses.sort_by_key(|hypothesis| hypothesis.rule.layer());
    let mut standing: Vec<Hypothesis> = Vec::new();
    for hypothesis in hypotheses {
        match standing.iter_mut().find(|upstream| explains(upstream, &hypothesis)) {
            Some(upstream) => {
                let code = hypothesis.rule.code.to_owned();
                if !upstream.suppressed.contains(&code) {
                    upstream.suppressed.push(code);
                }
            }
            None => standing.push(hypothesis),
        }
    }
    standing
}

/// Nothing gets through at `upstream`'s spots, and `downstream` lies wholly within them, in a later layer.
fn explains(upstream: &Hypothesis, downstream: &Hypothesis) -> bool {
    let within = |spot| upstream.candidate.about.iter().any(|outer| outer.contains(spot));
    upstream.candidate.stops
        && upstream.rule.layer() < downstream.rule.layer()
        && !downstream.candidate.about.is_empty()
        && downstream.candidate.about.iter().all(within)
}
