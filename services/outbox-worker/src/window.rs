//! Windows: the events that became visible between one snapshot and the next, and the cursor behind them.
//!
//! If event A waited for the lock of event B's aggregate, B's transaction had ended before A went on, so every
//! snapshot that sees A sees B: B is never in a later window. Inside one window the sequence numbers, drawn
//! under the locks, are in the order of the locks. Windows in turn, and each by `seq`, are therefore in order per
//! aggregate; and since each window is a difference of snapshots, no row can fall between two of them.

use std::collections::VecDeque;

use crate::{flight::Landed, snapshot::Snapshot};

/// How far the topic is: everything that `snap` sees is published, and of what `open` sees beyond that,
/// all up to its sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Everything visible here is published.
    pub snap: Snapshot,
    /// The unfinished window after it, and the number up to which it is published.
    pub open: Option<(Snapshot, i64)>,
    /// How many events were published since the beginning; an account, not a position.
    pub published: i64,
}

impl Cursor {
    /// Nothing is published.
    pub fn origin() -> Self {
        Self {
            snap: Snapshot::origin(),
            open: None,
            published: 0,
        }
    }
}

struct Window {
    snap: Snapshot,
    /// Positions in flight, the end exclusive.
    start: u64,
    end: u64,
    /// Whether all of it was read.
    complete: bool,
}

/// The windows that are read and not all published, oldest first.
pub struct Windows {
    cursor: Cursor,
    open: VecDeque<Window>,
    read: Snapshot,
}

impl Windows {
    /// Continues at `cursor`; an unfinished window is the caller's to open again.
    pub fn new(cursor: Cursor) -> Self {
        Self {
            read: cursor.snap.clone(),
            cursor,
            open: VecDeque::new(),
        }
    }

    /// Up to where is read: the lower bound of the next window.
    pub fn read(&self) -> &Snapshot {
        &self.read
    }

    /// How far the topic is.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// How many windows are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all that was read is published.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens the next window, up to `snap`; its events start at position `start`.
    pub fn open(&mut self, snap: Snapshot, start: u64) {
        self.read = snap.clone();
        self.open.push_back(Window {
            snap,
            start,
            end: start,
            complete: false,
        });
    }

    /// The newest window is read up to position `end`.
    pub fn extend(&mut self, end: u64) {
        if let Some(window) = self.open.back_mut() {
            window.end = end;
        }
    }

    /// The newest window is read to its end.
    pub fn close(&mut self) {
        if let Some(window) = self.open.back_mut() {
            window.complete = true;
        }
        self.retire(u64::MIN);
    }

    /// Nothing became visible between the last snapshot and `snap`: the newest window reaches up to it as well.
    pub fn stretch(&mut self, snap: Snapshot) {
        match self.open.back_mut() {
            Some(window) => window.snap = snap.clone(),
            None => self.cursor.snap = snap.clone(),
        }
        self.read = snap;
    }

    /// Moves the cursor over what has landed.
    pub fn landed(&mut self, landed: &Landed, count: i64) {
        self.cursor.published += count;
        self.retire(landed.base);
        if let (Some(front), Some(seq)) = (self.open.front(), landed.last_seq)
            && landed.base > front.start
        {
            self.cursor.open = Some((front.snap.clone(), seq));
        }
    }

    fn retire(&mut self, base: u64) {
        while let Some(front) = self.open.front()
            && front.complete
            && (front.end <= base || front.start == front.end)
        {
            self.cursor.snap = front.snap.clone();
            self.cursor.open = None;
            self.open.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snap(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    fn landed(base: u64, seq: i64) -> Landed {
        Landed {
            base,
            last_seq: Some(seq),
        }
    }

    #[test]
    fn the_cursor_follows_the_oldest_window_only() {
        let mut windows = Windows::new(Cursor::origin());
        windows.open(snap("10:10:"), 0);
        windows.extend(2);
        windows.close();
        windows.open(snap("20:20:"), 2);
        windows.extend(4);
        windows.close();
        assert_eq!(windows.cursor(), &Cursor::origin());
        windows.landed(&landed(1, 101), 1);
        assert_eq!(windows.cursor().snap, Snapshot::origin());
        assert_eq!(windows.cursor().open, Some((snap("10:10:"), 101)));
        windows.landed(&landed(3, 103), 2);
        assert_eq!(
            windows.cursor(),
            &Cursor {
                snap: snap("10:10:"),
                open: Some((snap("20:20:"), 103)),
                published: 3
            }
        );
        windows.landed(&landed(4, 104), 1);
        assert_eq!(
            windows.cursor(),
            &Cursor {
                snap: snap("20:20:"),
                open: None,
                published: 4
            }
        );
        assert!(windows.is_empty());
    }

    #[test]
    fn a_window_read_in_part_is_never_passed() {
        let mut windows = Windows::new(Cursor::origin());
        windows.open(snap("10:10:"), 0);
        windows.extend(2);
        windows.landed(&landed(2, 102), 2);
        assert_eq!(windows.cursor().open, Some((snap("10:10:"), 102)));
        windows.extend(3);
        windows.close();
        assert_eq!(windows.len(), 1);
        windows.landed(&landed(3, 103), 1);
        assert_eq!(
            windows.cursor(),
            &Cursor {
                snap: snap("10:10:"),
                open: None,
                published: 3
            }
        );
    }

    #[test]
    fn empty_windows_move_the_cursor_but_never_past_an_open_one() {
        let mut windows = Windows::new(Cursor::origin());
        windows.stretch(snap("5:5:"));
        assert_eq!(windows.cursor().snap, snap("5:5:"));
        windows.open(snap("10:10:"), 0);
        windows.extend(1);
        windows.close();
        windows.stretch(snap("11:12:11"));
        assert_eq!(windows.cursor().snap, snap("5:5:"));
        assert_eq!(windows.read(), &snap("11:12:11"));
        windows.landed(&landed(1, 101), 1);
        assert_eq!(windows.cursor().snap, snap("11:12:11"));
    }

    #[test]
    fn a_window_of_which_everything_was_parked_is_passed_in_its_turn() {
        let mut windows = Windows::new(Cursor::origin());
        windows.open(snap("10:10:"), 0);
        windows.extend(1);
        windows.close();
        windows.open(snap("20:20:"), 1);
        windows.close();
        assert_eq!(windows.cursor().snap, Snapshot::origin());
        windows.landed(&landed(1, 101), 1);
        assert_eq!(windows.cursor().snap, snap("20:20:"));
    }
}
