use std::fmt::Write;

/// A page in the text format. A family without samples is left out.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
    /// The family that samples belong to, and its head, until its first sample is there.
    name: &'static str,
    head: Option<String>,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

impl Exposition {
    /// Begins a family; all its samples follow, as the format wants it.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.head = Some(format!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        if let Some(head) = self.head.take() {
            self.text += &head;
        }
        let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels = labels.iter().map(label).collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
