//! Formats byte sizes and counts for people.

/// Bytes in the largest binary unit that fits, truncated to a tenth.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} bytes"),
    }
}

/// `1 record`, `2 records`.
pub fn format_count(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
#[test]
fn sizes_are_cut_not_rounded() {
    assert_eq!(
        [format_bytes(1023), format_bytes(1535), format_bytes(5 << 30)],
        ["1023 bytes", "1.4 KiB", "5.0 GiB"]
    );
    assert_eq!([format_count(1, "record"), format_count(0, "record")], ["1 record", "0 records"]);
}
