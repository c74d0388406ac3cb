use std::process::ExitCode;

fn main() -> ExitCode {
    netsonde_backend::command::main()
}
