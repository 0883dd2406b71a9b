//! Formats counts for people.

/// `1 record`, `2 records`.
pub fn format_count(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
#[test]
fn one_is_singular() {
    assert_eq!([format_count(1, "record"), format_count(0, "record")], ["1 record", "0 records"]);
}
