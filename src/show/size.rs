//! Formats byte sizes and counts for people.

/// Bytes in the largest binary unit that fits, truncated to a tenth.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} bytes"),
    }
}

/// `1 record`, `2 records`.
pub fn count(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
#[test]
fn sizes_are_cut_not_rounded() {
    assert_eq!([bytes(1023), bytes(1535), bytes(5 << 30)], ["1023 bytes", "1.4 KiB", "5.0 GiB"]);
    assert_eq!([count(1, "record"), count(0, "record")], ["1 record", "0 records"]);
}
