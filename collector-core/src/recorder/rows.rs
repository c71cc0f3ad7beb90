//! Rows: from the engine's thread into a ring, from there to the collector as slices.

use super::sync::{Line, lock};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// What happens to a row when the ring is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The row is dropped and counted; the engine never waits. For engines that serve.
    #[default]
    Drop,
    /// The writer waits until there is room: spinning, then yielding, then sleeping shortly. For offline replays, where
    /// a whole table matters more than time.
    ///
    /// It waits only while a [`RecorderSource`](super::RecorderSource) exists; without one the row is dropped
    /// and counted, since no one will ever make room. A thread that drains the source itself would wait for itself:
    /// it says with [`Recorder::on_full`](super::Recorder::on_full) how room is made.
    Block,
}

/// Makes room in the rings, on the writer's thread.
type Relief = Box<dyn Fn() + Send + Sync>;

/// Whether someone reads the rings, and how.
#[derive(Default)]
pub(super) struct ReaderState {
    state: AtomicU8,
    relief: OnceLock<Relief>,
}

impl std::fmt::Debug for ReaderState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReaderState")
            .field("state", &self.state)
            .field("relief", &self.relief.get().is_some())
            .finish()
    }
}

impl ReaderState {
    const NONE_YET: u8 = 0;
    const ATTACHED: u8 = 1;
    const GONE: u8 = 2;

