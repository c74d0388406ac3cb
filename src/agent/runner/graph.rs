//! Which check may begin, which is to be skipped, and when all is done. Pure: it is told what became of a check and says what follows.

use netsonde_contract::outcome::{Note, Status};
use netsonde_contract::set::{Condition, PlannedCheck};
use std::collections::HashMap;

/// What is to be done about a check. Numbers are places in the plan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Begin(usize),
    Skip(usize, Note),
}

/// The checks of a plan and how far each has come.
pub(crate) struct Graph<'a> {
    checks: &'a [PlannedCheck],
    places: HashMap<&'a str, usize>,
    stages: Vec<Stage>,
    /// Checks that have given what others need of them, whether or not they have ended.
    enough: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Begun,
    Done(Status),
    /// Skipped because it was not meant to run; whoever needs it may go on without it.
    NotApplicable,
}

enum Verdict {
    Wait,
    Begin,
    Skip(Stage, String),
}

impl<'a> Graph<'a> {
    pub(crate) fn new(checks: &'a [PlannedCheck]) -> Self {
        let places = checks.iter().enumerate().map(|(place, check)| (check.id.as_str(), place)).collect();
        Self { checks, places, stages: vec![Stage::Waiting; checks.len()], enough: vec![false; checks.len()] }
    }

    /// What can be done now, `at_most` beginnings of it. Each step is given once.
    pub(crate) fn steps(&mut self, at_most: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut begun = 0;
        // A check comes after those that it waits for, so one pass also carries a skip on to those that need it.
        for place in 0..self.checks.len() {
            if self.stages[place] != Stage::Waiting {
                continue;
            }
            match self.verdict(place) {
                Verdict::Wait => {}
                Verdict::Begin if begun == at_most => {}
                Verdict::Begin => {
                    begun += 1;
                    self.stages[place] = Stage::Begun;
                    steps.push(Step::Begin(place));
                }
                Verdict::Skip(stage, why) => {
                    self.stages[place] = stage;
                    steps.push(Step::Skip(place, Note { why, grant: None }));
                }
            }
        }
        steps
    }

    pub(crate) fn finished(&mut self, place: usize, status: Status) {
        self.stages[place] = Stage::Done(status);
    }

    /// The check has given what others need of it. Those may go on, however it ends.
    pub(crate) fn has_enough(&mut self, place: usize) {
        self.enough[place] = true;
    }

    /// The checks that never began: what is left when the run is cut short.
    pub(crate) fn left(&self) -> Vec<usize> {
        (0..self.checks.len()).filter(|place| self.stages[*place] == Stage::Waiting).collect()
    }

    fn verdict(&self, place: usize) -> Verdict {
        let check = &self.checks[place];
        let mut waits = false;
        for need in &check.needs {
            match self.stage(need.as_str()) {
                _ if self.gave_enough(need.as_str()) => {}
                Stage::Waiting | Stage::Begun => waits = true,
                Stage::NotApplicable | Stage::Done(Status::Succeeded) => {}
                Stage::Done(status) => {
                    return Verdict::Skip(Stage::Done(Status::Skipped), format!("it needs `{need}`, which {}", words(status)));
                }
            }
        }
        for (condition, others) in &check.when {
            let stages: Vec<Stage> = others.iter().map(|other| self.stage(other.as_str())).collect();
            if stages.iter().any(|stage| matches!(stage, Stage::Waiting | Stage::Begun)) {
                waits = true;
            } else if !holds(condition, &stages) {
                let name = condition.check().unwrap_or_default();
                return Verdict::Skip(Stage::NotApplicable, format!("it is only meant to run when {}", meant(condition, name)));
            }
        }
        if waits { Verdict::Wait } else { Verdict::Begin }
    }

    fn gave_enough(&self, id: &str) -> bool {
        self.places.get(id).is_some_and(|place| self.enough[*place])
    }

    /// How far a check has come; one that the plan does not hold did not apply.
    fn stage(&self, id: &str) -> Stage {
        self.places.get(id).map_or(Stage::NotApplicable, |place| self.stages[*place])
    }
}

/// Of several checks that became of one, a single one that fails or succeeds is enough.
fn holds(condition: &Condition, stages: &[Stage]) -> bool {
    let fell_short = |stage: &Stage| matches!(stage, Stage::Done(Status::Failed | Status::TimedOut | Status::NotMeasured));
    let succeeded = |stage: &Stage| *stage == Stage::Done(Status::Succeeded);
    match condition {
        Condition::Failed(_) => stages.iter().any(|stage| matches!(stage, Stage::Done(Status::Failed | Status::TimedOut))),
        Condition::Succeeded(_) => stages.iter().any(succeeded),
        Condition::Unless(_) => stages.iter().any(fell_short) && !stages.iter().any(succeeded),
        // Conditions on anything else were decided when the plan was made.
        Condition::Named
        | Condition::Tls
        | Condition::Port
        | Condition::NoPort
        | Condition::Direct
        | Condition::Proxied
        | Condition::Given(_)
        | Condition::Differs(..) => true,
    }
}

fn meant(condition: &Condition, other: &str) -> String {
    match condition {
        Condition::Failed(_) => format!("`{other}` fails"),
        Condition::Unless(_) => format!("`{other}` does not succeed"),
        _ => format!("`{other}` succeeds"),
    }
}

