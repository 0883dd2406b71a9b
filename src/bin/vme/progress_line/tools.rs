//! Parses the progress formats of some programs that are no plain percentage.
//!
//! Guarantees that a line of another format gives `None`. Does not know which program runs.

use super::ParsedProgress;

/// Passes of a check by e2fsck.
pub(super) const PASSES: u8 = 5;

/// Where each pass ends, in percent, as e2fsck itself weights them for its bar.
const PASS_ENDS: [u128; 6] = [0, 70, 90, 92, 95, 100];

/// The progress of a check.
#[derive(Debug, PartialEq)]
pub(super) struct FsckPass<'a> {
    pub(super) device: &'a str,
    pub(super) number: u8,
    pub(super) percent: u8,
}

/// `fsck -C 1`: pass, position, maximum, device.
pub(super) fn fsck(line: &str) -> Option<FsckPass<'_>> {
    let mut words = line.split_ascii_whitespace();
    let number: u8 = words.next()?.parse().ok()?;
    let position: u128 = words.next()?.parse().ok()?;
    let maximum: u128 = words.next()?.parse().ok()?;
    let device = words.next()?;
    let is_device = !device.starts_with(|c: char| c.is_ascii_digit()) && words.next().is_none();
    if !is_device || position > maximum || !(1..=PASSES).contains(&number) {
        return None;
    }
    let (begin, end) = (PASS_ENDS[usize::from(number) - 1], PASS_ENDS[usize::from(number)]);
    let done = position.checked_mul(end - begin)?.checked_div(maximum).unwrap_or(end - begin);
    Some(FsckPass { device, number, percent: u8::try_from(begin + done).ok()? })
}

/// `APT::Status-Fd`: `pmstatus:PACKAGE:20.0000:Unpacking hello (amd64)`, `dlstatus:1:...`. A
/// package name may include its architecture, after a colon.
pub(super) fn apt(line: &str) -> Option<ParsedProgress> {
    let rest = line.strip_prefix("pmstatus:").or_else(|| line.strip_prefix("dlstatus:"))?;
    let (_, mut rest) = rest.split_once(':')?;
    loop {
        let (word, text) = rest.split_once(':')?;
        match word.contains('.').then(|| super::parse_percent(word)).flatten() {
            Some(percent) => return Some(ParsedProgress::new(percent, text.trim())),
            None => rest = text,
        }
    }
}

/// The columns of curl's own meter, and those of its times.
const CURL_COLUMNS: usize = 12;
const CURL_TIMES: std::ops::Range<usize> = 8..11;

/// `curl`: `34  300M   34  102M    0     0  15.4M      0  0:00:19  0:00:06  0:00:13 16.1M`.
pub(super) fn curl(line: &str) -> Option<ParsedProgress> {
    let columns: Vec<&str> = line.split_ascii_whitespace().take(CURL_COLUMNS + 1).collect();
    let is_time =
        |word: &&str| word.contains(':') && word.chars().all(|c| "0123456789:-dh".contains(c));
    if columns.len() != CURL_COLUMNS || !columns[CURL_TIMES].iter().all(is_time) {
        return None;
    }
    let percent = super::parse_percent(columns[0])?;
    Some(ParsedProgress::new(percent, &format!("{} of {} received", columns[3], columns[1])))
}

/// The last line of zstd, a compression ratio: `31.40%   (300 MiB => 94 MiB, x.zst)`.
pub(super) fn is_compression_ratio(tail: &str) -> bool {
    let tail = tail.trim_start();
    tail.starts_with('(') && tail.contains("=>")
}

/// A line of `df`: sizes before the percentage, the mount point after it.
pub(super) fn is_df_line(head: &str, tail: &str) -> bool {
    let is_size = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit() || it == b'.')
    };
    let sizes = head.split_ascii_whitespace().rev().take(3).filter(|word| is_size(word)).count();
    sizes == 3 && tail.trim_start().starts_with('/')
}
