//! Owners and access lists of Windows: reading them, and keeping the machine's own folder to the machine.
//!
//! All is done by handles that follow no link: between a look at a name and a change by that name somebody may put another thing in its place.

use super::access::{ADMINISTRATORS, Access, Entry, Part, Standing, closed_list, standing, strange_owner};
use super::wide;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use windows_sys::Win32::Foundation::{CloseHandle, ERROR_ALREADY_EXISTS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, ConvertStringSidToSidW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT, SetSecurityInfo,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACL, CheckTokenMembership, DACL_SECURITY_INFORMATION, GetAce, GetSecurityDescriptorControl,
    GetSecurityDescriptorDacl, GetSecurityDescriptorOwner, GetTokenInformation, INHERIT_ONLY_ACE, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SE_DACL_PROTECTED, SECURITY_ATTRIBUTES, TOKEN_QUERY,
    TOKEN_USER, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateDirectoryW, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES,
    READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// `ACCESS_ALLOWED_ACE_TYPE` and `ACCESS_ALLOWED_CALLBACK_ACE_TYPE`, which a condition goes with; both begin alike ([MS-DTYP] section 2.4.4.1).
const ALLOWING: [u8; 2] = [0, 9];
/// Files and folders in the machine's own folder that are looked at: the spool and the history are bounded to far fewer.
const MAX_LOOKED_AT: usize = 50_000;
/// In a folder that is closed already, nobody else can put anything: what lies at its top, and in its state, was there before at most.
const SHALLOW: usize = 2;
/// Letters of an identifier as text: at most fifteen numbers of ten digits ([MS-DTYP] section 2.4.2).
const MAX_IDENTIFIER: usize = 256;

/// The account that this process runs as.
///
/// # Errors
/// The system's own.
pub(crate) fn me() -> io::Result<String> {
    // The structure and an identifier behind it, of 68 bytes at most.
    let (mut token, mut user, mut length) = (std::ptr::null_mut(), [0_u64; 32], 0);
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the token is closed here; the system writes at most as many bytes as it is told, and the identifier lies within them.
    unsafe {
        if OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) == 0 {
            return Err(io::Error::last_os_error());
        }
        let room = size_of_val(&user) as u32;
        let told = GetTokenInformation(token, TokenUser, user.as_mut_ptr().cast(), room, &raw mut length);
        let error = io::Error::last_os_error();
        CloseHandle(token);
        if told == 0 { Err(error) } else { identifier((*user.as_ptr().cast::<TOKEN_USER>()).User.Sid) }
    }
}

/// Whether this process has an administrator's rights: the group is on its token, and not for denials alone, as it is before User Account Control
/// was asked.
pub(crate) fn is_administrator() -> bool {
    let (group, mut identifier, mut is_member) = (wide(ADMINISTRATORS), std::ptr::null_mut(), 0);
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the text ends in a zero; the system allots the identifier, which is given back here; null stands for this process's own token.
    unsafe {
        if ConvertStringSidToSidW(group.as_ptr(), &raw mut identifier) == 0 {
            return false;
        }
        let told = CheckTokenMembership(std::ptr::null_mut(), identifier, &raw mut is_member);
        LocalFree(identifier);
        told != 0 && is_member != 0
    }
}

/// Owner and list of what is open.
///
/// # Errors
/// The system's own.
pub(crate) fn of(file: &File) -> io::Result<Access> {
    let (mut owner, mut list, mut descriptor) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the handle is open; owner and list lie within the descriptor, which lives until the end of the block.
    unsafe {
        let (handle, none) = (file.as_raw_handle(), std::ptr::null_mut());
        let (owner_at, list_at) = (&raw mut owner, &raw mut list);
        let error =
            GetSecurityInfo(handle, SE_FILE_OBJECT, what, owner_at, none, list_at, std::ptr::null_mut(), &raw mut descriptor);
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error.cast_signed()));
        }
        let descriptor = Descriptor(descriptor);
        let (mut control, mut revision) = (0, 0);
        GetSecurityDescriptorControl(descriptor.0, &raw mut control, &raw mut revision);
        Ok(Access { owner: identifier(owner)?, entries: entries(list)?, protected: control & SE_DACL_PROTECTED != 0 })
    }
}

