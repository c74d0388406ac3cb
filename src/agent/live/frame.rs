use super::columns::Columns;
use super::view::{Shown, View};
use super::words;
use netsonde_contract::harmless::clean;
use netsonde_contract::kind::Kind;
use netsonde_contract::observation::TraceProtocol;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};
use std::net::IpAddr;
use std::time::Duration;

/// A smaller window has no room for a hop with its loss and time.
const LEAST_WIDTH: u16 = 34;
/// Title, head, one hop, what it means, keys.
const LEAST_HEIGHT: u16 = 6;

/// The same in fewer words and lines, for smaller windows; the last fits into the smallest that is drawn on.
const HELPS: [&[&str]; 3] = [
    &[
        "q, Esc   end, and print the report of all rounds; here: back",
        "Ctrl-C   end at once, and print the report",
        "p        pause and go on",
        "r        reset the figures; the report keeps them",
        "space    hops or paths, with --multipath",
        "?        this help",
        "",
        "loss%    requests without a reply in time; (95%) what chance allows",
        "times    in milliseconds; jitter by RFC 3550; x in the bars: a lost one",
        "bold     the target: loss before it means nothing unless it reaches it",
    ],
    &[
        "q, Esc   end with the report",
        "Ctrl-C   the same, from here too",
        "p        pause and go on",
        "r        reset the figures",
        "space    hops or paths",
        "loss%    (95%): chance allows it",
        "times    in ms; x: a lost one",
        "bold     the target",
    ],
    &[
        "q, Ctrl-C end with the report",
        "p pause, r reset, space paths",
        "(95%) what chance allows as loss",
        "times in ms, x lost, bold target",
    ],
];

/// Puts the view into the frame, as it is at `now` on the run's clock.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, now: Duration) {
    let area = frame.area();
    if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
        let text = format!("The window is too small: make it {LEAST_WIDTH} × {LEAST_HEIGHT} at least (q ends)");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let width = usize::from(area.width);
    // What it means may take a third of the window, and is worth more than the hops in the middle.
    let meaning: Vec<Line<'_>> = words::of(view).into_iter().map(|line| Line::from(clean(&line).into_owned())).collect();
    let wanted: usize = meaning.iter().map(|line| line.width().div_ceil(width.saturating_sub(6)).max(1)).sum();
    let most = usize::from(area.height / 3).max(1);
    let lines = u16::try_from(wanted.min(most)).unwrap_or(1);
    let parts = [Constraint::Length(1), Constraint::Min(3), Constraint::Length(lines), Constraint::Length(1)];
    let [title_area, table_area, meaning_area, keys_area] = Layout::vertical(parts).areas(area);

    frame.render_widget(Paragraph::new(title(view, now)).style(Style::new().add_modifier(Modifier::REVERSED)), title_area);
    if view.help {
        let both = table_area.union(meaning_area);
        frame.render_widget(Paragraph::new(help(width, usize::from(both.height))), both);
    } else {
        frame.render_widget(Paragraph::new(table(view, width, usize::from(table_area.height))), table_area);
        frame.render_widget(Paragraph::new(meaning).wrap(Wrap { trim: true }), meaning_area);
    }
    frame.render_widget(Paragraph::new(keys(view)).style(Style::new().add_modifier(Modifier::DIM)), keys_area);
}

fn title(view: &View, now: Duration) -> String {
    let seconds = now.saturating_sub(view.since).as_secs();
    let state = match (&view.halted, view.paused) {
        (Some(_), _) => "  ended",
        (None, true) => "  paused",
        (None, false) => "",
    };
    // With parallel ways to look for, a round takes many seconds, and its figures come in while it goes on.
    let rounds = match view.rounds_in_figures() {
        1 if view.rounds == 0 => "first round".to_owned(),
        1 => "1 round".to_owned(),
        many => format!("{many} rounds"),
    };
    format!(" {} {}  {rounds}, {seconds} s{state}", view.kind.name(), clean(&view.host))
}

fn keys(view: &View) -> &'static str {
    match (view.help, view.has_paths, view.shown) {
        (true, ..) => " ? or q back  Ctrl-C end",
        (_, false, _) => " q end  p pause  r reset  ? help",
        (_, true, Shown::Hops) => " q end  p pause  space paths  ? help",
        (_, true, Shown::Paths) => " q end  p pause  space hops  ? help",
    }
}

/// The longest help that fits whole.
fn help(width: usize, height: usize) -> Vec<Line<'static>> {
    let fits = |lines: &&&[&str]| lines.len() <= height && lines.iter().all(|line| line.chars().count() <= width);
    let lines = HELPS.iter().find(fits).or(HELPS.last()).copied().unwrap_or_default();
    lines.iter().copied().map(Line::from).collect()
}

