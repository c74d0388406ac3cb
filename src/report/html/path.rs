use super::write::{Writer, coordinate};
use crate::clean::shortened;
use crate::path::{Path, Step, paths};
use crate::units;
use netsonde_contract::document::Document;

/// Width of the drawing in its own units; text keeps a readable size when this is scaled down to a telephone.
const WIDTH: f64 = 420.0;
/// The line that the hops stand on.
const SPINE: f64 = 22.0;
/// Where text begins.
const TEXT: f64 = 46.0;
/// The strip on the right in which round-trip times are drawn.
const SCALE: std::ops::Range<f64> = 300.0..408.0;
/// From one node to the next, and for each line of notes below it.
const ROW: f64 = 46.0;
const NOTE: f64 = 16.0;
const TOP: f64 = 20.0;
/// A machine's name may be 253 characters long; the drawing has room for this many.
const MAX_NAME: usize = 36;

pub(super) fn write(html: &mut Writer, document: &Document) {
    let paths: Vec<Path<'_>> =
        paths(document).into_iter().filter(|path| !path.steps.is_empty() || path.trace.is_some()).collect();
    if paths.is_empty() {
        return;
    }
    html.element("div", &[("class", "ns-figures")], |html| {
        for path in &paths {
            figure(html, document, path);
        }
    });
}

fn figure(html: &mut Writer, document: &Document, path: &Path<'_>) {
    let nodes = nodes(document, path);
    let height = TOP + nodes.iter().map(Node::height).sum::<f64>();
    let longest = path.steps.iter().flat_map(|step| &step.rtts_us).copied().max().unwrap_or(0);
    html.element("figure", &[("class", "ns-figure")], |html| {
        html.element("figcaption", &[], |html| {
            if let Some(target) = &path.belongs_to {
                html.leaf("strong", &[], target);
                html.text(": ");
            }
            html.text(&path.summary());
        });
        let size = format!("0 0 {WIDTH} {}", coordinate(height));
        html.element("svg", &[("class", "ns-path"), ("viewBox", &size), ("role", "img")], |html| {
            html.leaf("title", &[], &format!("Path to {}", path.target));
            html.leaf("desc", &[], &description(path));
            let mut y = TOP;
            for (number, node) in nodes.iter().enumerate() {
                if let Some(next) = nodes.get(number + 1) {
                    let class = if next.silent || next.beyond { "ns-link ns-silent" } else { "ns-link" };
                    let [x, from, to] = [SPINE, y, y + node.height()].map(coordinate);
                    html.shape("line", &[("class", class), ("x1", &x), ("y1", &from), ("x2", &x), ("y2", &to)]);
                }
                y += node.height();
            }
            let mut y = TOP;
            for node in &nodes {
                node.draw(html, y, longest);
                y += node.height();
            }
        });
        if longest > 0 {
            html.leaf(
                "p",
                &[("class", "ns-scale")],
                &format!("Bars: round-trip time from smallest to largest, scale 0 to {}.", units::duration(longest)),
            );
        }
    });
}

/// The drawing in words.
fn description(path: &Path<'_>) -> String {
    let one = |step: &Step<'_>| {
        let addresses: Vec<String> = step.addresses.iter().map(ToString::to_string).collect();
        let parts = [addresses.join(" "), step.rtts(), step.notes().join(", ")];
        format!("Hop {}: {}.", step.number(), parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
    };
    let mut words: Vec<String> = path.steps.iter().map(one).collect();
    words.extend(path.fault_at_target.map(|finding| format!("Fault at the target: {}.", finding.cause)));
    words.join(" ")
}

/// One node as drawn.
struct Node<'a> {
    number: String,
    label: Vec<String>,
    below: String,
    notes: Vec<String>,
    rtts_us: &'a [u64],
    silent: bool,
    /// Nothing came from here, and nobody knows how far it is.
    beyond: bool,
    end: bool,
    fault: Option<&'a str>,
}

fn nodes<'a>(document: &'a Document, path: &'a Path<'_>) -> Vec<Node<'a>> {
    let plain = |label: String| Node {
        number: String::new(),
        label: vec![label],
        below: String::new(),
        notes: Vec::new(),
        rtts_us: &[],
        silent: false,
        beyond: false,
        end: true,
        fault: None,
    };
    let mut nodes = vec![Node {
        below: "this machine".to_owned(),
        ..plain(shortened(&document.environment.hostname, MAX_NAME).into_owned())
    }];
    nodes.extend(path.steps.iter().map(|step| {
        let mut notes: Vec<String> = step.notes();
        notes.retain(|note| note != "silent" && note != "target" && !note.starts_with("fault here"));
        Node {
            number: step.number(),
            label: if step.is_silent() {
                vec!["no answer".to_owned()]
            } else {
                step.addresses.iter().map(ToString::to_string).collect()
            },
            below: if step.is_silent() { units::counted(step.sent, "probe", "probes") } else { step.rtts() },
            notes,
            rtts_us: &step.rtts_us,
            silent: step.is_silent(),
            beyond: false,
            end: step.is_target,
            fault: step.fault.map(|finding| finding.cause.as_str()),
        }
    }));
    if !path.arrived() {
        let below = if path.trace.is_some() { "target, no answer to traceroute" } else { "target, path not complete" };
        let fault = path.fault_at_target.map(|finding| finding.cause.as_str());
        nodes.push(Node { below: below.to_owned(), beyond: true, fault, ..plain(path.target.to_string()) });
    }
    nodes
}