fn words(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::TimedOut => "ran out of time",
        Status::NotMeasured => "could not be measured",
        Status::Skipped => "was skipped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netsonde_contract::id::CheckId;
    use netsonde_contract::kind::{Kind, Params};
    use netsonde_contract::set::Samples;
    use std::time::Duration;

    fn check(id: &str, needs: &[&str], when: &[Condition]) -> PlannedCheck {
        PlannedCheck {
            id: CheckId::new(id),
            required: true,
            target: None,
            needs: needs.iter().map(|need| CheckId::new(*need)).collect(),
            when: when.iter().map(|condition| (condition.clone(), vec![CheckId::new(condition.check().unwrap())])).collect(),
            deadline: Duration::from_secs(1),
            samples: Samples::ONE,
            params: Params::parse(Kind::Host, serde_json::json!({})).unwrap(),
        }
    }

    fn skipped(steps: &[Step]) -> Vec<(usize, &str)> {
        steps
            .iter()
            .filter_map(|step| if let Step::Skip(place, note) = step { Some((*place, note.why.as_str())) } else { None })
            .collect()
    }

    #[test]
    fn checks_without_needs_begin_together_and_the_others_wait() {
        let checks = [check("a", &[], &[]), check("b", &[], &[]), check("c", &["a", "b"], &[])];
        let mut graph = Graph::new(&checks);
        assert_eq!(graph.steps(9), [Step::Begin(0), Step::Begin(1)]);
        graph.finished(0, Status::Succeeded);
        assert_eq!(graph.steps(9), []);
        graph.finished(1, Status::Succeeded);
        assert_eq!(graph.steps(9), [Step::Begin(2)]);
        assert!(graph.left().is_empty());
    }

    #[test]
    fn a_failure_skips_all_that_hangs_on_it_and_nothing_else() {
        let checks = [check("a", &[], &[]), check("b", &["a"], &[]), check("c", &["b"], &[]), check("d", &[], &[])];
        let mut graph = Graph::new(&checks);
        assert_eq!(graph.steps(9), [Step::Begin(0), Step::Begin(3)]);
        graph.finished(0, Status::TimedOut);
        let steps = graph.steps(9);
        assert_eq!(skipped(&steps), [(1, "it needs `a`, which ran out of time"), (2, "it needs `b`, which was skipped")]);
    }

    #[test]
    fn a_check_for_the_worst_case_runs_only_then_and_holds_up_no_other() {
        let rescue = || check("b", &[], &[Condition::Failed("a".into())]);
        let checks = [check("a", &[], &[]), rescue(), check("c", &["b"], &[])];
        let mut graph = Graph::new(&checks);
        graph.steps(9);
        graph.finished(0, Status::Succeeded);
        let steps = graph.steps(9);
        assert_eq!(skipped(&steps), [(1, "it is only meant to run when `a` fails")]);
        assert!(steps.contains(&Step::Begin(2)), "what did not apply is not missing: {steps:?}");

        let checks = [check("a", &[], &[]), rescue()];
        let mut graph = Graph::new(&checks);
        graph.steps(9);
        graph.finished(0, Status::Failed);
        assert_eq!(graph.steps(9), [Step::Begin(1)]);
    }

    /// The dns check of a name that resolved, while its dead servers are still being waited for.
    #[test]
    fn what_is_known_lets_others_begin_and_no_deadline_takes_it_back() {
        let checks = [check("a", &[], &[]), check("b", &["a"], &[]), check("c", &["a", "b"], &[])];
        let mut graph = Graph::new(&checks);
        assert_eq!(graph.steps(9), [Step::Begin(0)]);
        graph.has_enough(0);
        assert_eq!(graph.steps(9), [Step::Begin(1)]);
        graph.finished(0, Status::TimedOut);
        graph.finished(1, Status::Succeeded);
        assert_eq!(graph.steps(9), [Step::Begin(2)]);
    }

    #[test]
    fn a_second_way_of_asking_runs_where_the_first_told_nothing() {
        for (status, runs) in [
            (Status::Succeeded, false),
            (Status::Skipped, false),
            (Status::Failed, true),
            (Status::TimedOut, true),
            (Status::NotMeasured, true),
        ] {
            let checks = [check("a", &[], &[]), check("b", &[], &[Condition::Unless("a".into())])];
            let mut graph = Graph::new(&checks);
            graph.steps(9);
            graph.finished(0, status);
            assert_eq!(graph.steps(9) == [Step::Begin(1)], runs, "{status:?}");
        }
    }

    #[test]
    fn a_check_without_measurement_satisfies_no_condition() {
        let checks = [check("a", &[], &[]), check("b", &[], &[Condition::Succeeded("a".into())]), check("c", &["a"], &[])];
        let mut graph = Graph::new(&checks);
        graph.steps(9);
        graph.finished(0, Status::NotMeasured);
        assert_eq!(skipped(&graph.steps(9)).len(), 2);
    }

    #[test]
    fn no_more_begin_at_once_than_may() {
        let checks = [check("a", &[], &[]), check("b", &[], &[]), check("c", &[], &[])];
        let mut graph = Graph::new(&checks);
        assert_eq!(graph.steps(2), [Step::Begin(0), Step::Begin(1)]);
        assert_eq!(graph.left(), [2]);
        assert_eq!(graph.steps(0), []);
        assert_eq!(graph.steps(1), [Step::Begin(2)]);
    }
}
