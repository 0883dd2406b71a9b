//! Tests of the queue against readers that do not read.

use std::fs::File;
use std::io::{BufRead, BufReader, pipe};
use std::os::fd::{AsFd, OwnedFd};

use super::*;

/// Long enough for any machine.
const LONG: Duration = Duration::from_secs(60);

fn to(out: impl Into<OwnedFd>) -> Arc<Queue> {
    let out: &'static OwnedFd = Box::leak(Box::new(out.into()));
    Arc::new(Queue::new(out.as_fd()))
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up_and_what_was_dropped_is_told_in_its_place() {
    let (reader, writer) = pipe().unwrap();
    let queue = to(writer);
    let lines = 30_000_u64;
    for number in 0..lines {
        queue.push(format!("{number:>99}\n").into_bytes());
    }
    let dropped = queue.state().dropped;
    assert!(dropped > 0 && dropped < lines, "{dropped}");
    assert!(!queue.flush(Duration::from_millis(50)), "the final flush does not wait for ever");
    assert!(queue.state().bytes <= LINES_BYTES_WAITING);

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
fn a_line_that_is_not_taken_is_waited_for_once() {
    let (_reader, writer) = pipe().unwrap();
    let queue = to(writer);
    queue.push(vec![b'x'; 200_000]);
    queue.wait_in_order();
    assert!(queue.state().is_stuck);
    for _ in 0..1_000 {
        queue.wait_in_order();
    }
}

#[test]
fn a_full_disk_drops_lines_and_hears_of_it_once_it_has_room() {
    let queue = to(File::options().write(true).open("/dev/full").unwrap());
    for _ in 0..3 {
        queue.push(b"lost\n".to_vec());
        assert!(!queue.flush(LONG), "it was not written");
    }
    let mut state = queue.state();
    assert_eq!((state.dropped, state.untold), (3, 3), "a lost report is not counted as a line");
    state.enter_note();
    state.enter(b"kept\n".to_vec());
    let note = state.next().unwrap();
    assert_eq!(note.text, b"lines missing here: 3\n");
    state.written(&note, Ok(()));
    assert_eq!(state.next().unwrap().text, b"kept\n");
}

#[test]
fn what_follows_a_torn_line_begins_on_its_own() {
    let mut state = State::default();
    state.enter(b"half\n".to_vec());
    let half = state.next().unwrap();
    state.written(&half, Err(IsTorn(true)));
    state.enter(b"whole\n".to_vec());
    assert_eq!(state.next().unwrap().text, b"\nwhole\n");
}

#[test]
fn a_descriptor_that_does_not_block_loses_nothing() {
    let (reader, writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let queue = to(writer);
    for number in 0..5_000 {
        queue.push(format!("{number:>99}\n").into_bytes());
    }
    let read = BufReader::new(reader).lines().take(5_000);
    let numbers = read.map(|line| line.unwrap().trim().parse::<u64>().unwrap());
    assert!(numbers.eq(0..5_000));
}

#[test]
fn without_a_thread_the_end_writes_for_itself_and_in_its_bound() {
    let (reader, writer) = pipe().unwrap();
    let queue = to(writer);
    queue.state().enter(b"no thread\n".to_vec());
    assert!(queue.flush(LONG));
    assert_eq!(BufReader::new(reader).lines().next().unwrap().unwrap(), "no thread");
}
