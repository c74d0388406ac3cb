//! A disk in memory that behaves as badly as one may.
//!
//! Every step has a name, such as `sync spool/ready/*/entry.json`, so that a suite can count which it cut. A step can be cut (nothing
//! happens after it, as if the process had died there), refused, or, for a sync, ignored. After a cut, [`Simulated::after`] gives the disk that the
//! next process finds: all that was done, where only the process died; where the power failed, what was synced for certain, and of the rest any
//! part in any order: a later write without an earlier one, half of a write, a name without its file's bytes.

use crate::steps::{Files, OpenFile};
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What ends a process, and what that does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process alone died: what it did is done.
    Process,
    /// The power failed, and nothing that was not synced is there.
    PowerNothing,
    /// The power failed; all names are there, and no bytes that were not synced.
    PowerNames,
    /// The power failed; of what was not synced, chance decides.
    Power(u64),
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// The process dies at the step of this number, from 0; a write is done by half.
    pub cut: Option<u64>,
    /// This step, and with `from_then_on` every later one that writes, is refused with the error.
    pub refuse: Option<(u64, io::ErrorKind)>,
    pub from_then_on: bool,
    /// Syncs of this name say that they are done, and do nothing.
    pub ignore: Option<String>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Simulated(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    nodes: Vec<Node>,
    fault: Fault,
    /// The steps that were taken.
    steps: Vec<String>,
    dead: bool,
    renames: u64,
    /// Where a cut came.
    cut_at: Option<String>,
}

#[derive(Clone, Debug)]
enum Node {
    File { now: Vec<u8>, safe: Vec<u8>, pending: Vec<Change> },
    Folder { now: BTreeMap<String, usize>, safe: BTreeMap<String, usize>, pending: Vec<Naming> },
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Link {
        name: String,
        node: usize,
        rename: Option<u64>,
    },
    Unlink {
        name: String,
        rename: Option<u64>,
    },
    /// Within one folder a rename is one step.
    Move {
        from: String,
        to: String,
        node: usize,
    },
}

const ROOT: usize = 0;

impl Naming {
    /// The rename between two folders that this is a half of.
    fn rename(&self) -> Option<u64> {
        match self {
            Self::Link { rename, .. } | Self::Unlink { rename, .. } => *rename,
            Self::Move { .. } => None,
        }
    }
}

impl Default for Simulated {
    fn default() -> Self {
        Self::of(vec![empty_folder()], Fault::default())
    }
}

impl Simulated {
    fn of(nodes: Vec<Node>, fault: Fault) -> Self {
        let world = World { nodes, fault, steps: Vec::new(), dead: false, renames: 0, cut_at: None };
        Self(Arc::new(Mutex::new(world)))
    }

    /// What goes wrong from now on; steps are counted anew.
    pub fn plan(&self, fault: Fault) {
        let mut world = self.world();
        world.fault = fault;
        world.steps.clear();
    }

    /// The names of the steps since the last plan, in order.
    pub fn steps(&self) -> Vec<String> {
        self.world().steps.clone()
    }

    /// The step at which the process died.
    pub fn cut_at(&self) -> Option<String> {
        self.world().cut_at.clone()
    }

