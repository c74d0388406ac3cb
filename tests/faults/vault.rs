use crate::cutting::Subject;
use netsonde_backend::faults::Vault as Bytes;
use netsonde_disk::Disk;
use std::collections::BTreeSet;
use std::io;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};

/// What the backend's disk work waits on; one for all lives, of which there are thousands.
static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| Builder::new_current_thread().build().ok());

const FIRST: &[u8] = &[7; 900];
const SECOND: &[u8] = &[9; 40];
const PART: &[u8] = &[1; 500];
const REST: &[u8] = &[2; 300];

/// The backend's staged parts and blobs: an upload of two parts, the blob that comes of it, another upload and blob, and a blob that is set aside.
pub(crate) struct Vault(Bytes);

fn wait<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = RUNTIME.as_ref().ok_or_else(|| io::Error::other("there is no runtime"))?;
    Ok(runtime.block_on(future))
}

impl Vault {
    fn is_staged(&self, upload: &str, parts: &[&[u8]]) -> bool {
        let whole = parts.concat();
        wait(self.0.staged(upload, whole.len() as u64)).is_ok_and(|read| read.is_ok_and(|read| read == whole))
    }
}

impl Subject for Vault {
    const DEEDS: u64 = 6;

    fn begin(disk: Disk) -> io::Result<Self> {
        wait(Bytes::begin(disk))?.map(Self)
    }

    fn perform(&self, deed: u64) -> io::Result<()> {
        match deed {
            0 => wait(self.0.stage("one", 0, PART))?,
            1 => wait(self.0.stage("one", PART.len() as u64, REST))?,
            2 => wait(self.0.store(FIRST))?,
            3 => wait(self.0.stage("two", 0, REST))?,
            4 => wait(self.0.store(SECOND))?,
            // A blob that was set aside already comes once more.
            _ => {
                if !wait(self.0.has(FIRST))?.is_ok_and(|(is_in_place, _)| is_in_place) {
                    wait(self.0.store(FIRST))??;
                }
                wait(self.0.set_aside(FIRST))?
            }
        }
    }

    fn present(&self) -> Result<BTreeSet<u64>, String> {
        let has = |blob| wait(self.0.has(blob)).map_err(|error| error.to_string())?;
        let ((in_place, aside), second) = (has(FIRST)?, has(SECOND)?);
        let there = [
            self.is_staged("one", &[PART]),
            self.is_staged("one", &[PART, REST]),
            in_place || aside,
            self.is_staged("two", &[REST]),
            second.0,
            aside && !in_place,
        ];
        Ok((0..).zip(there).filter_map(|(deed, is_there)| is_there.then_some(deed)).collect())
    }
}
