//! Whom Windows lets change a file or a folder, and whether netsonde may build on it. Pure: what was read goes in, a judgement comes out.
//!
//! Accounts are named by their security identifiers as text ([MS-DTYP] section 2.4.2.4): a domain may give any name, and in any language.

use std::fmt;
use std::path::{Path, PathBuf};

/// Who owns something, and whom its access list lets do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) owner: String,
    /// None where there is no list: everybody may do everything.
    pub(crate) entries: Option<Vec<Entry>>,
    /// Nothing is inherited from above.
    pub(crate) protected: bool,
}

/// An entry of the list ([MS-DTYP] section 2.4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) who: String,
    /// `ACCESS_MASK`.
    pub(crate) rights: u32,
    /// It counts for what is made within, and not here.
    pub(crate) is_for_heirs: bool,
}

/// What a thing is on the way to the file that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    File,
    /// The folder with a program in it: what is put beside it, the program may load.
    ProgramFolder,
    /// A folder on the way: whoever may rename or empty it puts another one in its place.
    Folder,
}

/// Somebody else who could have put there what is found, or could put something else there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stranger {
    pub(crate) path: PathBuf,
    pub(crate) who: String,
    pub(crate) owns: bool,
}

/// How the machine's own folder stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Only the system, administrators and the service may look into it.
    Closed,
    /// It belongs to whom it may, and others may look into it, or put something there.
    Open,
    Strange(Stranger),
}

const SYSTEM: &str = "S-1-5-18";
pub(crate) const ADMINISTRATORS: &str = "S-1-5-32-544";
/// The account that the service runs as: what it writes belongs to it.
const LOCAL_SERVICE: &str = "S-1-5-19";
/// The service that installs Windows and its updates.
const TRUSTED_INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
/// Stand for the owner, who is looked at apart: CREATOR OWNER and OWNER RIGHTS.
const OF_OWNER: [&str; 2] = ["S-1-3-0", "S-1-3-4"];
/// Ends of domain accounts that administer this machine: the built-in administrator, the administrators of the domain, and of the forest.
const DOMAIN_ADMINISTRATORS: [&str; 3] = ["-500", "-512", "-519"];

const WRITE_DATA: u32 = 0x2;
const APPEND_DATA: u32 = 0x4;
const DELETE_CHILD: u32 = 0x40;
const DELETE: u32 = 0x1_0000;
const WRITE_DAC: u32 = 0x4_0000;
const WRITE_OWNER: u32 = 0x8_0000;
const GENERIC_ALL: u32 = 0x1000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
/// What takes a thing away or hands it to somebody.
const TAKE: u32 = DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_ALL;

impl Part {
    /// The rights that let somebody change what is found at the end of the way.
    fn dangerous(self) -> u32 {
        match self {
            Self::File => TAKE | WRITE_DATA | APPEND_DATA | GENERIC_WRITE,
            Self::ProgramFolder => TAKE | DELETE_CHILD | WRITE_DATA | APPEND_DATA | GENERIC_WRITE,
            Self::Folder => TAKE | DELETE_CHILD,
        }
    }
}

/// The system, its installer, and whoever administers the machine.
fn is_of_system(who: &str) -> bool {
    let is_domains = who.starts_with("S-1-5-21-") && DOMAIN_ADMINISTRATORS.iter().any(|end| who.ends_with(end));
    [SYSTEM, ADMINISTRATORS, TRUSTED_INSTALLER].contains(&who) || is_domains
}

/// The first thing on the way, from the file upwards, that somebody could change who is neither an administrator nor one of `known`.
pub(crate) fn stranger(way: &[(PathBuf, Part, Access)], known: &[&str]) -> Option<Stranger> {
    let is_known = |who: &str| is_of_system(who) || known.contains(&who);
    way.iter().find_map(|(path, part, access)| stranger_at(path, access, part.dangerous(), is_known))
}

/// What on the way the account `me` could change without an administrator's rights: so could whatever program it starts.
pub(crate) fn own_hand(way: &[(PathBuf, Part, Access)], me: &str) -> Option<PathBuf> {
    let found = way.iter().find_map(|(path, part, access)| stranger_at(path, access, part.dangerous(), is_of_system))?;
    (found.who == me).then_some(found.path)
}

fn stranger_at(path: &Path, access: &Access, dangerous: u32, is_known: impl Fn(&str) -> bool) -> Option<Stranger> {
    let found = |who: &str, owns| Some(Stranger { path: path.to_owned(), who: who.to_owned(), owns });
    if !is_known(&access.owner) {
        return found(&access.owner, true);
    }
    let Some(entries) = &access.entries else { return found(EVERYONE, false) };
    let others = entries.iter().filter(|entry| !entry.is_for_heirs && entry.rights & dangerous != 0);
    let other = others.map(|entry| entry.who.as_str()).find(|who| !OF_OWNER.contains(who) && !is_known(who))?;
    found(other, false)
}

