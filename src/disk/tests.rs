use super::*;

#[test]
fn a_replaced_file_is_whole_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, path) = (Disk::system(), folder.path().join("deep/er/file"));
    disk.make_folder(parent(&path)).unwrap();
    disk.make_folder(parent(&path)).unwrap();
    for bytes in [&b"first"[..], b"second, longer", b"3"] {
        disk.replace(&path, bytes).unwrap();
        assert_eq!(disk.files().read(&path).unwrap(), bytes);
    }
    disk.takes_files(&path).unwrap();
    assert_eq!(disk.files().names(parent(&path)).unwrap(), ["file"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(parent(&path))), (0o600, 0o700));
    }
    disk.remove_all(&folder.path().join("deep")).unwrap();
    disk.remove_all(&folder.path().join("deep")).unwrap();
    assert!(disk.files().names(folder.path()).unwrap().is_empty());
}

#[test]
fn a_folder_that_a_file_stands_in_the_way_of_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::system();
    disk.write_synced(&folder.path().join("file"), b"").unwrap();
    assert!(disk.make_folder(&folder.path().join("file")).is_err());
    assert!(disk.make_folder(&folder.path().join("file/below")).is_err());
}

#[test]
fn a_file_is_read_where_it_was_written_and_locked_by_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, path) = (Disk::system(), folder.path().join("file"));
    let mut file = disk.files().create(&path).unwrap();
    file.write_at(3, b"abc").unwrap();
    let mut bytes = [1; 4];
    file.read_at(2, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0abc");
    assert!(file.read_at(3, &mut bytes).is_err(), "it ends before");
    assert!(file.try_lock().unwrap());
    let other = disk.files().open(&path).unwrap();
    assert!(!other.try_lock().unwrap());
    drop(file);
    assert!(other.try_lock().unwrap());
}
