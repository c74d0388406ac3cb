use std::fmt::Debug;
use std::io;
use std::path::Path;

/// The steps that a disk takes. Each may fail, and a crash may come between any two.
pub trait Files: Debug + Send + Sync {
    /// Makes an empty file that only its owner may read, or empties the one that is there.
    ///
    /// # Errors
    /// What the disk says; so for all of these.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Opens a file for writing and reading as it is, making it where it is not there.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Opens a file that is there for reading alone; nothing is made.
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Of a file, in bytes.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// What is in a folder, sorted; names that are no Unicode are none of ours.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;

    fn is_folder(&self, path: &Path) -> bool;

    /// Makes a folder that only its owner may look into; its parent must be there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Moves a file or a folder. A file at the new place makes room, a folder there must be empty.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Returns once the names in the folder are on the disk; what the named files hold is their own matter.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is open for writing and reading.
pub trait OpenFile: Debug + Send {
    /// Writes all bytes from this place on.
    ///
    /// # Errors
    /// What the disk says; so for all of these.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    fn set_length(&mut self, length: u64) -> io::Result<()>;

    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from this place on; a file that ends before is an error.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Keeps other processes that lock the file away for as long as it is open. False where one of them has it.
    fn try_lock(&self) -> io::Result<bool>;

    /// Returns once the file's bytes are on the disk.
    fn sync(&mut self) -> io::Result<()>;
}
