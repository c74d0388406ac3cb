/// The known word that was probably meant, if one is near enough to be worth offering.
///
/// Near means that one slip (a letter added, lost, changed, or two swapped), and one more for every four letters, separates them.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(slips, candidate)| *slips <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["quick", "web", "port", "dns", "path"];
        assert_eq!(nearest("wbe", known), Some("web"));
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("kubernetes", known), None);
    }
}
