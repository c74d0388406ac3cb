//! A security policy around one program: a filter of system calls (seccomp), as profiles of containers have it.

use anyhow::Result;
use std::process::Command;

/// Has the program that the command starts, and what it starts in turn, open no socket for connections over TCP. Needs root.
///
/// # Errors
/// Where this system has no such policy.
#[cfg(target_os = "linux")]
pub fn deny_connections(command: &mut Command) -> Result<()> {
    filtered::install(command, filtered::no_connections()?, || Ok(()));
    Ok(())
}

/// Has the kernel end the program that the command starts, by SIGSYS, at the moment at which it begins another process. Threads are let through.
///
/// # Errors
/// Where this system has no such policy.
#[cfg(target_os = "linux")]
pub fn deny_processes(command: &mut Command) -> Result<()> {
    // Without new rights a filter needs no root.
    filtered::install(command, filtered::no_processes()?, || nix::sys::prctl::set_no_new_privs().map_err(Into::into));
    Ok(())
}

#[cfg(target_os = "linux")]
mod filtered {
    use anyhow::{Context, Result};
    use nix::libc::{self, sock_filter};
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    /// Offsets of <linux/seccomp.h>: the call's number, and the lower halves of its first two arguments.
    const CALL: u32 = 0;
    const FIRST: u32 = 16;
    const SECOND: u32 = 24;
    /// Beside a socket's type stand flags such as SOCK_CLOEXEC.
    const TYPE_BITS: u32 = 0x0f;
    /// Calls that begin a process and no thread; newer kinds of processors do not have them.
    #[cfg(target_arch = "x86_64")]
    const FORKS: [libc::c_long; 2] = [libc::SYS_fork, libc::SYS_vfork];
    #[cfg(not(target_arch = "x86_64"))]
    const FORKS: [libc::c_long; 0] = [];

    pub(super) fn install(command: &mut Command, filter: Vec<sock_filter>, before: fn() -> io::Result<()>) {
        let install = move || {
            before()?;
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            #[expect(unsafe_code, reason = "nix has no wrapper for seccomp")]
            // SAFETY: the program and its instructions live until the call returns, and the kernel only reads them.
            let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        #[expect(unsafe_code, reason = "what runs between fork and exec")]
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(install);
        }
    }

    pub(super) fn no_connections() -> Result<Vec<sock_filter>> {
        Ok(vec![
            load(CALL),
            equals(number(libc::SYS_socket)?, 0, 7),
            load(FIRST),
            equals(libc::AF_INET as u32, 1, 0),
            equals(libc::AF_INET6 as u32, 0, 4),
            load(SECOND),
            statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, TYPE_BITS),
            equals(libc::SOCK_STREAM as u32, 0, 1),
            ends(libc::SECCOMP_RET_ERRNO | libc::EACCES as u32),
            ends(libc::SECCOMP_RET_ALLOW),
        ])
    }

    pub(super) fn no_processes() -> Result<Vec<sock_filter>> {
        let mut filter = vec![load(CALL)];
        for fork in FORKS {
            filter.extend([equals(number(fork)?, 0, 1), ends(libc::SECCOMP_RET_KILL_PROCESS)]);
        }
        filter.extend([
            // Its flags lie in memory, which a filter cannot read. Without it the C library calls the older one.
            equals(number(libc::SYS_clone3)?, 0, 1),
            ends(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
            equals(number(libc::SYS_clone)?, 1, 0),
            ends(libc::SECCOMP_RET_ALLOW),
            load(FIRST),
            jump(libc::BPF_JSET, libc::CLONE_THREAD as u32, 1, 0),
            ends(libc::SECCOMP_RET_KILL_PROCESS),
            ends(libc::SECCOMP_RET_ALLOW),
        ]);
        Ok(filter)
    }

    fn number(call: libc::c_long) -> Result<u32> {
        u32::try_from(call).context("the number of a system call")
    }

    fn statement(code: u32, k: u32) -> sock_filter {
        sock_filter { code: code as u16, jt: 0, jf: 0, k }
    }

    fn load(offset: u32) -> sock_filter {
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
    }

    fn ends(with: u32) -> sock_filter {
        statement(libc::BPF_RET | libc::BPF_K, with)
    }

    fn equals(value: u32, jt: u8, jf: u8) -> sock_filter {
        jump(libc::BPF_JEQ, value, jt, jf)
    }

    fn jump(test: u32, value: u32, jt: u8, jf: u8) -> sock_filter {
        sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k: value }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn deny_connections(_command: &mut Command) -> Result<()> {
    anyhow::bail!("only Linux has a filter of system calls")
}

#[cfg(not(target_os = "linux"))]
pub fn deny_processes(_command: &mut Command) -> Result<()> {
    anyhow::bail!("only Linux has a filter of system calls")
}
