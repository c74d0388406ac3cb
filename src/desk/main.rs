use std::process::ExitCode;

fn main() -> ExitCode {
    netsonde_desk::run(std::env::args_os())
}
