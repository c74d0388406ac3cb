/// `README.txt`: what the file is, and how to check it with tools that are there already.
pub(super) const README: &str = include_str!("README.txt");
