//! The agent as a service of Windows: asking the service control manager, and answering it.

use super::wide;
use super::windows_events::Kind;
use crate::stop::Stop;
use std::ffi::c_void;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_NOT_ACTIVE,
    ERROR_SERVICE_REQUEST_TIMEOUT, ERROR_SERVICE_SPECIFIC_ERROR, NO_ERROR,
};
use windows_sys::Win32::Storage::FileSystem::{DELETE, MOVEFILE_DELAY_UNTIL_REBOOT, MoveFileExW};
use windows_sys::Win32::System::Services as scm;

/// How long the service may take to end what it does, and to begin: the manager is told so, and waits as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);
/// A service that ended without a word is started again after these times, the third and each later time after the last; a quiet day forgets them.
const RESTART_AFTER_MS: [u32; 3] = [10_000, 10_000, 60_000];
const FORGET_AFTER_S: u32 = 86_400;
/// While anything else is being installed or started, the manager may keep its database to itself.
const LOCKED: i32 = 1_055;

/// What a service does until the token is cancelled.
type Work = Box<dyn FnOnce(CancellationToken) -> Result<(), Stop> + Send>;

static WORK: Mutex<Option<(String, Work)>> = Mutex::new(None);
static TOKEN: OnceLock<CancellationToken> = OnceLock::new();
/// The manager's handle of this service, as a number.
static STATUS: OnceLock<usize> = OnceLock::new();

/// Serves as the service of this name until the manager ends it.
///
/// # Errors
/// Where the manager did not start this process.
pub(crate) fn serve(name: &str, work: impl FnOnce(CancellationToken) -> Result<(), Stop> + Send + 'static) -> io::Result<()> {
    *WORK.lock().unwrap_or_else(PoisonError::into_inner) = Some((name.to_owned(), Box::new(work)));
    let mut name = wide(name);
    let table = [
        scm::SERVICE_TABLE_ENTRYW { lpServiceName: name.as_mut_ptr(), lpServiceProc: Some(main) },
        scm::SERVICE_TABLE_ENTRYW::default(),
    ];
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the table ends in an empty entry and outlives the call, which returns when the service has ended.
    let served = unsafe { scm::StartServiceCtrlDispatcherW(table.as_ptr()) };
    if served == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Where the manager starts the service, on a thread of its own.
extern "system" fn main(_count: u32, _arguments: *mut *mut u16) {
    let Some((name, work)) = WORK.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let (token, letters) = (CancellationToken::new(), wide(&name));
    let _ = TOKEN.set(token.clone());
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the name ends in a zero; the handler is a function of this program.
    let handle = unsafe { scm::RegisterServiceCtrlHandlerExW(letters.as_ptr(), Some(control), std::ptr::null()) };
    if handle.is_null() {
        return;
    }
    let _ = STATUS.set(handle as usize);
    // Nothing slow comes before: the manager waits thirty seconds for this word.
    report(scm::SERVICE_RUNNING, NO_ERROR, 0);
    let asked = token.clone();
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(token)));
    match done {
        Ok(Ok(())) => report(scm::SERVICE_STOPPED, NO_ERROR, 0),
        Ok(Err(stop)) => {
            super::windows_events::write(&name, Kind::Error, &stop.words());
            // The manager starts again what ended without a word, and not what ended in order. With SERVICE_CONFIG_FAILURE_ACTIONS_FLAG it would start
            // either: one whose file is wrong, each minute for ever.
            if stop.may_pass() && !asked.is_cancelled() {
                std::process::exit(stop.exit.into());
            }
            report(scm::SERVICE_STOPPED, ERROR_SERVICE_SPECIFIC_ERROR, stop.exit.into());
        }
        // Without that word the manager takes it for the crash that it is, and starts the service anew.
        Err(_) => std::process::abort(),
    }
}

extern "system" fn control(control: u32, _kind: u32, _data: *mut c_void, _context: *mut c_void) -> u32 {
    match control {
        scm::SERVICE_CONTROL_STOP | scm::SERVICE_CONTROL_SHUTDOWN => {
            report(scm::SERVICE_STOP_PENDING, NO_ERROR, 0);
            if let Some(token) = TOKEN.get() {
                token.cancel();
            }
            NO_ERROR
        }
        scm::SERVICE_CONTROL_INTERROGATE => NO_ERROR,
        _ => ERROR_CALL_NOT_IMPLEMENTED,
    }
}