/// Exactly the lines that fit: the head first, and the target last whatever has to go in between.
fn table(view: &View, width: usize, height: usize) -> Vec<Line<'static>> {
    let (head, rows) = match view.shown {
        Shown::Hops => hops(view, width),
        Shown::Paths => paths(view, width),
    };
    let room = height.saturating_sub(1);
    let mut lines = vec![Line::styled(head, Style::new().add_modifier(Modifier::DIM))];
    if rows.len() <= room {
        lines.extend(rows);
        return lines;
    }
    let (first, hidden) = (room.saturating_sub(2), rows.len() - room.saturating_sub(1));
    let last = rows.last().cloned();
    lines.extend(rows.into_iter().take(first));
    if room > 1 {
        lines.push(Line::from(format!("  … {hidden} lines more in a taller window")));
    }
    lines.extend(last);
    lines
}

/// The head and a line for each distance and each further address there.
fn hops(view: &View, width: usize) -> (String, Vec<Line<'static>>) {
    let labels = view.routes.values().flat_map(|route| route.hops().flat_map(|(_, stop)| stop.labels()));
    let columns = Columns::fit(width, labels.map(|label| label.chars().count()).max().unwrap_or(0));
    let mut rows = Vec::new();
    for (target, route) in &view.routes {
        if view.kind == Kind::Traceroute && view.routes.len() > 1 {
            rows.push(Line::from(format!("to {target}{}", by(route.protocol))));
        }
        for (ttl, stop) in route.hops() {
            let is_target = Some(ttl) == route.distance;
            let mut labels = stop.labels().into_iter();
            let unknown = if is_target { target.to_string() } else { "no reply".to_owned() };
            let number = if ttl == 0 { String::new() } else { ttl.to_string() };
            let row = columns.row(&number, &labels.next().unwrap_or(unknown), &stop.track);
            rows.push(Line::styled(row, style(is_target, stop.track.answered() == 0, stop.track.lost() > 0)));
            rows.extend(
                labels.map(|label| Line::styled(format!("    {}", clean(&label)), Style::new().add_modifier(Modifier::DIM))),
            );
        }
    }
    (columns.head(if view.kind == Kind::Icmp { "target" } else { "address" }), rows)
}

/// The head and two lines or more for each path: how it fares to the target, and which way it goes.
fn paths(view: &View, width: usize) -> (String, Vec<Line<'static>>) {
    const LABEL: usize = "99 hops, 999 flows".len();
    let columns = Columns::fit(width, LABEL);
    let mut rows = Vec::new();
    for (target, route) in &view.routes {
        if view.routes.len() > 1 {
            rows.push(Line::from(format!("to {target}{}", by(route.protocol))));
        }
        if route.paths.is_empty() {
            rows.push(Line::from("no paths found so far; without raw sockets they are not looked for"));
        }
        for (place, path) in route.paths.iter().enumerate() {
            let label = format!("{} hops, {} flows", path.hops.len(), path.flows);
            let (nth, lossy) = ((place + 1).to_string(), path.track.lost() > 0 && !route.losses_doubtful);
            let row = if route.losses_doubtful {
                columns.row_without_loss(&nth, &label, &path.track)
            } else {
                columns.row(&nth, &label, &path.track)
            };
            rows.push(Line::styled(row, style(true, path.track.sent() > 0 && path.track.answered() == 0, lossy)));
            rows.extend(way(&path.hops, width));
        }
    }
    (columns.head("path"), rows)
}

/// The addresses of a path, wrapped between them.
fn way(hops: &[Option<IpAddr>], width: usize) -> Vec<Line<'static>> {
    let mut lines = vec!["   ".to_owned()];
    for (place, hop) in hops.iter().enumerate() {
        let address = hop.map_or_else(|| "?".to_owned(), |address| address.to_string());
        let arrow = if place == 0 { " " } else { " → " };
        let line = lines.last().map_or(0, |line| line.chars().count());
        if place > 0 && line + arrow.chars().count() + address.chars().count() > width {
            lines.push("   ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(arrow);
            line.push_str(&address);
        }
    }
    lines.into_iter().map(|line| Line::styled(line, Style::new().add_modifier(Modifier::DIM))).collect()
}

fn style(target: bool, silent: bool, lossy: bool) -> Style {
    let style = match (target, silent, lossy) {
        (true, _, true) => Style::new().fg(Color::Red),
        (false, true, _) => Style::new().add_modifier(Modifier::DIM),
        (false, false, true) => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    };
    if target { style.add_modifier(Modifier::BOLD) } else { style }
}

fn by(protocol: Option<TraceProtocol>) -> &'static str {
    match protocol {
        Some(TraceProtocol::Udp) => " by UDP",
        Some(TraceProtocol::Icmp) => " by ICMP",
        Some(TraceProtocol::Tcp) => " by TCP",
        Some(TraceProtocol::TcpSession) => " within a TCP connection",
        None => "",
    }
}
