//! The clocks of a process that runs, moved for it alone: as if somebody had set the machine's clock, or the machine had slept.
//!
//! Programs ask the kernel's own library for the time, which the kernel maps into each process (vdso(7)). Here `__vdso_clock_gettime` is overwritten, in the
//! memory of that one process, by the system call and an addition: the wall clocks get one offset and the boot clock another. The monotonic clock stays, as it does
//! while a machine sleeps. Nothing is loaded into the process, and its program on the disk is the one that customers have.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

const FUNCTION: &[u8] = b"__vdso_clock_gettime";
/// The kernel's library is two pages.
const MAX_LIBRARY: u64 = 1 << 20;
/// A process stops within a few milliseconds; a machine that is busy building something gets this many looks.
const LOOKS: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// So often a thread may be met in the very function that is to be overwritten.
const TRIES: u32 = 20;
/// Where the code below names its offsets.
const PLACE_OF_OFFSETS: usize = 14;
/// What stands in the place of the kernel's function (x86-64, System V calling convention; the clock in `edi`, the answer's place in `rsi`).
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xb8, 0xe4, 0x00, 0x00, 0x00,             // mov  eax, 228 (clock_gettime)
    0x0f, 0x05,                               // syscall
    0x85, 0xc0,                               // test eax, eax
    0x75, 0x24,                               // jnz  the ret of the third block
    0x48, 0x8d, 0x15, 0x00, 0x00, 0x00, 0x00, // lea  rdx, [rip + offsets]
    0x85, 0xff,                               // test edi, edi (CLOCK_REALTIME)
    0x74, 0x0b,                               // jz   wall
    0x83, 0xff, 0x05,                         // cmp  edi, 5 (CLOCK_REALTIME_COARSE)
    0x74, 0x06,                               // je   wall
    0x83, 0xff, 0x07,                         // cmp  edi, 7 (CLOCK_BOOTTIME)
    0x74, 0x08,                               // je   boot
    0xc3,                                     // ret
    0x48, 0x8b, 0x0a,                         // wall: mov rcx, [rdx]
    0x48, 0x01, 0x0e,                         // add  [rsi], rcx
    0xc3,                                     // ret
    0x48, 0x8b, 0x4a, 0x08,                   // boot: mov rcx, [rdx + 8]
    0x48, 0x01, 0x0e,                         // add  [rsi], rcx
    0xc3,                                     // ret
];
const OFFSETS_AT: usize = CODE.len().next_multiple_of(8);

/// The clocks of one process. They stay moved until it ends.
pub(crate) struct Clocks {
    process: u32,
    /// Where in the process's memory the offsets stand.
    offsets: u64,
}

impl Clocks {
    /// Takes the clocks of a process in hand; they show what they showed before.
    ///
    /// # Errors
    /// Where the process is gone, may not be written to, or is of another kind of processor.
    pub(crate) async fn of(process: u32) -> Result<Self> {
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64")),
            "the clocks of a process can be moved on Linux on x86-64 alone"
        );
        let library = library(process)?;
        let image = read(process, library.clone())?;
        let (value, size) = function(&image).context("the kernel's library has no function for the clocks")?;
        ensure!(OFFSETS_AT + 16 <= size as usize, "the kernel's function has {size} bytes, which is too little room");
        let begin = library.start + value;
        for _ in 0..TRIES {
            halt(process).await?;
            let is_clear = !threads_at(process)?.iter().any(|at| library.contains(at));
            if is_clear {
                let mut code = CODE.to_vec();
                let distance = i32::try_from(OFFSETS_AT - (PLACE_OF_OFFSETS + 4)).context("the offsets are far away")?;
                code[PLACE_OF_OFFSETS..PLACE_OF_OFFSETS + 4].copy_from_slice(&distance.to_le_bytes());
                code.resize(OFFSETS_AT + 16, 0);
                write(process, begin, &code)?;
            }
            resume(process).await?;
            if is_clear {
                return Ok(Self { process, offsets: begin + OFFSETS_AT as u64 });
            }
        }
        bail!("a thread of process {process} always reads the time")
    }

    /// So many seconds more than the machine's own clocks show.
    ///
    /// # Errors
    /// Where the process is gone.
    pub(crate) fn set(&self, wall: i64, boot: i64) -> Result<()> {
        write(self.process, self.offsets, &[wall.to_le_bytes(), boot.to_le_bytes()].concat())
    }
}

/// Stops every thread of a process (SIGSTOP).
///
/// # Errors
/// Where it is gone or goes on.
pub(crate) async fn halt(process: u32) -> Result<()> {
    signal(process, "STOP").await?;
    for _ in 0..LOOKS {
        if states(process)?.iter().all(|state| *state == 'T') {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    bail!("process {process} does not stop")
}

/// Lets it go on.
///
/// # Errors
/// Where it is gone.
pub(crate) async fn resume(process: u32) -> Result<()> {
    signal(process, "CONT").await
}

async fn signal(process: u32, name: &str) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).arg(process.to_string());
    let ended = kill.status().await.context("running kill")?;
    ensure!(ended.success(), "process {process} takes no signal");
    Ok(())
}