const EVERYONE: &str = "S-1-1-0";

/// How the machine's own folder stands, for the account `me`. `service` is the service's own identity.
pub(crate) fn standing(path: &Path, access: &Access, service: &str, me: &str) -> Standing {
    if let Some(stranger) = strange_owner(path, access, me) {
        return Standing::Strange(stranger);
    }
    let keeps = |entry: &Entry| [SYSTEM, ADMINISTRATORS, service].contains(&entry.who.as_str());
    let is_closed = access.protected && access.entries.as_ref().is_some_and(|entries| entries.iter().all(keeps));
    // An owner may change the list at any time.
    if is_closed && is_of_system(&access.owner) { Standing::Closed } else { Standing::Open }
}

/// Something within the machine's own folder belongs to somebody who had no business there: before the folder was closed every user could put it
/// there. The service's account owns what it wrote.
pub(crate) fn strange_owner(path: &Path, access: &Access, me: &str) -> Option<Stranger> {
    let is_known = is_of_system(&access.owner) || [LOCAL_SERVICE, me].contains(&access.owner.as_str());
    (!is_known).then(|| Stranger { path: path.to_owned(), who: access.owner.clone(), owns: true })
}

/// The access list of the machine's own folder, in the language of security descriptors: it belongs to the administrators, nothing is inherited
/// from above, and all of it is handed on to what is made within.
pub(crate) fn closed_list(service: &str) -> String {
    format!("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{service})")
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, who, owns } = self;
        let named = match who.as_str() {
            EVERYONE => "everybody (S-1-1-0)".to_owned(),
            "S-1-5-11" => "every user that signed in (S-1-5-11)".to_owned(),
            "S-1-5-32-545" => "every user (S-1-5-32-545)".to_owned(),
            who => format!("the account {who}"),
        };
        match owns {
            true => write!(f, "{} belongs to {named}, who is no administrator of this machine", path.display()),
            false => write!(f, "{} can be changed by {named}", path.display()),
        }
    }
}

impl std::error::Error for Stranger {}

