//! An agent waits nearly all of its life. What starting and measuring read of the program's file, and what they had of the heap, need not stay
//! mapped meanwhile.

/// Gives back what can be had again. The program's code and constants stay in the system's cache of files, from where the few pages that
/// waiting needs come back within microseconds; the allocator's free pages are new ones when they are wanted. Other systems do it by themselves.
pub(crate) fn give_back() {
    #[cfg(target_os = "linux")]
    linux::give_back();
}

/// Has all threads share one heap, to be called before there is a second thread. The C library of GNU would give each thread that runs at the same time a heap of its own, of
/// which runs that come and go leave more and more half used; one that is used for seconds a minute is never waited for. Other libraries have one heap.
pub(crate) fn share_one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    linux::share_one_heap();
}

#[cfg(target_os = "linux")]
mod linux {
    #![expect(unsafe_code, reason = "neither the program's segments nor what the allocator keeps have a safe call")]

    use nix::libc::{MADV_DONTNEED, PF_W, PT_LOAD, c_int, c_void, dl_iterate_phdr, dl_phdr_info, madvise, size_t};
    use nix::unistd::{SysconfVar, sysconf};
    use std::ops::Range;

    #[cfg(target_env = "gnu")]
    pub(super) fn share_one_heap() {
        // SAFETY: mallopt takes two numbers, and there is no second thread yet that might allocate meanwhile.
        unsafe {
            nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
        }
    }

    pub(super) fn give_back() {
        // SAFETY: malloc_trim takes nothing but its padding, and only returns free pages of the heap to the system.
        #[cfg(target_env = "gnu")]
        unsafe {
            nix::libc::malloc_trim(0);
        }
        for segment in segments() {
            // SAFETY: the pages are those of the program's own file that nobody may write: the next access reads the same bytes from it again.
            unsafe {
                madvise(segment.start as *mut c_void, segment.len(), MADV_DONTNEED);
            }
        }
    }

    /// The whole pages of the program's segments that nobody may write, neither now nor, as with relocations, at the start: code and constants.
    fn segments() -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let data: *mut Vec<Range<usize>> = &mut found;
        // SAFETY: `note` gets `data` back, which outlives the call, and reads only what the linker passes.
        unsafe { dl_iterate_phdr(Some(note), data.cast()) };
        let page =
            sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
        let Some(page) = page else { return Vec::new() };
        // A page at either end may belong to the next segment as well.
        let whole = |segment: Range<usize>| segment.start.next_multiple_of(page)..segment.end / page * page;
        found.into_iter().map(whole).filter(|segment| !segment.is_empty()).collect()
    }

    /// Notes the segments of the first object, which is the program itself, and ends the iteration there.
    unsafe extern "C" fn note(info: *mut dl_phdr_info, _: size_t, data: *mut c_void) -> c_int {
        // SAFETY: the linker passes a whole record, `data` is what `segments` gave it, and nobody else has either meanwhile.
        let (info, found) = unsafe { (&*info, &mut *data.cast::<Vec<Range<usize>>>()) };
        if info.dlpi_phdr.is_null() {
            return 1;
        }
        // SAFETY: the record counts its program headers.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_flags & PF_W == 0) {
            let field = |value| usize::try_from(value).unwrap_or_default();
            let start = field(info.dlpi_addr).wrapping_add(field(header.p_vaddr));
            found.push(start..start.saturating_add(field(header.p_filesz)));
        }
        1
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Of the program's own segments, in kB. What others in this process map meanwhile does not count.
        fn resident(segments: &[Range<usize>]) -> u64 {
            let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let hexadecimal = |text: &str| usize::from_str_radix(text, 16).ok();
            let (mut sum, mut is_own) = (0, false);
            for line in smaps.lines() {
                let first = line.split_whitespace().next().unwrap_or_default();
                let range = first.split_once('-').and_then(|(start, end)| Some(hexadecimal(start)?..hexadecimal(end)?));
                if let Some(range) = range {
                    is_own = segments.iter().any(|segment| segment.start < range.end && range.start < segment.end);
                } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| is_own) {
                    sum += size.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap();
                }
            }
            sum
        }

        #[test]
        fn code_that_is_given_back_still_runs_and_is_not_resident() {
            let segments = segments();
            assert!(!segments.is_empty(), "a program has code");
            let own = resident as *const () as usize;
            assert!(segments.iter().any(|segment| segment.contains(&own)), "{own:x} in {segments:x?}");
            // SAFETY: every byte lies in a mapped page of the program.
            let read = || {
                segments
                    .iter()
                    .flat_map(|part| part.clone().step_by(4096))
                    .map(|at| u64::from(unsafe { *(at as *const u8) }))
                    .sum::<u64>()
            };
            let before = read();
            let all = resident(&segments);
            give_back();
            let left = resident(&segments);
            assert!(left < all / 2, "{left} of {all} kB are left");
            assert_eq!(read(), before, "the same bytes come back");
        }
    }
}
