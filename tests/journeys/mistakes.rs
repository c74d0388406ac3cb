use super::world::{World, code, text};

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_on_the_command_line_ends_with_2_and_a_way_out() {
    let world = World::new();
    let cases: [(&[&str], &str); 9] = [
        (&["run", "wbe", "--target", "x.example"], "web"),
        (&["run", "web"], "--target"),
        (&["run", "web", "--target", "https://x:99999/"], "between 1 and 65535"),
        (&["run", "web", "--target", "ftp://x/"], "http"),
        (&["run", "path", "--target", "x", "--param", "cuont=3"], "count"),
        (&["run", "path", "--target", "x", "--param", "count=100000"], "at most 1000"),
        (&["run", "--ticket", "nst1_notaticket"], "ticket"),
        (&["probe", "tpc", "x"], "tcp"),
        (&["explain", "tls.expird"], "tls.expired"),
    ];
    for (arguments, hint) in cases {
        let output = world.stage.netsonde(arguments).await.unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {}", text(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(hint), "{arguments:?} does not mention {hint}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?} wrote to standard output: {}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_set_is_shown_at_its_line_and_column() {
    let world = World::new();
    let file = world.stage.folder().join("mine.toml");
    let set = "name = \"mine\"\nquestion = \"?\"\ntarget = \"host\"\n\n[[check]]\nid = \"a\"\nkind = \"tcp\"\nwith = { host = \"{target.host}\", prot = 1 }\n";
    std::fs::write(&file, set).unwrap();
    let output = world.stage.netsonde(&["sets", "check", &file.to_string_lossy()]).await.unwrap();
    assert_eq!(code(&output), 2, "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(":8:") && said.contains("did you mean `port`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_bundle_is_refused_with_its_code() {
    let world = World::new();
    let file = world.stage.folder().join("photo.tar.gz");
    std::fs::write(&file, b"certainly not a bundle").unwrap();
    let output = world.stage.netsonde(&["bundle", "verify", &file.to_string_lossy()]).await.unwrap();
    assert_ne!(code(&output), 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("bundle_not_gzip"), "{}", text(&output));
}