/// What an administrator does about a machine's folder that somebody else had a hand in.
pub(crate) fn way_out(folder: &Path, stranger: &Stranger) -> String {
    format!(
        "as administrator look at what lies there, move it away with `move \"{0}\" \"{0}.found\"`, and run the same command again; where you know who put it there: \
         icacls \"{1}\" /setowner *{ADMINISTRATORS} /t",
        folder.display(),
        stranger.path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "S-1-5-21-1-2-3-1001";
    const OTHER: &str = "S-1-5-21-1-2-3-1002";
    const USERS: &str = "S-1-5-32-545";
    const SIGNED_IN: &str = "S-1-5-11";
    const SERVICE: &str = "S-1-5-80-1-2-3-4-5";
    const FULL: u32 = 0x1f_01ff;
    const READ: u32 = 0x12_00a9;

    fn access(owner: &str, entries: &[(&str, u32)]) -> Access {
        let entry = |(who, rights): &(&str, u32)| Entry { who: (*who).to_owned(), rights: *rights, is_for_heirs: false };
        Access { owner: owner.to_owned(), entries: Some(entries.iter().map(entry).collect()), protected: false }
    }

    /// `C:\Program Files\netsonde\netsonde.exe` with the lists that Windows gives to each part.
    fn installed() -> Vec<(PathBuf, Part, Access)> {
        let usual = [(SYSTEM, FULL), (ADMINISTRATORS, FULL), (USERS, READ)];
        let mut root = access(TRUSTED_INSTALLER, &[(SYSTEM, FULL), (ADMINISTRATORS, FULL), (SIGNED_IN, 0x4), (USERS, READ)]);
        let for_heirs = Entry { who: SIGNED_IN.to_owned(), rights: 0x13_01bf, is_for_heirs: true };
        root.entries.as_mut().unwrap().push(for_heirs);
        vec![
            ("netsonde.exe".into(), Part::File, access(SYSTEM, &usual)),
            ("netsonde".into(), Part::ProgramFolder, access(ADMINISTRATORS, &usual)),
            ("Program Files".into(), Part::Folder, access(TRUSTED_INSTALLER, &usual)),
            (r"C:\".into(), Part::Folder, root),
        ]
    }

    #[test]
    fn a_program_below_program_files_is_nobodys_to_change() {
        assert_eq!((stranger(&installed(), &[ME]), own_hand(&installed(), ME)), (None, None));
    }

    #[test]
    fn a_program_that_a_normal_user_may_change_or_replace_is_named_with_the_place() {
        const MODIFY: u32 = 0x13_01bf;
        for (at, who, rights) in [
            (0, USERS, MODIFY),     // the file itself
            (0, USERS, WRITE_DAC),  // its access list
            (1, USERS, WRITE_DATA), // a library beside it
            (1, USERS, DELETE_CHILD),
            (2, SIGNED_IN, MODIFY), // C:\tools, made below the root, which hands it on
            (2, OTHER, DELETE),
            (3, EVERYONE, GENERIC_ALL),
        ] {
            let mut way = installed();
            let entries = way[at].2.entries.as_mut().unwrap();
            entries.push(Entry { who: who.to_owned(), rights, is_for_heirs: false });
            let found = stranger(&way, &[ME]).unwrap();
            assert_eq!((&found.path, found.who.as_str(), found.owns), (&way[at].0, who, false));
        }
        let mut way = installed();
        way[1].2.owner = OTHER.to_owned();
        assert!(stranger(&way, &[ME]).unwrap().to_string().contains("netsonde belongs to the account S-1-5-21-1-2-3-1002"));
        let mut way = installed();
        way[0].2.entries = None;
        assert!(stranger(&way, &[ME]).unwrap().to_string().contains("can be changed by everybody"));
    }

    #[test]
    fn what_a_user_may_do_on_the_way_without_replacing_anything_is_no_fault() {
        // Further folders at the root of a drive, files in a folder further up.
        for rights in [WRITE_DATA, APPEND_DATA, READ] {
            let mut way = installed();
            way[2].2.entries.as_mut().unwrap().push(Entry { who: USERS.to_owned(), rights, is_for_heirs: false });
            assert_eq!(stranger(&way, &[ME]), None, "{rights:x}");
        }
    }

    #[test]
    fn an_administrators_own_downloads_are_told_apart_from_others_folders() {
        let mut way = installed();
        for (_, _, access) in &mut way[..2] {
            access.owner = ME.to_owned();
            access.entries.as_mut().unwrap().push(Entry { who: ME.to_owned(), rights: FULL, is_for_heirs: false });
        }
        assert_eq!((stranger(&way, &[ME]), own_hand(&way, ME)), (None, Some("netsonde.exe".into())));
        assert_eq!(stranger(&way, &[OTHER]).map(|found| found.who), Some(ME.to_owned()));
    }

    #[test]
    fn domain_administrators_are_no_strangers_and_names_that_look_like_theirs_are() {
        for known in ["S-1-5-21-9-8-7-500", "S-1-5-21-9-8-7-512", "S-1-5-21-9-8-7-519"] {
            assert!(is_of_system(known), "{known}");
        }
        for other in ["S-1-5-21-9-8-7-1512", "S-1-5-21-9-8-7-513", "S-1-5-80-512", "S-1-12-1-1-2-3-500"] {
            assert!(!is_of_system(other), "{other}");
        }
    }

    #[test]
    fn a_folder_that_another_user_made_beforehand_is_refused() {
        let path = Path::new(r"C:\ProgramData\netsonde");
        let made_by = |owner: &str| standing(path, &access(owner, &[(SYSTEM, FULL), (USERS, READ)]), SERVICE, ME);
        let Standing::Strange(stranger) = made_by(OTHER) else { panic!("it is taken") };
        assert!(stranger.owns && stranger.who == OTHER);
        assert!(way_out(path, &stranger).contains(r#"move "C:\ProgramData\netsonde" "C:\ProgramData\netsonde.found""#));
        // Any user may make a file in a folder that an administrator made there before it is closed.
        assert_eq!(strange_owner(path, &access(OTHER, &[]), ME).map(|found| found.who), Some(OTHER.to_owned()));
        for known in [SYSTEM, ADMINISTRATORS, LOCAL_SERVICE, ME] {
            assert_eq!(made_by(known), Standing::Open, "{known}");
            assert_eq!(strange_owner(path, &access(known, &[]), ME), None, "{known}");
        }
    }

    #[test]
    fn a_folder_is_closed_only_where_nobody_else_is_on_its_list_and_nothing_comes_from_above() {
        let path = Path::new(r"C:\ProgramData\netsonde");
        let closed =
            Access { protected: true, ..access(ADMINISTRATORS, &[(SYSTEM, FULL), (ADMINISTRATORS, FULL), (SERVICE, FULL)]) };
        assert_eq!(standing(path, &closed, SERVICE, ME), Standing::Closed);
        assert_eq!(closed_list(SERVICE), "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-80-1-2-3-4-5)");
        let mut legible = closed.clone();
        legible.entries.as_mut().unwrap().push(Entry { who: USERS.to_owned(), rights: READ, is_for_heirs: true });
        let own = Access { owner: ME.to_owned(), ..closed.clone() };
        for open in [Access { protected: false, ..closed.clone() }, Access { entries: None, ..closed }, legible, own] {
            assert_eq!(standing(path, &open, SERVICE, ME), Standing::Open, "{open:?}");
        }
    }
}
