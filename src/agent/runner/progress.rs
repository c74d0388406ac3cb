use super::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use netsonde_contract::id::CheckId;
use netsonde_contract::outcome::Status;
use netsonde_contract::set::Plan;
use std::collections::HashMap;
use std::time::Duration;

/// With more checks than this a line each would fill the screen: one line counts them instead.
const MAX_LINES: usize = 20;
/// How often the moving sign moves: seen as moving, cheap to draw.
const TICK: Duration = Duration::from_millis(120);

/// Live progress on standard error, where that is a terminal; silent otherwise. The lines go away before the document comes.
pub(crate) struct Progress {
    lines: MultiProgress,
    bars: HashMap<CheckId, ProgressBar>,
    total: ProgressBar,
    /// What is asked beyond the plan.
    notes: Vec<ProgressBar>,
    one_line_each: bool,
}

impl Progress {
    pub(crate) fn of(plan: &Plan) -> Self {
        let target =
            if crate::terminal::progress_is_seen() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let count = u64::try_from(plan.checks.len()).unwrap_or(u64::MAX);
        let total = lines.add(ProgressBar::new(count).with_style(style("{spinner} {pos}/{len} checks of {msg}, {elapsed}")));
        total.set_message(plan.set.name.clone());
        total.enable_steady_tick(TICK);
        Self { lines, bars: HashMap::new(), total, notes: Vec::new(), one_line_each: plan.checks.len() <= MAX_LINES }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Began { check, .. } if self.one_line_each => {
                let bar = ProgressBar::new_spinner().with_style(style("  {spinner} {prefix:14} {msg} {elapsed}"));
                let bar = self.lines.insert_before(&self.total, bar);
                bar.set_prefix(check.id.to_string());
                bar.set_message(check.target.as_ref().map(ToString::to_string).unwrap_or_default());
                bar.enable_steady_tick(TICK);
                self.bars.insert(check.id.clone(), bar);
            }
            Event::Began { .. } => {}
            Event::Ended(outcome) => {
                self.total.inc(1);
                if let Some(bar) = self.bars.get(&outcome.check) {
                    bar.set_style(style("  {prefix:16} {msg}"));
                    bar.finish_with_message(words(outcome.status));
                }
            }
        }
    }

    /// More checks follow than the plan had, and why.
    pub(crate) fn asks_further(&mut self, why: &str, checks: usize) {
        self.total.inc_length(u64::try_from(checks).unwrap_or(u64::MAX));
        let line = self.lines.insert_before(&self.total, ProgressBar::new_spinner().with_style(style("  {msg}")));
        line.set_message(why.to_owned());
        self.notes.push(line);
    }

    /// Takes the lines away.
    pub(crate) fn clear(self) {
        for bar in self.bars.values().chain(&self.notes) {
            bar.finish_and_clear();
        }
        self.total.finish_and_clear();
        let _ = self.lines.clear();
    }
}

/// The templates above are fixed texts; one that did not parse would show the library's own line.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn words(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "as expected",
        Status::Failed => "failed",
        Status::TimedOut => "ran out of time",
        Status::NotMeasured => "not measured",
        Status::Skipped => "skipped",
    }
}
