use netsonde_contract::observation::SystemLoad;
use windows_sys::Win32::System::SystemInformation::{GetNativeSystemInfo, GlobalMemoryStatusEx, MEMORYSTATUSEX, SYSTEM_INFO};

/// Processors and memory. The system keeps no averages of its load.
pub(crate) fn load() -> Option<SystemLoad> {
    let mut memory = MEMORYSTATUSEX { dwLength: size_of::<MEMORYSTATUSEX>() as u32, ..Default::default() };
    let mut system = SYSTEM_INFO::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the system fills the structures, of which the first says how long it is.
    let told = unsafe {
        GetNativeSystemInfo(&raw mut system);
        GlobalMemoryStatusEx(&raw mut memory)
    };
    // The page file's figures are of what programs may have been promised, memory included.
    let promised = memory.ullTotalPageFile.saturating_sub(memory.ullAvailPageFile);
    let in_memory = memory.ullTotalPhys.saturating_sub(memory.ullAvailPhys);
    (told != 0).then(|| SystemLoad {
        processors: system.dwNumberOfProcessors,
        memory_total_bytes: Some(memory.ullTotalPhys),
        memory_available_bytes: Some(memory.ullAvailPhys),
        swap_used_bytes: Some(promised.saturating_sub(in_memory)),
        ..SystemLoad::default()
    })
}