/// The state of each thread (proc_pid_stat(5)).
fn states(process: u32) -> Result<Vec<char>> {
    let of = |text: String| text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?');
    Ok(of_threads(process, "stat")?.into_iter().map(of).collect())
}

/// Where in the program each stopped thread is (proc_pid_syscall(5)).
fn threads_at(process: u32) -> Result<Vec<u64>> {
    let of = |text: String| {
        text.split_whitespace().last().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
    };
    Ok(of_threads(process, "syscall")?.into_iter().filter_map(of).collect())
}

fn of_threads(process: u32, file: &str) -> Result<Vec<String>> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).context("looking at a process's threads")?;
    // A thread may end while it is looked at.
    Ok(threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join(file)).ok()).collect())
}

/// Where the kernel mapped its library.
fn library(process: u32) -> Result<Range<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).context("reading a process's maps")?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).context("the process has no library of the kernel's")?;
    let (begin, end) = line.split_whitespace().next().and_then(|range| range.split_once('-')).context("a map without a place")?;
    let number = |text: &str| u64::from_str_radix(text, 16).context("a map's place");
    let range = number(begin)?..number(end)?;
    ensure!(range.end - range.start <= MAX_LIBRARY, "the kernel's library is unusually large");
    Ok(range)
}

fn open(process: u32) -> Result<File> {
    let memory = format!("/proc/{process}/mem");
    OpenOptions::new().read(true).write(true).open(Path::new(&memory)).with_context(|| format!("opening {memory}"))
}

fn read(process: u32, range: Range<u64>) -> Result<Vec<u8>> {
    let mut memory = open(process)?;
    memory.seek(SeekFrom::Start(range.start)).context("finding the kernel's library")?;
    let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
    memory.read_exact(&mut bytes).context("reading the kernel's library")?;
    Ok(bytes)
}

fn write(process: u32, at: u64, bytes: &[u8]) -> Result<()> {
    let mut memory = open(process)?;
    memory.seek(SeekFrom::Start(at)).context("finding the function for the clocks")?;
    memory.write_all(bytes).context("writing the function for the clocks")
}

/// Place and size of the function in the library, which is an ELF file of 64 bits.
fn function(image: &[u8]) -> Option<(u64, u64)> {
    const DYNAMIC_SYMBOLS: u32 = 11;
    let (sections, count) = (long(image, 0x28)?, short(image, 0x3c)?);
    let section = |number: u64| sections + number * 0x40;
    let symbols = (0..u64::from(count)).map(section).find(|at| word(image, at + 4) == Some(DYNAMIC_SYMBOLS))?;
    let (begin, bytes) = (long(image, symbols + 0x18)?, long(image, symbols + 0x20)?);
    let names = long(image, section(u64::from(word(image, symbols + 0x28)?)) + 0x18)?;
    let is_it = |at: &u64| {
        let name = word(image, *at).and_then(|name| image.get(usize::try_from(names + u64::from(name)).ok()?..));
        name.is_some_and(|name| name.starts_with(FUNCTION) && name.get(FUNCTION.len()) == Some(&0))
    };
    let symbol = (begin..begin + bytes).step_by(0x18).find(is_it)?;
    Some((long(image, symbol + 8)?, long(image, symbol + 16)?))
}

fn part<const N: usize>(image: &[u8], at: u64) -> Option<[u8; N]> {
    let at = usize::try_from(at).ok()?;
    image.get(at..at + N)?.try_into().ok()
}

fn long(image: &[u8], at: u64) -> Option<u64> {
    part(image, at).map(u64::from_le_bytes)
}

fn word(image: &[u8], at: u64) -> Option<u32> {
    part(image, at).map(u32::from_le_bytes)
}

fn short(image: &[u8], at: u64) -> Option<u16> {
    part(image, at).map(u16::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_ends_where_its_jumps_say_and_the_offsets_stand_behind_it() {
        let (wall, boot, ret) = (33, 40, 0xc3);
        let goes_to = |jump: usize| jump + 2 + usize::from(CODE[jump + 1]);
        assert_eq!((goes_to(20), goes_to(25), goes_to(30)), (wall, wall, boot));
        assert_eq!(CODE[goes_to(9)], ret, "what failed gets no offset");
        assert_eq!((CODE[wall - 1], CODE[boot - 1], CODE.last()), (ret, ret, Some(&ret)), "each part ends");
        assert!(OFFSETS_AT >= CODE.len() && OFFSETS_AT.is_multiple_of(8));
    }
}