/// A file with each folder on the way to it, links resolved; `first` says what the folder that it lies in is.
///
/// # Errors
/// The system's own, such as on a drive that has no access lists.
pub(crate) fn way_to(path: &Path, first: Part) -> io::Result<Vec<(PathBuf, Part, Access)>> {
    let path = path.canonicalize()?;
    let parts = [Part::File, first].into_iter().chain(std::iter::repeat(Part::Folder));
    // What a person reads has not the mark that the system puts before a path that it resolved.
    let plain = |at: &Path| PathBuf::from(at.to_string_lossy().trim_start_matches(r"\\?\"));
    path.ancestors().zip(parts).map(|(at, part)| Ok((plain(at), part, of(&open(at, READ_CONTROL)?)?))).collect()
}

/// Makes the machine's own folder, or takes the one that is there where nobody else had a hand in it; closes it to others than the system,
/// administrators and the service.
///
/// # Errors
/// `PermissionDenied` with a [`super::access::Stranger`] within where somebody else put it or something in it there; the system's own.
pub(crate) fn keep(folder: &Path, service: &str) -> io::Result<()> {
    let closed = Descriptor::of(&closed_list(service))?;
    make(folder, &closed)?;
    let me = me()?;
    // To hand the list on to what is within, the system lists the folder.
    let all = READ_CONTROL | WRITE_DAC | WRITE_OWNER | FILE_LIST_DIRECTORY;
    let opened = open(folder, all).or_else(|_| open(folder, READ_CONTROL))?;
    refuse_link(folder, &opened)?;
    match standing(folder, &of(&opened)?, service, &me) {
        Standing::Strange(stranger) => Err(refused(stranger)),
        Standing::Closed => look_within(folder, SHALLOW, &me, |_| Ok(())),
        Standing::Open => {
            // Before anything is changed, and again when nobody can add to it any more.
            look_within(folder, usize::MAX, &me, |_| Ok(()))?;
            closed.give(&opened, OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION)?;
            look_within(folder, usize::MAX, &me, |mine| closed.give(&open(mine, WRITE_OWNER)?, OWNER_SECURITY_INFORMATION))
        }
    }
}

fn refused(stranger: super::access::Stranger) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, stranger)
}

/// With this list from its first moment on.
fn make(folder: &Path, closed: &Descriptor) -> io::Result<()> {
    let name = wide(&folder.to_string_lossy());
    let attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: closed.0,
        bInheritHandle: 0,
    };
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the name ends in a zero; both outlive the call.
    let made = unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) };
    if made != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed()) { Ok(()) } else { Err(error) }
}

/// Looks at all that lies in the folder, so many levels deep, and has `adopt` take what belongs to the account itself.
fn look_within(folder: &Path, levels: usize, me: &str, adopt: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let (mut folders, mut looked_at) = (vec![(folder.to_owned(), levels)], 0);
    while let Some((folder, levels)) = folders.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let opened = match open(&path, READ_CONTROL) {
                // A service at work has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let access = of(&opened)?;
            if let Some(stranger) = strange_owner(&path, &access, me) {
                return Err(refused(stranger));
            }
            refuse_link(&path, &opened)?;
            if access.owner == me {
                adopt(&path)?;
            }
            looked_at += 1;
            if looked_at > MAX_LOOKED_AT {
                return Err(io::Error::other(format!("{} holds more than {MAX_LOOKED_AT} files", folder.display())));
            }
            if levels > 1 && opened.metadata()?.is_dir() {
                folders.push((path, levels - 1));
            }
        }
    }
    Ok(())
}

