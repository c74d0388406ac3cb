//! A security policy around one program: a filter of system calls (seccomp) that refuses sockets for TCP, as profiles of containers do.

use anyhow::{Context, Result};
use std::process::Command;

/// Has the program that the command starts, and what it starts in turn, open no socket for connections over TCP.
///
/// # Errors
/// Where this system has no such policy.
#[cfg(target_os = "linux")]
pub(crate) fn deny_connections(command: &mut Command) -> Result<()> {
    use nix::libc;
    use std::os::unix::process::CommandExt;

    let filter = filter().context("writing the policy")?;
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        #[expect(unsafe_code, reason = "nix has no wrapper for seccomp")]
        // SAFETY: the program and its instructions live until the call returns, and the kernel only reads them.
        let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    #[expect(unsafe_code, reason = "what runs between fork and exec")]
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(install);
    }
    Ok(())
}

/// Offsets of <linux/seccomp.h>: the call's number, and the lower halves of its first two arguments.
#[cfg(target_os = "linux")]
fn filter() -> Result<[nix::libc::sock_filter; 10]> {
    use nix::libc;
    const CALL: u32 = 0;
    const DOMAIN: u32 = 16;
    const TYPE: u32 = 24;
    /// Beside the type stand flags such as SOCK_CLOEXEC.
    const TYPE_BITS: u32 = 0x0f;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let equals =
        |value: u32, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k: value };
    let ends = |with| statement(libc::BPF_RET | libc::BPF_K, with);
    let socket = u32::try_from(libc::SYS_socket).context("the number of the system call")?;
    Ok([
        load(CALL),
        equals(socket, 0, 7),
        load(DOMAIN),
        equals(libc::AF_INET as u32, 1, 0),
        equals(libc::AF_INET6 as u32, 0, 4),
        load(TYPE),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, TYPE_BITS),
        equals(libc::SOCK_STREAM as u32, 0, 1),
        ends(libc::SECCOMP_RET_ERRNO | libc::EACCES as u32),
        ends(libc::SECCOMP_RET_ALLOW),
    ])
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn deny_connections(_command: &mut Command) -> Result<()> {
    anyhow::bail!("only Linux has a filter of system calls")
}
