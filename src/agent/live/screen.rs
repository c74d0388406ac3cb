//! The terminal while the view has it: the alternate screen, single keys, and the certain way back.

use super::view::Key;
use crate::stop::Stop;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How long the thread that waits for keys takes to notice that it is to end.
const GLANCE: Duration = Duration::from_millis(100);
/// Keys that are not dealt with yet. A key held down repeats 30 times a second; more than this says nothing new.
const MAX_KEYS: usize = 64;

/// The terminal has been changed and not yet been given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Something a person did at the terminal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Key(Key),
    /// The window has another size.
    Resized,
}

pub(super) struct Screen {
    terminal: DefaultTerminal,
    inputs: Receiver<Input>,
    ending: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

/// # Errors
/// Where there is no terminal to draw on and to read keys from.
pub(crate) fn check() -> Result<(), Stop> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    let why = "--live draws on a terminal and reads keys from it, and here standard input or output is none";
    Err(Stop::usage(why).next("run it in a terminal, or leave --live out to measure once"))
}

impl Screen {
    /// # Errors
    /// Where the terminal refuses.
    pub(super) fn open() -> Result<Self, Stop> {
        check()?;
        restore_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        let terminal = take().map_err(|error| {
            restore();
            refused(&error)
        })?;
        let (sender, inputs) = channel(MAX_KEYS);
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let reader = std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&sender, &told));
        let mut screen = Self { terminal, inputs, ending, reader: None };
        screen.reader = Some(reader.map_err(|error| refused(&error))?);
        Ok(screen)
    }

    /// # Errors
    /// Where the terminal cannot be written to, as after it was closed.
    pub(super) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<(), Stop> {
        self.terminal.draw(view).map(|_| ()).map_err(|error| refused(&error))
    }

    /// What was done at the terminal next; none where nothing more can come.
    pub(super) async fn input(&mut self) -> Option<Input> {
        self.inputs.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        restore();
    }
}

/// Gives the terminal back as it was, once; whoever comes first: the end of the view, a panic, a signal.
pub(super) fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A terminal that cannot be written to any more is gone, and has nothing to be restored.
        let _ = ratatui::crossterm::execute!(io::stdout(), ratatui::crossterm::cursor::Show);
        let _ = ratatui::try_restore();
    }
}

fn take() -> io::Result<DefaultTerminal> {
    use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
    enable_raw_mode()?;
    ratatui::crossterm::execute!(io::stdout(), EnterAlternateScreen)?;
    let mut terminal = ratatui::Terminal::new(ratatui::backend::CrosstermBackend::new(io::stdout()))?;
    terminal.clear()?;
    Ok(terminal)
}

/// A panic of the program itself is told on the terminal as it was before. One of a check becomes part of the report.
fn restore_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("main") {
            restore();
        }
        usual(panic);
    }));
}

fn refused(error: &io::Error) -> Stop {
    Stop::usage(format!("the terminal cannot be drawn on: {error}")).next("try another terminal, or leave --live out")
}

fn read(sender: &Sender<Input>, ending: &AtomicBool) {
    while !ending.load(Ordering::SeqCst) {
        match event::poll(GLANCE) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        let input = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => meaning(key).map(Input::Key),
            Ok(Event::Resize(..)) => Some(Input::Resized),
            Ok(_) => None,
            Err(_) => return,
        };
        if let Some(input) = input {
            // Where so many wait already, one more changes nothing.
            let _ = sender.try_send(input);
        }
    }
}

fn meaning(key: KeyEvent) -> Option<Key> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Char('p' | 'P') => Some(Key::Pause),
        KeyCode::Char('r' | 'R') => Some(Key::Reset),
        KeyCode::Char(' ') => Some(Key::Toggle),
        KeyCode::Char('?' | 'h') => Some(Key::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_is_a_key_while_the_terminal_is_raw_and_ends_the_view() {
        assert_eq!(meaning(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Interrupt));
        assert_eq!(meaning(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE)), None);
        assert_eq!(meaning(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Some(Key::Quit));
        assert_eq!(meaning(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL)), None);
    }

    #[test]
    fn without_a_terminal_the_view_says_what_to_do() {
        // The tests' own input is a terminal on somebody's desk, and none elsewhere.
        if let Err(stop) = check() {
            assert_eq!(stop.exit, crate::exit::USAGE);
            assert!(stop.next.is_some_and(|next| next.contains("--live")));
        }
    }
}
