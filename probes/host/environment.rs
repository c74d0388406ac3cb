use crate::clock::Clock;
use crate::platform::host;
use netsonde_contract::environment::Environment;

/// What stands where the system does not tell.
const UNKNOWN: &str = "unknown";

/// The machine and the program: read once, when the run begins. `version` is the program's own.
pub fn environment(version: &str, clock: &Clock) -> Environment {
    let (kernel, hostname) = names();
    let rights = crate::capability::rights();
    let linux = cfg!(target_os = "linux");
    Environment {
        version: version.to_owned(),
        os: std::env::consts::OS.to_owned(),
        os_release: host::os_release().unwrap_or_else(|| UNKNOWN.into()),
        kernel: kernel.unwrap_or_else(|| UNKNOWN.into()),
        architecture: std::env::consts::ARCH.to_owned(),
        hostname: hostname.unwrap_or_else(|| UNKNOWN.into()),
        raw_sockets: rights.raw_sockets,
        ping_sockets: rights.ping_sockets,
        elevated: rights.administrator,
        packet_filter: linux.then_some(rights.packet_filter),
        other_processes: linux.then_some(rights.other_processes),
        low_ports: linux.then_some(rights.low_ports),
        grantor: rights.grantor,
        began: clock.wall(),
        confinement: None,
    }
}

/// The kernel's name and release, and the machine's name.
#[cfg(unix)]
fn names() -> (Option<String>, Option<String>) {
    let Ok(system) = nix::sys::utsname::uname() else { return (None, None) };
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    (Some(format!("{} {}", text(system.sysname()), text(system.release()))), Some(text(system.nodename())))
}

#[cfg(not(unix))]
fn names() -> (Option<String>, Option<String>) {
    #[cfg(windows)]
    let kernel = crate::platform::windows::version::kernel();
    #[cfg(not(windows))]
    let kernel = None;
    (kernel, std::env::var("COMPUTERNAME").ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_is_named_with_its_kernel() {
        let found = environment("1.2.3", &Clock::start());
        assert_eq!((found.version.as_str(), found.os.as_str()), ("1.2.3", "linux"));
        assert!(found.kernel.starts_with("Linux "), "{}", found.kernel);
        assert!(!found.hostname.is_empty());
    }
}
