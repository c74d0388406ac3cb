use crate::state_names::Whose;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Others' things that are named; a folder may hold thousands.
const MOST_NAMED: usize = 5;

/// What in a folder, and in the folders of netsonde's in it, is not netsonde's.
///
/// # Errors
/// Where a folder cannot be read.
pub(crate) fn others(folder: &Path, whose: fn(&str) -> Whose) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    walk(folder, whose, false, &mut left)?;
    Ok(left)
}

/// Removes what is netsonde's, and the folder where it is empty then; gives back what was left alone, and the folder itself where the system
/// kept it.
///
/// # Errors
/// The system's own. What was removed until then is gone.
pub(crate) fn remove(folder: &Path, whose: fn(&str) -> Whose) -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    walk(folder, whose, true, &mut left)?;
    Ok(left)
}

fn walk(folder: &Path, whose: fn(&str) -> Whose, removes: bool, left: &mut Vec<PathBuf>) -> io::Result<()> {
    let before = left.len();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        // What a link leads to is whoever's.
        let is_folder = entry.file_type()?.is_dir();
        match entry.file_name().to_str().map_or(Whose::Others, whose) {
            Whose::File if !is_folder && removes => gone(fs::remove_file(&path))?,
            Whose::Folder if is_folder && removes => gone(fs::remove_dir_all(&path))?,
            Whose::File if !is_folder => {}
            Whose::Folder if is_folder => {}
            Whose::Holding(whose) if is_folder => walk(&path, whose, removes, left)?,
            _ => left.push(path),
        }
    }
    // The folder may be where a disk is mounted, or be in one that is not this user's to change.
    if removes && left.len() == before && gone(fs::remove_dir(folder)).is_err() {
        left.push(folder.to_owned());
    }
    Ok(())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// The first of them by name, and how many more there are.
pub(crate) fn named(left: &[PathBuf]) -> String {
    let mut names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MOST_NAMED);
    names.truncate(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_names::{in_configuration, in_state};

    fn put(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    #[test]
    fn what_others_keep_in_a_state_folder_and_below_stays_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (bundle, order) = ("a".repeat(64), "0".repeat(32));
        let ours = [
            "lock".to_owned(),
            "agent.key".to_owned(),
            ".sequence.json.0123456789abcdef.new".to_owned(),
            format!("spool/ready/{bundle}/entry.json"),
            format!("spool/tmp/{bundle}/entry.json"),
            format!("orders/{order}.json"),
        ];
        put(folder.path(), &ours.each_ref().map(String::as_str));
        let others = ["report.odt", "orders/2026.csv", "photos/lock", "spool/ready/mine/letter", "paused/note"];
        put(folder.path(), &others);
        let mut before = self::others(folder.path(), in_state).unwrap();
        let mut left = remove(folder.path(), in_state).unwrap();
        before.sort();
        left.sort();
        assert_eq!(before, left);
        assert_eq!(
            left,
            ["orders/2026.csv", "paused", "photos", "report.odt", "spool/ready/mine"].map(|name| folder.path().join(name))
        );
        for name in others {
            assert!(folder.path().join(name).exists(), "{name}");
        }
        for name in &ours {
            assert!(!folder.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_folder_that_is_netsondes_alone_goes_with_all_that_it_made_there() {
        let folder = tempfile::tempdir().unwrap();
        let state = crate::state::StateDirectory::open(Some(&folder.path().join("state"))).unwrap();
        state.signing_key().unwrap();
        state.mapping_key().unwrap();
        state.lock().unwrap().next_number().unwrap();
        assert_eq!(remove(state.path(), in_state).unwrap(), Vec::<PathBuf>::new());
        assert!(!state.path().exists());
        put(folder.path(), &["agent.toml", "policy.toml"]);
        assert_eq!(remove(folder.path(), in_configuration).unwrap(), Vec::<PathBuf>::new());
        assert!(!folder.path().exists());
    }

    #[test]
    fn thousands_of_others_files_are_counted_and_not_listed() {
        let left: Vec<PathBuf> = (0..1_000).map(|number| PathBuf::from(format!("{number:04}"))).collect();
        assert_eq!(named(&left), "0000, 0001, 0002, 0003, 0004 and 995 more");
    }
}
