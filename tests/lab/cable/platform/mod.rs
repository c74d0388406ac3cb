//! TAP devices: Ethernet interfaces whose other end is a file of this process (Documentation/networking/tuntap.rst of Linux).

use anyhow::{Context, Result};
use std::fs::File;

/// Makes the TAP device in the namespace. It lives as long as the file. The calling thread stays in that namespace, so that each
/// device wants a thread of its own.
///
/// # Errors
/// Where the namespace cannot be entered, the kernel has no TUN/TAP, or the device exists already.
#[cfg(target_os = "linux")]
pub(super) fn open_tap(namespace: &str, device: &str) -> Result<File> {
    use nix::libc;
    use std::os::fd::AsRawFd;

    let path = format!("/run/netns/{namespace}");
    let entrance = File::open(&path).with_context(|| format!("opening {path}"))?;
    nix::sched::setns(entrance, nix::sched::CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {path}"))?;
    let tap = File::options().read(true).write(true).open("/dev/net/tun").context("opening /dev/net/tun")?;
    let mut request = [0_u8; REQUEST_BYTES];
    // Whole Ethernet frames, without a header of the driver's.
    let flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    for (place, byte) in request.iter_mut().zip(device.bytes().take(libc::IFNAMSIZ - 1)) {
        *place = byte;
    }
    request[libc::IFNAMSIZ..libc::IFNAMSIZ + 2].copy_from_slice(&flags.to_ne_bytes());
    #[expect(unsafe_code, reason = "nix has no wrapper for TUNSETIFF")]
    // SAFETY: the descriptor is open for as long as `tap` lives, and the kernel reads and writes one `struct ifreq`, which is not
    // longer than `request`.
    let result = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF as _, request.as_mut_ptr()) };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).with_context(|| format!("making {device} in {namespace}"));
    }
    Ok(tap)
}

/// `struct ifreq` has 40 bytes on 64-bit systems; a little more does no harm.
#[cfg(target_os = "linux")]
const REQUEST_BYTES: usize = 64;

#[cfg(not(target_os = "linux"))]
pub(super) fn open_tap(_namespace: &str, _device: &str) -> Result<File> {
    anyhow::bail!("cables are built from Linux TAP devices")
}