fn report(state: u32, exit: u32, own_exit: u32) {
    let Some(handle) = STATUS.get() else { return };
    let accepted = if state == scm::SERVICE_RUNNING { scm::SERVICE_ACCEPT_STOP | scm::SERVICE_ACCEPT_SHUTDOWN } else { 0 };
    let pending = state == scm::SERVICE_STOP_PENDING;
    let status = scm::SERVICE_STATUS {
        dwServiceType: scm::SERVICE_WIN32_OWN_PROCESS,
        dwCurrentState: state,
        dwControlsAccepted: accepted,
        dwWin32ExitCode: exit,
        dwServiceSpecificExitCode: own_exit,
        dwCheckPoint: u32::from(pending),
        dwWaitHint: if pending { PATIENCE.as_millis() as u32 } else { 0 },
    };
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the handle is the manager's for this service, and stays open for the life of the process.
    unsafe {
        scm::SetServiceStatus(*handle as scm::SERVICE_STATUS_HANDLE, &raw const status);
    }
}

/// A handle of the manager's.
struct Handle(scm::SC_HANDLE);

impl Handle {
    fn of(handle: scm::SC_HANDLE) -> io::Result<Self> {
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }

    fn manager(rights: u32) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: null stands for this machine and its one database.
        Self::of(unsafe { scm::OpenSCManagerW(std::ptr::null(), std::ptr::null(), rights) })
    }

    /// None where there is no such service.
    fn service(name: &str, rights: u32) -> io::Result<Option<Self>> {
        let (manager, name) = (Self::manager(scm::SC_MANAGER_CONNECT)?, wide(name));
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the manager's handle is open, the name ends in a zero.
        let found = Self::of(unsafe { scm::OpenServiceW(manager.0, name.as_ptr(), rights) });
        match found {
            Err(error) if error.raw_os_error() == Some(ERROR_SERVICE_DOES_NOT_EXIST.cast_signed()) => Ok(None),
            found => found.map(Some),
        }
    }

    fn configure<T>(&self, what: u32, value: &T) -> io::Result<()> {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: every caller gives the structure that belongs to `what`; it outlives the call.
        let done = unsafe { scm::ChangeServiceConfig2W(self.0, what, std::ptr::from_ref(value).cast()) };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn state(&self) -> io::Result<u32> {
        let mut status = scm::SERVICE_STATUS::default();
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the handle is open; the system fills the one structure.
        let told = unsafe { scm::QueryServiceStatus(self.0, &raw mut status) };
        if told == 0 { Err(io::Error::last_os_error()) } else { Ok(status.dwCurrentState) }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the handle was opened for this structure, which alone closes it.
        unsafe {
            scm::CloseServiceHandle(self.0);
        }
    }
}

/// Makes a service that starts a while after the system, as the account of least rights that has a network, with rights of its own.
///
/// # Errors
/// The system's own, such as 5 without an administrator's rights and 1073 where there is one already.
pub(crate) fn install(name: &str, display: &str, description: &str, command_line: &str) -> io::Result<()> {
    let manager = Handle::manager(scm::SC_MANAGER_CONNECT | scm::SC_MANAGER_CREATE_SERVICE)?;
    let [name, display, command_line, account] = [name, display, command_line, r"NT AUTHORITY\LocalService"].map(wide);
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: every text ends in a zero and outlives the call; null stands for none.
    let made = Handle::of(unsafe {
        scm::CreateServiceW(
            manager.0,
            name.as_ptr(),
            display.as_ptr(),
            scm::SERVICE_ALL_ACCESS,
            scm::SERVICE_WIN32_OWN_PROCESS,
            scm::SERVICE_AUTO_START,
            scm::SERVICE_ERROR_NORMAL,
            command_line.as_ptr(),
            std::ptr::null(),
            std::ptr::null_mut(),
            std::ptr::null(),
            account.as_ptr(),
            std::ptr::null(),
        )
    })?;
    let mut description = wide(description);
    made.configure(scm::SERVICE_CONFIG_DESCRIPTION, &scm::SERVICE_DESCRIPTIONW { lpDescription: description.as_mut_ptr() })?;
    let mut actions = RESTART_AFTER_MS.map(|delay| scm::SC_ACTION { Type: scm::SC_ACTION_RESTART, Delay: delay });
    let recovery = scm::SERVICE_FAILURE_ACTIONSW {
        dwResetPeriod: FORGET_AFTER_S,
        cActions: actions.len() as u32,
        lpsaActions: actions.as_mut_ptr(),
        ..Default::default()
    };
    // What an older system, or one that only imitates Windows, does not know is left as it is by default.
    let _ = made.configure(scm::SERVICE_CONFIG_FAILURE_ACTIONS, &recovery);
    let _ = made
        .configure(scm::SERVICE_CONFIG_DELAYED_AUTO_START_INFO, &scm::SERVICE_DELAYED_AUTO_START_INFO { fDelayedAutostart: 1 });
    let _ = made.configure(
        scm::SERVICE_CONFIG_SERVICE_SID_INFO,
        &scm::SERVICE_SID_INFO { dwServiceSidType: scm::SERVICE_SID_TYPE_UNRESTRICTED },
    );
    Ok(())
}

