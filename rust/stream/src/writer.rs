//! The thread between a loop that must not block and a disk that does.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::store::{Store, StoreError, Wait};
use crate::{Message, Receipt};

/// Bytes of messages that wait for the disk, those that are being written included. 65,536 messages of 256 KiB would be 16 GiB; a disk that
/// is behind by this much is not caught up with by waiting for more.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a full disk is left alone.
const SPACE_WAIT: Duration = Duration::from_secs(1);

/// A queue into the log, and what came of it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// Readable when there is something to take; the loop watches it.
    wake: PipeReader,
    thread: Mutex<Option<JoinHandle<()>>>,
    queue_messages_max: usize,
    queue_bytes_max: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Message>,
    /// Messages that the thread has taken and not yet committed.
    writing: usize,
    /// Of both.
    bytes: usize,
    completed: Vec<Receipt>,
    /// What is being written is tried again and again until all of it is; on a full disk in pieces.
    waits_for: Option<Wait>,
    failure: Option<String>,
    /// A byte is in the pipe: one is enough however much there is to take.
    woken: bool,
    closing: bool,
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "full or over")]
pub enum AppendError {
    /// Too much is queued: stop reading from publishers.
    Full,
    /// The store has failed, or was closed.
    Closed,
}

impl Writer {
    /// Opens the log at `path` and starts its thread. `queue_messages_max` bounds what waits, and 64 MiB do.
    ///
    /// # Errors
    /// A file that is not ours or cannot be opened; a thread or pipe that cannot be made.
    pub fn open(path: &Path, queue_messages_max: usize) -> Result<Self, StoreError> {
        Self::start(Store::open(path)?, queue_messages_max)
    }

