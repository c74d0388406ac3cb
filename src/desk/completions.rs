use crate::stop::Stop;
use crate::terminal;
use clap_complete::Shell;

pub(crate) fn completions(shell: Shell) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::command(), "netsonde-desk", &mut script);
    terminal::output(&String::from_utf8_lossy(&script))
}