    /// The disk that the next process finds.
    pub fn after(&self, crash: Crash) -> Self {
        let world = self.world();
        let nodes = match crash {
            Crash::Process => world.nodes.clone(),
            crash => lose(&world.nodes, crash),
        };
        Self::of(nodes, Fault::default())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After the power failed: what is left of each node, and all of it safe.
fn lose(nodes: &[Node], crash: Crash) -> Vec<Node> {
    let mut chance = Chance(if let Crash::Power(seed) = crash { seed } else { 0 });
    let random = matches!(crash, Crash::Power(_));
    // A rename has two halves, in two folders, and is done or not.
    let mut renames = BTreeMap::new();
    let mut left: Vec<Node> = nodes.to_vec();
    for node in &mut left {
        let Node::Folder { safe, pending, .. } = node else { continue };
        for naming in std::mem::take(pending) {
            let mut draw = || if random { chance.below(2) == 0 } else { crash == Crash::PowerNames };
            let survives = match naming.rename() {
                Some(rename) => *renames.entry(rename).or_insert_with(draw),
                None => draw(),
            };
            if survives {
                apply(safe, &naming);
            }
        }
    }
    for node in &mut left {
        if let Node::File { safe, pending, .. } = node {
            for change in std::mem::take(pending) {
                if random {
                    tear(safe, change, &mut chance);
                }
            }
        }
    }
    left.into_iter().map(settled).collect()
}

fn settled(node: Node) -> Node {
    match node {
        Node::File { safe, .. } => Node::File { now: safe.clone(), safe, pending: Vec::new() },
        Node::Folder { safe, .. } => Node::Folder { now: safe.clone(), safe, pending: Vec::new() },
    }
}

fn apply(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Link { name, node, .. } => {
            names.insert(name.clone(), *node);
        }
        Naming::Unlink { name, .. } => {
            names.remove(name);
        }
        Naming::Move { from, to, node } => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

/// Whole, half, zeros where nothing was before, or nothing. What was there before is there, or what was written over it: no disk makes zeros of either.
fn tear(bytes: &mut Vec<u8>, change: Change, chance: &mut Chance) {
    match (change, chance.below(4)) {
        (_, 0) => {}
        (Change::Length(length), _) => bytes.resize(length, 0),
        (Change::Write { offset, bytes: written }, 1) => {
            let length = bytes.len().max(offset + written.len());
            bytes.resize(length, 0);
        }
        (Change::Write { offset, bytes: written }, 2) => {
            let some = chance.below(written.len() as u64 + 1) as usize;
            write(bytes, offset, written.get(..some).unwrap_or_default());
        }
        (Change::Write { offset, bytes: written }, _) => write(bytes, offset, &written),
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    if bytes.len() < offset + written.len() {
        bytes.resize(offset + written.len(), 0);
    }
    if let Some(place) = bytes.get_mut(offset..offset + written.len()) {
        place.copy_from_slice(written);
    }
}

fn empty_folder() -> Node {
    Node::Folder { now: BTreeMap::new(), safe: BTreeMap::new(), pending: Vec::new() }
}

/// A small generator that is the same everywhere (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// What names differ in from run to run: digests, random parts, numbers.
fn step_name(what: &str, path: &Path) -> String {
    let is_random = |part: &str| part.len() >= 16 && part.chars().all(|c| c.is_ascii_hexdigit());
    let name = |part: &str| {
        let parts = part.split('.').map(|part| if is_random(part) { "*" } else { part });
        parts.collect::<Vec<_>>().join(".")
    };
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| if let Component::Normal(part) = part { Some(name(&part.to_string_lossy())) } else { None })
        .collect();
    format!("{what} {}", parts.join("/"))
}

impl World {
    /// Takes a step of this name, or dies in it. True where a write is to be done by half, since the process dies within it.
    fn step(&mut self, what: &str, path: &Path) -> io::Result<bool> {
        if self.dead {
            return Err(died());
        }
        let number = self.steps.len() as u64;
        let name = step_name(what, path);
        self.steps.push(name.clone());
        if self.fault.cut == Some(number) {
            self.dead = true;
            self.cut_at = Some(name);
            return if what == "write" { Ok(true) } else { Err(died()) };
        }
        let refused = |at: u64| at == number || (self.fault.from_then_on && number > at);
        match self.fault.refuse {
            Some((at, kind)) if refused(at) => Err(kind.into()),
            _ => Ok(false),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Some(Node::Folder { now, .. }) = self.nodes.get(at) else { return Err(io::ErrorKind::NotADirectory.into()) };
            at = *now.get(&*name.to_string_lossy()).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// The folder that a path lies in, and its name there.
    fn place(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        Ok((self.find(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn name_in(&mut self, folder: usize, naming: Naming) -> io::Result<()> {
        match self.nodes.get_mut(folder) {
            Some(Node::Folder { now, pending, .. }) => {
                apply(now, &naming);
                pending.push(naming);
                Ok(())
            }
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, node: usize) -> io::Result<(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<Change>)> {
        match self.nodes.get_mut(node) {
            Some(Node::File { now, safe, pending }) => Ok((now, safe, pending)),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn change(&mut self, node: usize, change: Change) -> io::Result<()> {
        let (now, _, pending) = self.file(node)?;
        match &change {
            Change::Write { offset, bytes } => write(now, *offset, bytes),
            Change::Length(length) => now.resize(*length, 0),
        }
        pending.push(change);
        Ok(())
    }

    fn opened(&mut self, path: &Path) -> io::Result<usize> {
        let (folder, name) = self.place(path)?;
        if let Ok(node) = self.find(path) {
            return Ok(node);
        }
        self.nodes.push(Node::File { now: Vec::new(), safe: Vec::new(), pending: Vec::new() });
        let node = self.nodes.len() - 1;
        self.name_in(folder, Naming::Link { name, node, rename: None })?;
        Ok(node)
    }

    fn is_ignored(&self, what: &str, path: &Path) -> bool {
        self.fault.ignore.as_deref() == Some(&step_name(what, path))
    }

    /// Makes a folder's names safe, and with them the other halves of its renames.
    fn settle(&mut self, folder: usize) -> io::Result<()> {
        let Some(Node::Folder { safe, pending, .. }) = self.nodes.get_mut(folder) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let done = std::mem::take(pending);
        done.iter().for_each(|naming| apply(safe, naming));
        let renames: Vec<u64> = done.iter().filter_map(Naming::rename).collect();
        for node in &mut self.nodes {
            let Node::Folder { safe, pending, .. } = node else { continue };
            // What came before the half in its folder is settled with it, as a journal does.
            let Some(last) = pending.iter().rposition(|naming| naming.rename().is_some_and(|rename| renames.contains(&rename)))
            else {
                continue;
            };
            pending.drain(..=last).for_each(|naming| apply(safe, &naming));
        }
        Ok(())
    }
}

fn died() -> io::Error {
    io::Error::other("the process died")
}

impl Files for Simulated {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut world = self.world();
        world.step("create", path)?;
        let node = world.opened(path)?;
        world.change(node, Change::Length(0))?;
        Ok(Box::new(Opened { disk: self.clone(), node, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut world = self.world();
        world.step("open", path)?;
        let node = world.opened(path)?;
        Ok(Box::new(Opened { disk: self.clone(), node, path: path.to_owned() }))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let node = self.world().find(path)?;
        Ok(Box::new(Opened { disk: self.clone(), node, path: path.to_owned() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut world = self.world();
        let node = world.find(path)?;
        Ok(world.file(node)?.0.clone())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.read(path).map(|bytes| bytes.len() as u64)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        match world.nodes.get(world.find(folder)?) {
            Some(Node::Folder { now, .. }) => Ok(now.keys().cloned().collect()),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        let world = self.world();
        world.find(path).is_ok_and(|node| matches!(world.nodes.get(node), Some(Node::Folder { .. })))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step("make folder", path)?;
        if world.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (folder, name) = world.place(path)?;
        world.nodes.push(empty_folder());
        let node = world.nodes.len() - 1;
        world.name_in(folder, Naming::Link { name, node, rename: None })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step("rename to", to)?;
        let node = world.find(from)?;
        if let Some(Node::Folder { now, .. }) = world.find(to).ok().and_then(|target| world.nodes.get(target))
            && !now.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let ((from_folder, from), (to_folder, to)) = (world.place(from)?, world.place(to)?);
        if from_folder == to_folder {
            return world.name_in(to_folder, Naming::Move { from, to, node });
        }
        world.renames += 1;
        let rename = Some(world.renames);
        world.name_in(to_folder, Naming::Link { name: to, node, rename })?;
        world.name_in(from_folder, Naming::Unlink { name: from, rename })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step("remove", path)?;
        world.find(path)?;
        let (folder, name) = world.place(path)?;
        world.name_in(folder, Naming::Unlink { name, rename: None })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step("remove folder", path)?;
        let node = world.find(path)?;
        if !matches!(world.nodes.get(node), Some(Node::Folder { now, .. }) if now.is_empty()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (folder, name) = world.place(path)?;
        world.name_in(folder, Naming::Unlink { name, rename: None })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step(SYNC_FOLDER, folder)?;
        let node = world.find(folder)?;
        if world.is_ignored(SYNC_FOLDER, folder) { Ok(()) } else { world.settle(node) }
    }
}

const SYNC: &str = "sync";
const SYNC_FOLDER: &str = "sync folder";

#[derive(Debug)]
struct Opened {
    disk: Simulated,
    node: usize,
    path: PathBuf,
}

impl OpenFile for Opened {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.disk.world();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let (is_cut, refused) = match world.step("write", &self.path) {
            Ok(false) => return world.change(self.node, Change::Write { offset, bytes: bytes.to_vec() }),
            Ok(true) => (true, died()),
            Err(error) => (false, error),
        };
        // A disk that is full, or a process that dies, leaves half of a write.
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
        if is_cut || !world.dead {
            world.change(self.node, Change::Write { offset, bytes: half })?;
        }
        Err(refused)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.step("set length", &self.path)?;
        world.change(self.node, Change::Length(usize::try_from(length).map_err(io::Error::other)?))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.world().file(self.node)?.0.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut world = self.disk.world();
        let begin = usize::try_from(offset).map_err(io::Error::other)?;
        let whole = world.file(self.node)?.0;
        let part = begin.checked_add(bytes.len()).and_then(|end| whole.get(begin..end));
        bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// All that happens on this disk happens in one process.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.step(SYNC, &self.path)?;
        if world.is_ignored(SYNC, &self.path) {
            return Ok(());
        }
        let (now, safe, pending) = world.file(self.node)?;
        *safe = now.clone();
        pending.clear();
        Ok(())
    }
}
