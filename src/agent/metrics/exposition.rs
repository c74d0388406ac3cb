use std::fmt::Write;

/// Families of samples, as every reader of metrics has them. A family without samples is left out.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: Vec<Family>,
}

/// Samples of one name.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// Since the agent began.
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
    /// Begins a family; all its samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        self.families.push(Family { name, kind, help, samples: Vec::new() });
    }

    pub(super) fn sample(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if let Some(family) = self.families.last_mut() {
            family.samples.push(Sample { labels, value });
        }
    }

    pub(super) fn into_families(self) -> Vec<Family> {
        self.families.into_iter().filter(|family| !family.samples.is_empty()).collect()
    }

    /// As a page in Prometheus' text format.
    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        for family in self.into_families() {
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            // Writing to a text cannot fail.
            let _ = writeln!(text, "# HELP {0} {help}\n# TYPE {0} {1}", family.name, family.kind.name());
            for sample in family.samples {
                let label = |(name, value): &(&str, String)| format!("{name}=\"{}\"", escaped(value));
                let labels = sample.labels.iter().map(label).collect::<Vec<_>>().join(",");
                let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
                let _ = writeln!(text, "{}{labels} {}", family.name, sample.value);
            }
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