    fn start(store: Store, queue_messages_max: usize) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::Sqlite(rusqlite::Error::ToSqlConversionFailure(error.into()));
        let (wake, waker) = io::pipe().map_err(failed)?;
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("holdfast-stream".to_owned())
            .spawn(move || for_thread.run(store, waker))
            .map_err(failed)?;
        Ok(Self {
            shared,
            wake,
            thread: Mutex::new(Some(thread)),
            queue_messages_max,
            queue_bytes_max: QUEUE_BYTES_MAX,
        })
    }

    /// The descriptor to watch for reading.
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.wake)
    }

    /// Queues messages in their order, as many as there is room for, however large the first of all; the others are left in `messages`.
    ///
    /// # Errors
    /// `Full` when some are left; `Closed` when all are.
    pub fn append(&self, messages: &mut VecDeque<Message>) -> Result<(), AppendError> {
        let mut state = self.shared.lock();
        if state.closing || state.failure.is_some() {
            return Err(AppendError::Closed);
        }
        while let Some(message) = messages.front() {
            let bytes = state.bytes + message.bytes();
            let fits = bytes <= self.queue_bytes_max || state.bytes == 0;
            if !fits || state.queue.len() >= self.queue_messages_max {
                break;
            }
            state.bytes = bytes;
            state.queue.extend(messages.pop_front());
        }
        drop(state);
        self.shared.work.notify_one();
        if messages.is_empty() { Ok(()) } else { Err(AppendError::Full) }
    }

    /// Takes what is durable since the last time. Never blocks. Once the store has failed its descriptor stays readable.
    pub fn take_completed(&self) -> Vec<Receipt> {
        let mut state = self.shared.lock();
        if state.failure.is_none() && std::mem::take(&mut state.woken) {
            // The byte was written before `woken` was set, under this lock: the read finds it.
            let _drained = (&self.wake).read(&mut [0]);
        }
        std::mem::take(&mut state.completed)
    }

    /// Why nothing more will ever be durable, once the store has failed; the descriptor becomes readable then, too.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failure.clone()
    }

    /// What must pass before more is durable: the disk is full, or has been, and there is not room for all of it yet; or another program
    /// has held the log for five seconds and more.
    pub fn waits_for(&self) -> Option<Wait> {
        self.shared.lock().waits_for
    }

    /// Messages queued or being written.
    pub fn queued(&self) -> usize {
        let state = self.shared.lock();
        state.queue.len() + state.writing
    }

    /// Writes what is queued, if there is room for it, then ends the thread. Receipts can still be taken.
    pub fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ended = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// The thread: takes all that is queued, commits it, reports it; ends when closed and empty, or at the first failure.
    fn run(&self, mut store: Store, mut waker: io::PipeWriter) {
        while let Some(batch) = self.next_batch() {
            if !self.write(&mut store, batch, &mut waker) {
                return;
            }
        }
    }

    /// Commits `batch`, in pieces where there is no room for all of it: tried whole, it would take what little room there is and give it back,
    /// over and over. What has no room alone is tried again as soon as there may be some, and what another program keeps from being
    /// written at once, for each attempt waits for it; once the log is closed, no more. Whether it is written.
    fn write(&self, store: &mut Store, mut batch: Vec<Message>, waker: &mut io::PipeWriter) -> bool {
        let mut count = batch.len();
        while !batch.is_empty() {
            count = count.min(batch.len());
            let (piece, rest) = batch.split_at(count);
            let written = store.append(piece);
            let wait = written.as_ref().err().and_then(StoreError::wait);
            let mut state = self.lock();
            match wait {
                Some(Wait::Lock) if !state.closing => {
                    state.waits_for = wait;
                    continue;
                }
                Some(Wait::Space) if count > 1 || !state.closing => {
                    state.waits_for = wait;
                    if count == 1 {
                        // Whoever queues wakes the thread, too, and makes no room.
                        drop(self.work.wait_timeout_while(state, SPACE_WAIT, |state| !state.closing));
                    }
                    count = count.div_ceil(2);
                    continue;
                }
                Some(_) => state.waits_for = wait,
                None if state.waits_for == Some(Wait::Space) && written.is_ok() && !rest.is_empty() => {}
                None => state.waits_for = None,
            }
            state.writing -= count;
            state.bytes -= piece.iter().map(Message::bytes).sum::<usize>();
            match written {
                Ok(()) => {
                    let receipts = piece.iter().map(|message| message.receipt).filter(|receipt| receipt.handle != 0);
                    state.completed.extend(receipts);
                }
                Err(error) => {
                    state.failure = Some(error.to_string());
                    (state.queue, state.writing, state.bytes) = (Vec::new(), 0, 0);
                }
            }
            if !state.woken && (state.failure.is_some() || !state.completed.is_empty()) {
                // One byte into an empty pipe: this cannot block, and the reader outlives the thread.
                let _written = waker.write(&[1]);
                state.woken = true;
            }
            if state.failure.is_some() {
                return false;
            }
            drop(state);
            batch.drain(..count);
            count *= 2;
        }
        true
    }

    fn next_batch(&self) -> Option<Vec<Message>> {
        let idle = |state: &mut State| state.queue.is_empty() && !state.closing;
        let mut state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut state.queue);
        state.writing = batch.len();
        (!batch.is_empty()).then_some(batch)
    }

    /// No code panics while it holds this lock; were it to, the state is still a queue and a list.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use rusqlite::Connection;

    use super::*;

    fn message(packet_id: u16, message_id: Option<&str>, redelivered: bool) -> Message {
        Message {
            receipt: Receipt { handle: 1, packet_id, bytes: 0 },
            device_id: "w1".into(),
            received_at_ms: 0,
            redelivered,
            message_id: message_id.map(str::to_owned),
            system_properties: "{}".to_owned(),
            properties: "{}".to_owned(),
            payload: packet_id.to_be_bytes().to_vec(),
        }
    }

    fn append(writer: &Writer, message: Message) -> Result<(), AppendError> {
        writer.append(&mut VecDeque::from([message]))
    }

    /// A path in a directory of this test's own, removed at the end.
    struct Place(std::path::PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("holdfast-stream-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn log(&self) -> std::path::PathBuf {
            self.0.join("worker-0.db")
        }

        fn rows(&self) -> i64 {
            let connection = Connection::open(self.log()).unwrap();
            connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _removed = std::fs::remove_dir_all(&self.0);
        }
    }

    fn wait_for(writer: &Writer, count: usize) -> Vec<u16> {
        let start = Instant::now();
        let mut ids = Vec::new();
        while ids.len() < count && start.elapsed() < Duration::from_secs(20) {
            ids.extend(writer.take_completed().iter().map(|receipt| receipt.packet_id));
            std::thread::sleep(Duration::from_millis(1));
        }
        ids
    }

    #[test]
    fn receipts_come_in_order_and_the_rows_are_there() {
        let place = Place::new("order");
        let writer = Writer::open(&place.log(), 10_000).unwrap();
        (1..=1_000).for_each(|id| append(&writer, message(id, None, false)).unwrap());
        assert_eq!(wait_for(&writer, 1_000), (1..=1_000).collect::<Vec<u16>>());
        assert_eq!(place.rows(), 1_000);
        assert_eq!(writer.queued(), 0);
    }

    #[test]
    fn a_redelivered_message_with_an_id_is_kept_once_and_acknowledged_again() {
        let place = Place::new("redelivery");
        let writer = Writer::open(&place.log(), 100).unwrap();
        let said = |id, name, redelivered| Message { payload: b"21.5".to_vec(), ..message(id, name, redelivered) };
        for (id, redelivered) in [(1, false), (2, true), (3, true)] {
            append(&writer, said(id, Some("m"), redelivered)).unwrap();
        }
        // Without an id, and without the device saying so, two messages are two messages.
        append(&writer, said(4, None, true)).unwrap();
        append(&writer, said(5, None, true)).unwrap();
        append(&writer, said(6, Some("m"), false)).unwrap();
        assert_eq!(wait_for(&writer, 6), [1, 2, 3, 4, 5, 6]);
        assert_eq!(place.rows(), 4);
    }

    #[test]
    fn i09_a_redelivered_message_that_is_another_under_an_id_of_before_is_kept() {
        let place = Place::new("reuse");
        let writer = Writer::open(&place.log(), 100).unwrap();
        let first = Message { payload: b"21.5".to_vec(), ..message(1, Some("5"), false) };
        let again = Message { redelivered: true, ..first.clone() };
        let others = [
            Message { payload: b"22.5".to_vec(), ..again.clone() },
            Message { payload: b"21.50".to_vec(), ..again.clone() },
            Message { properties: r#"{"unit":"K"}"#.to_owned(), ..again.clone() },
            Message { message_id: Some("6".to_owned()), ..again.clone() },
            Message { device_id: "w2".into(), ..again.clone() },
        ];
        append(&writer, first).unwrap();
        for other in others.iter().chain(&others) {
            append(&writer, other.clone()).unwrap();
        }
        append(&writer, again).unwrap();
        assert_eq!(wait_for(&writer, 12).len(), 12);
        assert_eq!(place.rows(), 6);
    }

    #[test]
    fn closing_writes_what_is_queued_and_a_reopened_log_goes_on() {
        let place = Place::new("close");
        for round in 1..=2 {
            let writer = Writer::open(&place.log(), 100).unwrap();
            (1..=50).for_each(|id| append(&writer, message(id, None, false)).unwrap());
            writer.close();
            assert_eq!(append(&writer, message(51, None, false)), Err(AppendError::Closed));
            assert_eq!(writer.take_completed().len(), 50);
            assert_eq!(place.rows(), 50 * round);
        }
    }

    #[test]
    fn i09_a_store_that_fails_reports_nothing_more() {
        let place = Place::new("failure");
        let writer = Writer::open(&place.log(), 100).unwrap();
        append(&writer, message(1, None, false)).unwrap();
        assert_eq!(wait_for(&writer, 1), [1]);
        // Another connection takes the table away: the next insert fails for good.
        Connection::open(place.log()).unwrap().execute_batch("DROP TABLE messages").unwrap();
        append(&writer, message(2, None, false)).unwrap();
        let start = Instant::now();
        let failure = loop {
            assert_eq!(writer.take_completed(), []);
            if writer.failure().is_some() || start.elapsed() > Duration::from_secs(20) {
                break writer.failure();
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(failure.unwrap().contains("messages"));
        assert_eq!(append(&writer, message(3, None, false)), Err(AppendError::Closed));
    }

    /// A log of one large message on a disk that has no room for another, and its writer, which was given three more.
    fn filled(place: &Place) -> Writer {
        let mut store = Store::open(&place.log()).unwrap();
        let large = |id| Message { payload: vec![0; 100_000], ..message(id, None, false) };
        store.append(&[large(1)]).unwrap();
        // No more than it has.
        store.0.query_row("PRAGMA max_page_count = 1", [], |row| row.get::<_, i64>(0)).unwrap();
        let writer = Writer::start(store, 100).unwrap();
        for message in [large(2), message(3, None, false), large(4)] {
            append(&writer, message).unwrap();
        }
        let start = Instant::now();
        while writer.waits_for().is_none() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((writer.waits_for(), writer.failure(), writer.queued()), (Some(Wait::Space), None, 3));
        assert_eq!(writer.take_completed(), []);
        writer
    }

    #[test]
    fn g03_on_a_full_disk_messages_wait_in_their_order_until_there_is_room() {
        let place = Place::new("room");
        let writer = filled(&place);
        append(&writer, message(5, None, false)).unwrap();
        // Another connection leaves pages that were two large messages'.
        let room = "INSERT INTO messages SELECT 9, 0, 'w9', NULL, '', '', zeroblob(100000); DELETE FROM messages";
        Connection::open(place.log()).unwrap().execute_batch(room).unwrap();
        assert_eq!(wait_for(&writer, 4), [2, 3, 4, 5]);
        assert_eq!((writer.waits_for(), writer.failure(), writer.queued()), (None, None, 0));
        assert_eq!(place.rows(), 4);
    }

    #[test]
    fn g03_with_room_for_some_of_a_batch_these_are_durable_and_acknowledged_and_the_others_follow() {
        let place = Place::new("some-room");
        let store = Store::open(&place.log()).unwrap();
        let pages: i64 = store.0.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        store.0.query_row(&format!("PRAGMA max_page_count = {}", pages + 60), [], |row| row.get::<_, i64>(0)).unwrap();
        let writer = Writer::start(store, 100).unwrap();
        let sized = |id| Message { payload: vec![0; 10_000], ..message(id, None, false) };
        writer.append(&mut (1..=40).map(sized).collect()).unwrap();
        let first = wait_for(&writer, 15);
        std::thread::sleep(SPACE_WAIT);
        let more = writer.take_completed().iter().map(|receipt| receipt.packet_id).collect();
        let mut ids = [first, more].concat();
        assert!((15..40).contains(&ids.len()), "{ids:?}");
        assert_eq!((writer.waits_for(), writer.failure(), writer.queued()), (Some(Wait::Space), None, 40 - ids.len()));
        assert_eq!(usize::try_from(place.rows()).unwrap(), ids.len());
        // Another connection leaves pages.
        let room = "INSERT INTO messages SELECT 99, 0, 'w9', NULL, '', '', zeroblob(900000); DELETE FROM messages";
        Connection::open(place.log()).unwrap().execute_batch(room).unwrap();
        ids.extend(wait_for(&writer, 40 - ids.len()));
        assert_eq!(ids, (1..=40).collect::<Vec<u16>>());
        assert_eq!((writer.waits_for(), writer.failure(), writer.queued()), (None, None, 0));
    }

    #[test]
    fn g03_a_log_that_is_closed_on_a_full_disk_waits_no_longer_and_acknowledges_nothing() {
        let place = Place::new("no-room");
        let writer = filled(&place);
        writer.close();
        assert_eq!(writer.take_completed(), []);
        assert!(writer.failure().unwrap().contains("full"));
        assert_eq!(place.rows(), 1);
    }

    /// A writer that waits for nobody for long, and another program that holds its log.
    fn locked(place: &Place) -> (Writer, Connection) {
        let store = Store::open(&place.log()).unwrap();
        store.0.busy_timeout(Duration::from_millis(50)).unwrap();
        let other = Connection::open(place.log()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let writer = Writer::start(store, 100).unwrap();
        (1..=3).for_each(|id| append(&writer, message(id, None, false)).unwrap());
        let start = Instant::now();
        while writer.waits_for().is_none() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!((writer.waits_for(), writer.failure(), writer.queued()), (Some(Wait::Lock), None, 3));
        (writer, other)
    }

    #[test]
    fn g04_while_another_program_holds_the_log_messages_wait_in_their_order() {
        let place = Place::new("locked");
        let (writer, other) = locked(&place);
        append(&writer, message(4, None, false)).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!((writer.take_completed(), writer.failure()), (vec![], None));
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(wait_for(&writer, 4), [1, 2, 3, 4]);
        assert_eq!((writer.waits_for(), writer.failure(), writer.queued()), (None, None, 0));
        assert_eq!(place.rows(), 4);
    }

    #[test]
    fn g04_a_log_that_is_closed_while_another_program_holds_it_waits_no_longer_and_acknowledges_nothing() {
        let place = Place::new("locked-for-good");
        let (writer, _other) = locked(&place);
        writer.close();
        assert_eq!(writer.take_completed(), []);
        assert!(writer.failure().unwrap().contains("locked"));
    }

    #[test]
    fn g04_a_log_that_another_program_holds_is_opened_when_it_lets_go() {
        let place = Place::new("locked-open");
        drop(Writer::open(&place.log(), 100).unwrap());
        let other = Connection::open(place.log()).unwrap();
        other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
        let path = place.log();
        let opening = std::thread::spawn(move || Writer::open(&path, 100).map(drop));
        std::thread::sleep(Duration::from_secs(6));
        assert!(!opening.is_finished());
        drop(other);
        opening.join().unwrap().unwrap();
    }

    #[test]
    fn g04_a_redelivery_is_looked_for_and_stored_though_another_program_commits_meanwhile() {
        let place = Place::new("commits");
        let mut store = Store::open(&place.log()).unwrap();
        store.append(&[message(1, Some("m"), false)]).unwrap();
        let (path, ended) = (place.log(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ended);
        let other = std::thread::spawn(move || {
            let other = Connection::open(path).unwrap();
            other.busy_timeout(Duration::from_secs(5)).unwrap();
            while !end.load(Ordering::Relaxed) {
                other.execute_batch("PRAGMA synchronous = OFF; PRAGMA user_version = 1").unwrap();
            }
        });
        // Each is looked for, and only the last is not there.
        let mut batch = vec![message(1, Some("m"), true); 2_000];
        let appended: Vec<_> = (1..=30)
            .map(|id| {
                batch.push(message(id, Some("m"), true));
                store.append(&batch)
            })
            .collect();
        ended.store(true, Ordering::Relaxed);
        other.join().unwrap();
        assert_eq!(appended.iter().find_map(|one| one.as_ref().err().map(ToString::to_string)), None);
        assert_eq!(place.rows(), 30);
    }

    #[test]
    fn a_full_queue_says_so() {
        let place = Place::new("full");
        let writer = Writer::open(&place.log(), 0).unwrap();
        assert_eq!(append(&writer, message(1, None, false)), Err(AppendError::Full));
    }

    #[test]
    fn m10_what_waits_for_the_disk_is_bounded_in_bytes_with_what_is_being_written() {
        let place = Place::new("bytes");
        let mut writer = Writer::open(&place.log(), 100).unwrap();
        writer.queue_bytes_max = 10_000;
        // Another connection writes, and ours waits.
        let other = Connection::open(place.log()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let sized = |id: u16, length: usize| Message { payload: vec![0; length], ..message(id, None, false) };
        let mut messages: VecDeque<Message> = (1..=5).map(|id| sized(id, 3_000)).collect();
        for _ in 0..3 {
            assert_eq!(writer.append(&mut messages), Err(AppendError::Full));
            assert_eq!((messages.len(), writer.queued()), (2, 3));
            std::thread::sleep(Duration::from_millis(50));
        }
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(wait_for(&writer, 3), [1, 2, 3]);
        assert_eq!(writer.append(&mut messages), Ok(()));
        assert_eq!(wait_for(&writer, 2), [4, 5]);
        // A single one that is larger than that is taken; else it would be held for ever.
        let mut messages = VecDeque::from([sized(6, 20_000), sized(7, 1)]);
        assert_eq!((writer.append(&mut messages), messages.len()), (Err(AppendError::Full), 1));
        assert_eq!(wait_for(&writer, 1), [6]);
        assert_eq!(writer.append(&mut messages), Ok(()));
        assert_eq!(wait_for(&writer, 1), [7]);
    }

    #[test]
    fn files_that_are_not_ours_are_left_alone() {
        let place = Place::new("foreign");
        std::fs::write(place.log(), b"not a database at all, but long enough to be taken for one by nobody").unwrap();
        assert_eq!(Writer::open(&place.log(), 1).unwrap_err().code(), "not_a_telemetry_log");
        std::fs::remove_file(place.log()).unwrap();
        Connection::open(place.log()).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert_eq!(Writer::open(&place.log(), 1).unwrap_err().code(), "not_a_telemetry_log");
        let open = || Connection::open(place.log()).unwrap();
        std::fs::remove_file(place.log()).unwrap();
        drop(Writer::open(&place.log(), 1).unwrap());
        open().execute_batch("PRAGMA user_version = 99").unwrap();
        assert_eq!(Writer::open(&place.log(), 1).unwrap_err().code(), "telemetry_log_newer");
    }
}