impl Node<'_> {
    fn height(&self) -> f64 {
        let lines = self.label.len().saturating_sub(1) + self.notes.len() + usize::from(self.fault.is_some());
        // A path has at most 255 hops with a handful of lines each: exact in a float.
        ROW + NOTE * lines as f64
    }

    fn draw(&self, html: &mut Writer, y: f64, longest: u64) {
        self.mark(html, y);
        let mut line = y + 4.0;
        for label in &self.label {
            self.line(html, "ns-address", line, label);
            line += NOTE;
        }
        self.line(html, "ns-small", line, &self.below);
        if !self.rtts_us.is_empty() {
            spread(html, self.rtts_us, line - 4.0, longest);
        }
        for note in &self.notes {
            line += NOTE;
            self.line(html, "ns-small", line, note);
        }
        if let Some(cause) = self.fault {
            line += NOTE;
            self.line(html, "ns-fault-text", line, &format!("fault here: {cause}"));
        }
    }

    fn line(&self, html: &mut Writer, class: &'static str, y: f64, text: &str) {
        html.leaf("text", &[("class", class), ("x", &coordinate(TEXT)), ("y", &coordinate(y))], text);
    }

    /// The node itself: a square for either end, a circle for a router, longer for several silent ones, dashed where silent, filled
    /// where the fault is.
    fn mark(&self, html: &mut Writer, y: f64) {
        let class = match (self.fault.is_some(), self.silent || self.beyond) {
            (true, _) => "ns-node ns-fault",
            (false, true) => "ns-node ns-silent",
            (false, false) => "ns-node",
        };
        if self.number.len() > 2 {
            let [x, top, width, height] = [SPINE - 18.0, y - 11.0, 36.0, 22.0].map(coordinate);
            html.shape("rect", &[("class", class), ("x", &x), ("y", &top), ("width", &width), ("height", &height), ("rx", "11")]);
        } else if self.end {
            let [x, top, side] = [SPINE - 11.0, y - 11.0, 22.0].map(coordinate);
            html.shape("rect", &[("class", class), ("x", &x), ("y", &top), ("width", &side), ("height", &side), ("rx", "4")]);
        } else {
            html.shape("circle", &[("class", class), ("cx", &coordinate(SPINE)), ("cy", &coordinate(y)), ("r", "11")]);
        }
        if self.fault.is_some() && self.number.is_empty() {
            let [left, right, top, bottom] = [SPINE - 5.0, SPINE + 5.0, y - 5.0, y + 5.0].map(coordinate);
            html.shape(
                "path",
                &[("class", "ns-cross"), ("d", &format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"))],
            );
        } else if !self.number.is_empty() {
            let class = if self.fault.is_some() { "ns-number ns-on-fault" } else { "ns-number" };
            html.leaf("text", &[("class", class), ("x", &coordinate(SPINE)), ("y", &coordinate(y + 3.5))], &self.number);
        }
    }
}

/// Smallest to largest round-trip time as a bar, the middle one as a dot.
fn spread(html: &mut Writer, rtts_us: &[u64], y: f64, longest: u64) {
    // Microseconds of one run are far below 2^53: exact in a float.
    let at = |us: u64| SCALE.start + (SCALE.end - SCALE.start) * us as f64 / longest.max(1) as f64;
    let (Some(min), Some(max), Some(median)) =
        (rtts_us.iter().min(), rtts_us.iter().max(), units::median(rtts_us.iter().copied()))
    else {
        return;
    };
    let [axis, end, y, from, to, dot] = [SCALE.start, SCALE.end, y, at(*min), at(*max), at(median)].map(coordinate);
    html.shape("line", &[("class", "ns-axis"), ("x1", &axis), ("x2", &end), ("y1", &y), ("y2", &y)]);
    html.shape("line", &[("class", "ns-spread"), ("x1", &from), ("x2", &to), ("y1", &y), ("y2", &y)]);
    html.shape("circle", &[("class", "ns-dot"), ("cx", &dot), ("cy", &y), ("r", "3.5")]);
}