fn refuse_link(path: &Path, opened: &File) -> io::Result<()> {
    if !opened.metadata()?.is_symlink() {
        return Ok(());
    }
    let words = format!("{} is a link, and netsonde follows none there", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, words))
}

/// A file or a folder, or a link itself.
fn open(path: &Path, rights: u32) -> io::Result<File> {
    let flags = FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT;
    File::options().access_mode(rights | FILE_READ_ATTRIBUTES).custom_flags(flags).open(path)
}

/// A security descriptor that the system allotted.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn of(text: &str) -> io::Result<Self> {
        let (text, mut found) = (wide(text), std::ptr::null_mut());
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the text ends in a zero; nobody asks for the length.
        let made = unsafe {
            let none = std::ptr::null_mut();
            ConvertStringSecurityDescriptorToSecurityDescriptorW(text.as_ptr(), SDDL_REVISION_1, &raw mut found, none)
        };
        if made == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(found)) }
    }

    /// Gives a file or folder this owner or this list, as `what` says; what lies in a folder inherits the list.
    fn give(&self, to: &File, what: u32) -> io::Result<()> {
        let (mut owner, mut list, mut present, mut defaulted) = (std::ptr::null_mut(), std::ptr::null_mut(), 0, 0);
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: owner and list lie within the descriptor, which outlives the call; the handle is open.
        let error = unsafe {
            if GetSecurityDescriptorOwner(self.0, &raw mut owner, &raw mut defaulted) == 0
                || GetSecurityDescriptorDacl(self.0, &raw mut present, &raw mut list, &raw mut defaulted) == 0
            {
                return Err(io::Error::last_os_error());
            }
            SetSecurityInfo(to.as_raw_handle(), SE_FILE_OBJECT, what, owner, std::ptr::null_mut(), list, std::ptr::null())
        };
        if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error.cast_signed())) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the interface is one of C")]
        // SAFETY: the system allotted it for this structure, which alone gives it back.
        unsafe {
            LocalFree(self.0);
        }
    }
}

/// The entries that allow something; none for a list that is not there.
///
/// # Safety
/// The list is null or one of the system's, which checked its entries.
#[expect(unsafe_code, reason = "the system gives lists by pointers")]
unsafe fn entries(list: *const ACL) -> io::Result<Option<Vec<Entry>>> {
    if list.is_null() {
        return Ok(None);
    }
    let mut found = Vec::new();
    // SAFETY: the caller vouches for the list; an entry that allows has its rights and an identifier behind its header.
    unsafe {
        for index in 0..u32::from((*list).AceCount) {
            let mut at: *mut c_void = std::ptr::null_mut();
            if GetAce(list, index, &raw mut at) == 0 {
                return Err(io::Error::last_os_error());
            }
            let entry = at.cast::<ACCESS_ALLOWED_ACE>();
            if !ALLOWING.contains(&(*entry).Header.AceType) {
                continue;
            }
            found.push(Entry {
                who: identifier((&raw mut (*entry).SidStart).cast())?,
                rights: (*entry).Mask,
                is_for_heirs: u32::from((*entry).Header.AceFlags) & INHERIT_ONLY_ACE != 0,
            });
        }
    }
    Ok(Some(found))
}

/// An identifier as text.
///
/// # Safety
/// It is one of the system's, whole.
#[expect(unsafe_code, reason = "the system gives text by pointers")]
unsafe fn identifier(of: PSID) -> io::Result<String> {
    let mut text = std::ptr::null_mut();
    // SAFETY: the caller vouches for the identifier; the text ends in a zero, and is given back here.
    unsafe {
        if ConvertSidToStringSidW(of, &raw mut text) == 0 {
            return Err(io::Error::last_os_error());
        }
        let length = (0..MAX_IDENTIFIER).take_while(|at| *text.add(*at) != 0).count();
        let found = String::from_utf16_lossy(std::slice::from_raw_parts(text, length));
        LocalFree(text.cast());
        Ok(found)
    }
}