/// Starts the service, after a while where the manager is busy with another.
///
/// # Errors
/// The system's own.
pub(crate) fn start(name: &str) -> io::Result<()> {
    let service = Handle::service(name, scm::SERVICE_START)?.ok_or(io::ErrorKind::NotFound)?;
    let mut left = PATIENCE;
    loop {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the handle is open, and there are no arguments.
        let started = unsafe { scm::StartServiceW(service.0, 0, std::ptr::null()) };
        if started != 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(LOCKED) || left.is_zero() {
            return Err(error);
        }
        left = left.saturating_sub(LOOK);
        std::thread::sleep(LOOK);
    }
}

/// What became of a service that was to be removed.
pub(crate) enum Removal {
    /// There was none.
    Absent,
    Removed,
    /// It was asked to end, still runs after [`PATIENCE`], and is left where it was.
    StillRuns,
}

/// Ends the service, waits until it has ended, and removes it then.
///
/// # Errors
/// The system's own.
pub(crate) fn stop_and_remove(name: &str) -> io::Result<Removal> {
    let rights = scm::SERVICE_STOP | scm::SERVICE_QUERY_STATUS | DELETE;
    let Some(service) = Handle::service(name, rights)? else { return Ok(Removal::Absent) };
    let mut status = scm::SERVICE_STATUS::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the handle is open; the system fills the one structure.
    let asked = unsafe { scm::ControlService(service.0, scm::SERVICE_CONTROL_STOP, &raw mut status) };
    let error = io::Error::last_os_error();
    // It has ended, it ends or begins already, or it does not listen: its state tells.
    let told = [ERROR_SERVICE_NOT_ACTIVE, ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_REQUEST_TIMEOUT];
    if asked == 0 && !told.iter().any(|code| error.raw_os_error() == Some(code.cast_signed())) {
        return Err(error);
    }
    let mut left = PATIENCE;
    while service.state()? != scm::SERVICE_STOPPED {
        if left.is_zero() {
            return Ok(Removal::StillRuns);
        }
        left = left.saturating_sub(LOOK);
        std::thread::sleep(LOOK);
    }
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the handle is open.
    let removed = unsafe { scm::DeleteService(service.0) };
    if removed == 0 { Err(io::Error::last_os_error()) } else { Ok(Removal::Removed) }
}

/// The word for a service at work.
pub(crate) const RUNNING: &str = "running";

/// The state in a word; none where there is no such service.
///
/// # Errors
/// The system's own.
pub(crate) fn state(name: &str) -> io::Result<Option<&'static str>> {
    let Some(service) = Handle::service(name, scm::SERVICE_QUERY_STATUS)? else { return Ok(None) };
    Ok(Some(match service.state()? {
        scm::SERVICE_STOPPED => "stopped",
        scm::SERVICE_START_PENDING => "starting",
        scm::SERVICE_STOP_PENDING => "stopping",
        scm::SERVICE_RUNNING => RUNNING,
        _ => "in another state",
    }))
}

/// What the manager starts for the service; none where there is no such service.
///
/// # Errors
/// The system's own.
pub(crate) fn command_line(name: &str) -> io::Result<Option<String>> {
    /// The most that the manager tells ("QueryServiceConfigW" of the Windows documentation).
    const MAX_BYTES: usize = 8_192;
    let Some(service) = Handle::service(name, scm::SERVICE_QUERY_CONFIG)? else { return Ok(None) };
    // Of numbers, so that the structure lies where it may.
    let mut room = [0_u64; MAX_BYTES / size_of::<u64>()];
    let mut needed = 0;
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the handle is open, and the room as large as is said; the structure is at its beginning, and points to texts within it that end in a zero.
    let line = unsafe {
        let told = room.as_mut_ptr().cast::<scm::QUERY_SERVICE_CONFIGW>();
        if scm::QueryServiceConfigW(service.0, told, MAX_BYTES as u32, &raw mut needed) == 0 {
            return Err(io::Error::last_os_error());
        }
        let letters = (*told).lpBinaryPathName;
        if letters.is_null() {
            return Ok(Some(String::new()));
        }
        let length = (0..MAX_BYTES / 2).take_while(|at| *letters.add(*at) != 0).count();
        String::from_utf16_lossy(std::slice::from_raw_parts(letters, length))
    };
    Ok(Some(line))
}

/// A program cannot remove its own file while it runs: the system does at its next start.
///
/// # Errors
/// The system's own.
pub(crate) fn remove_at_next_start(path: &std::path::Path) -> io::Result<()> {
    let path = wide(&path.to_string_lossy());
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the path ends in a zero; null stands for no new name.
    let noted = unsafe { MoveFileExW(path.as_ptr(), std::ptr::null(), MOVEFILE_DELAY_UNTIL_REBOOT) };
    if noted == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
