fn main() -> std::process::ExitCode {
    netsonde_agent::run(std::env::args_os())
}
