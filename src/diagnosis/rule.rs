use crate::candidate::Candidate;
use crate::evidence::Evidence;
use crate::layer::Layer;
use netsonde_contract::cause;

/// One cause, and how it is recognised.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The code of the closed list that its findings carry.
    pub code: &'static str,
    /// The causes that look alike and that it must be told from.
    pub neighbours: &'static [&'static str],
    /// Broader causes that it says more precisely: where both are found on the same evidence, only this one is reported.
    pub refines: &'static [&'static str],
    /// The measurement that settles it where neighbours remain possible.
    pub settled_by: Option<&'static str>,
    /// The highest confidence that it may claim without raw sockets.
    pub unprivileged_cap: f64,
    /// Looks at the evidence of one target. Several candidates are several places with the same cause.
    pub(crate) evaluate: fn(&Evidence<'_>) -> Vec<Candidate>,
}

impl Rule {
    /// What most rules state: nothing refined, nothing left to settle, and nothing that a privilege would add.
    pub(crate) const fn new(
        code: &'static str,
        neighbours: &'static [&'static str],
        evaluate: fn(&Evidence<'_>) -> Vec<Candidate>,
    ) -> Self {
        Self { code, neighbours, refines: &[], settled_by: None, unprivileged_cap: 1.0, evaluate }
    }

    /// `host`, `dns`, `path`, `tcp`, `tls`, `http`, `cloud` or `service`.
    pub fn area(&self) -> &'static str {
        cause::area(self.code)
    }

    pub fn layer(&self) -> Layer {
        Layer::of(self.code)
    }
}
