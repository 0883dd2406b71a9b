//! A span is read back whole before its part of the commit log is given up.
//!
//! The shim spoils what is written to a span: a bit in every 256 bytes, since sled writes a block more
//! than once and any whole copy would do. With the check nothing is lost, since such a
//! span is never sealed; and when the seal is forged and the log removed, as without the check, the
//! judge must see it.

use std::fs;
use std::path::Path;

use grid_broker::journal::frame::{Block, BlockContent, BlockInfo, Compression, encode};

use super::shim::Shim;
use super::workload::{DATA, MARKER, STAYS_OPEN, Told, judge, work};
use crate::support::{files_below, say, scratch};

/// The journal stays open: the next start would build the span anew.
const COMMITS: usize = STAYS_OPEN;
const FIRST_SPAN: &str = "span-00000000000000000001";
/// From one of its first writes on all are wrong: the archiver fills a span anew that is.
const WRITES: usize = 8;

#[test]
fn a_span_that_was_written_wrong_is_never_relied_on_and_the_rig_notices_if_it_were() {
    let mut unsealed = 0;
    for write in 1..=WRITES {
        let root = scratch();
        let fail = format!("pwrite:/archive/{FIRST_SPAN}/:{write}:1000:spoil");
        let shim = Shim { root: root.path(), log: None, fail: Some(fail) };
        let done = work(&shim, 5, 1, COMMITS);
        assert!(done.status.success(), "{done:?}");
        let mut told = Told::default();
        told.hear(&fs::read_to_string(root.path().join(MARKER)).expect("the marker"));
        let data = root.path().join(DATA);
        let forged = scratch();
        crate::support::copy_folder(&data, forged.path());
        judge(&data, &told).unwrap_or_else(|loss| panic!("write {write}: {loss}"));
        if !forged.path().join("archive").join(FIRST_SPAN).with_extension("sealed").exists() {
            unsealed += 1;
            seal_unchecked(forged.path());
            let verdict = judge(forged.path(), &told);
            let verdict = verdict.expect_err("a span sealed without a check loses records");
            say(&format!("no sealing check: {verdict}"));
        }
    }
    assert!(unsealed > 0, "the check found nothing in {WRITES} spans that were written wrong");
}

/// What a broker without the check would have done.
fn seal_unchecked(data: &Path) {
    let commits = files_below(&data.join("commits"));
    let first_number = |path: &Path| -> u64 {
        path.file_stem().and_then(|name| name.to_str()?.parse().ok()).expect("a number")
    };
    let last = first_number(&commits[1]) - 1;
    let block = Block::parse(&fs::read(&commits[0]).expect("the log").into()).expect("whole");
    let draft = BlockInfo { content: BlockContent::Seal, first: 1, count: 0, ..block.header.info };
    let mut seal = Vec::new();
    encode(&mut seal, &draft, Compression::None, &[], &last.to_le_bytes()).expect("a seal");
    fs::write(data.join("archive").join(FIRST_SPAN).with_extension("sealed"), seal).expect("it");
    fs::remove_file(&commits[0]).expect("the log is given up");
}
