//! Tests of the queue against readers that do not read.

use std::fs::File;
use std::io::{BufRead, BufReader, pipe};
use std::os::fd::{AsFd, OwnedFd};

use super::*;

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(60);

fn queue_to(out: impl Into<OwnedFd>) -> Arc<StderrQueue> {
    let out: &'static OwnedFd = Box::leak(Box::new(out.into()));
    Arc::new(StderrQueue::new(out.as_fd()))
}

#[test]
fn an_unread_pipe_blocks_nobody_and_drops_are_reported_in_place() {
    let (reader, writer) = pipe().unwrap();
    let queue = queue_to(writer);
    let lines = 30_000_u64;
    for number in 0..lines {
        queue.push(format!("{number:>99}\n").into_bytes());
    }
    let dropped = queue.state().dropped;
    assert!(dropped > 0 && dropped < lines, "{dropped}");
    assert!(!queue.flush(Duration::from_millis(50)), "the final flush does not wait for ever");
    assert!(queue.state().bytes <= QUEUE_BYTES_MAX);

    // The reader may have made room in between: reports and lines together are complete and in order.
    let mut read = BufReader::new(reader).lines();
    let mut next = 0;
    while next < lines {
        let line = read.next().unwrap().unwrap();
        match line.strip_prefix("lines missing here: ") {
            Some(count) => next += count.parse::<u64>().unwrap(),
            None => {
                assert_eq!(line.trim().parse(), Ok(next), "in order");
                next += 1;
            }
        }
    }
    assert_eq!(next, lines);
    queue.push(b"later\n".to_vec());
    assert_eq!(read.next().unwrap().unwrap(), "later");
    assert!(queue.flush(LONG));
}

#[test]
fn an_unwritten_line_is_waited_for_once() {
    let (_reader, writer) = pipe().unwrap();
    let queue = queue_to(writer);
    queue.push(vec![b'x'; 200_000]);
    queue.wait_until_written();
    assert!(queue.state().is_stuck);
    for _ in 0..1_000 {
        queue.wait_until_written();
    }
}

#[test]
fn a_full_disk_drops_lines_and_reports_them_once_it_has_room() {
    let queue = queue_to(File::options().write(true).open("/dev/full").unwrap());
    for _ in 0..3 {
        queue.push(b"lost\n".to_vec());
        assert!(!queue.flush(LONG), "it was not written");
    }
    let mut state = queue.state();
    assert_eq!((state.dropped, state.unreported), (3, 3), "a lost report is not counted as a line");
    state.enqueue_notice();
    state.enqueue(b"kept\n".to_vec());
    let note = state.next().unwrap();
    assert_eq!(note.text, b"lines missing here: 3\n");
    state.record_write(&note, Ok(()));
    assert_eq!(state.next().unwrap().text, b"kept\n");
}

#[test]
fn text_after_a_partial_line_begins_a_new_line() {
    let mut state = StderrState::default();
    state.enqueue(b"half\n".to_vec());
    let half = state.next().unwrap();
    state.record_write(&half, Err(WriteFailed(true)));
    state.enqueue(b"whole\n".to_vec());
    assert_eq!(state.next().unwrap().text, b"\nwhole\n");
}

#[test]
fn a_descriptor_that_does_not_block_loses_nothing() {
    let (reader, writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let queue = queue_to(writer);
    for number in 0..5_000 {
        queue.push(format!("{number:>99}\n").into_bytes());
    }
    let read = BufReader::new(reader).lines().take(5_000);
    let numbers = read.map(|line| line.unwrap().trim().parse::<u64>().unwrap());
    assert!(numbers.eq(0..5_000));
}

#[test]
fn without_a_thread_the_final_flush_writes_itself_within_its_bound() {
    let (reader, writer) = pipe().unwrap();
    let queue = queue_to(writer);
    queue.state().enqueue(b"no thread\n".to_vec());
    assert!(queue.flush(LONG));
    assert_eq!(BufReader::new(reader).lines().next().unwrap().unwrap(), "no thread");
}