    /// Attaches the one reader; false if there was one before.
    pub(super) fn attach(&self) -> bool {
        let (none, attached) = (Self::NONE_YET, Self::ATTACHED);
        self.state
            .compare_exchange(none, attached, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(super) fn detach(&self) {
        self.state.store(Self::GONE, Ordering::Release);
    }

    pub(super) fn is_attached(&self) -> bool {
        self.state.load(Ordering::Acquire) == Self::ATTACHED
    }

    /// Whether the engine's own thread drives the collector: it has said how it makes room.
    pub(super) fn is_driven(&self) -> bool {
        self.relief.get().is_some()
    }

    /// Sets how a writer makes room; false if that was said before.
    pub(super) fn relieve_with(&self, relief: Relief) -> bool {
        self.relief.set(relief).is_ok()
    }
}

/// The reading ends of a table's rings.
#[derive(Debug)]
pub(super) struct Rings<R>(Mutex<Vec<Ring<R>>>);

impl<R> Default for Rings<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[derive(Debug)]
struct Ring<R> {
    rows: Consumer<R>,
    dropped: Arc<Line<AtomicU64>>,
    /// Of `dropped`.
    reported: u64,
}

impl<R: Copy + Default> Rings<R> {
    /// Makes a ring; its writer goes to the engine.
    pub(super) fn open(&self, capacity: usize, reader: Arc<ReaderState>) -> RowWriter<R> {
        let (mut producer, mut rows) = RingBuffer::new(capacity.max(1));
        // Touches the memory, so that the engine does not meet a page fault per 4 KiB on the first round.
        while producer.push(R::default()).is_ok() {}
        while rows.pop().is_ok() {}
        let dropped = Arc::new(Line::default());
        lock(&self.0).push(Ring {
            rows,
            dropped: dropped.clone(),
            reported: 0,
        });
        RowWriter {
            ring: Some(Open {
                producer,
                dropped,
                reader,
            }),
            overflow: Overflow::default(),
        }
    }
}

impl<R> Rings<R> {
    /// Hands over what the rings hold now, and returns how many rows were dropped since the last call.
    pub(super) fn drain(&self, mut take: impl FnMut(&[R])) -> u64 {
        let mut dropped = 0;
        lock(&self.0).retain_mut(|ring| {
            let finished = ring.rows.is_abandoned();
            dropped += ring.drain(&mut take);
            !finished
        });
        dropped
    }
}

impl<R> Ring<R> {
    fn drain(&mut self, take: &mut impl FnMut(&[R])) -> u64 {
        let waiting = self.rows.slots();
        if waiting > 0
            && let Ok(chunk) = self.rows.read_chunk(waiting)
        {
            let (first, second) = chunk.as_slices();
            for rows in [first, second] {
                if !rows.is_empty() {
                    take(rows);
                }
            }
            chunk.commit_all();
        }
        let dropped = self.dropped.0.load(Ordering::Relaxed);
        dropped - std::mem::replace(&mut self.reported, dropped)
    }
}

/// Hands rows of one table to the collector, from one owner.
///
/// A push copies the row into a ring of fixed capacity. It never allocates and never wakes a thread; when the ring is
/// full, [`Overflow`] decides. Dropping the writer keeps what it pushed.
#[derive(Debug)]
pub struct RowWriter<R> {
    ring: Option<Open<R>>,
    overflow: Overflow,
}

#[derive(Debug)]
struct Open<R> {
    producer: Producer<R>,
    dropped: Arc<Line<AtomicU64>>,
    reader: Arc<ReaderState>,
}

impl<R> RowWriter<R> {
    /// Makes a handle that takes rows and does nothing with them.
    pub const fn noop() -> Self {
        Self {
            ring: None,
            overflow: Overflow::Drop,
        }
    }

    /// Sets what happens to a row when the ring is full.
    #[must_use]
    pub fn with_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Hands a row over; when the ring is full, the [`Overflow`] policy decides.
    #[inline]
    pub fn push(&mut self, row: R) {
        let Some(ring) = &mut self.ring else { return };
        // Looks before the row is moved: then there is one place that it goes to, and it can be built there.
        if ring.producer.is_full() && !ring.make_room(self.overflow) {
            return;
        }
        if ring.producer.push(row).is_err() {
            ring.count_dropped(); // can't be: only the reader changes the room, and it makes more
        }
    }

    /// Hands a row over, unless the ring is full: then nothing is counted, and the caller has the row back.
    ///
    /// # Errors
    /// The row, when the ring is full.
    #[inline]
    pub fn try_push(&mut self, row: R) -> Result<(), R> {
        match &mut self.ring {
            Some(ring) => ring.producer.push(row).map_err(|PushError::Full(row)| row),
            None => Ok(()),
        }
    }

    /// How many rows there is room for now; `usize::MAX` for a noop handle.
    pub fn slots(&self) -> usize {
        self.ring
            .as_ref()
            .map_or(usize::MAX, |ring| ring.producer.slots())
    }

    /// How many rows the ring holds; `usize::MAX` for a noop handle.
    pub fn capacity(&self) -> usize {
        self.ring
            .as_ref()
            .map_or(usize::MAX, |ring| ring.producer.buffer().capacity())
    }

    /// How many rows this writer dropped so far.
    pub fn dropped(&self) -> u64 {
        self.ring
            .as_ref()
            .map_or(0, |ring| ring.dropped.0.load(Ordering::Relaxed))
    }
}

impl<R> Open<R> {
    #[inline]
    fn count_dropped(&self) {
        let dropped = self.dropped.0.load(Ordering::Relaxed);
        self.dropped.0.store(dropped + 1, Ordering::Relaxed);
    }

    /// Does what the policy says; false if the row is to be dropped, which is counted then.
    fn make_room(&mut self, overflow: Overflow) -> bool {
        let room = overflow == Overflow::Block && self.wait();
        if !room {
            self.count_dropped();
        }
        room
    }

    /// Waits for room; false if there is no reader to make any.
    #[cold]
    #[inline(never)]
    fn wait(&mut self) -> bool {
        const SPINS: u32 = 100;
        const YIELDS: u32 = 200;
        const NAP: Duration = Duration::from_micros(50);
        let mut tries = 0_u32;
        while self.reader.is_attached() {
            if !self.producer.is_full() {
                return true;
            }
            tries = tries.saturating_add(1);
            if let Some(relief) = self.reader.relief.get() {
                relief();
            } else if tries <= SPINS {
                std::hint::spin_loop();
            } else if tries <= YIELDS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(NAP);
            }
        }
        false
    }
}
