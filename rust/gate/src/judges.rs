//! The thread that judges large batches, so that the loop's own goes on meanwhile. It never holds the interpreter.

use std::io::{self, PipeReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::verdicts::{Batch, Verdict};

/// One thread, one batch at a time: what comes meanwhile waits in the gate and makes the next one larger.
#[derive(Debug)]
pub struct Judges {
    shared: Arc<Shared>,
    /// Readable when there are verdicts; the loop watches it.
    wake: PipeReader,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batch: Option<Batch>,
    /// A batch is being judged, or its verdicts have not been taken.
    busy: bool,
    verdicts: Vec<Verdict>,
    closing: bool,
}

impl Judges {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or no pipe could be made.
    pub fn start() -> io::Result<Self> {
        let (wake, waker) = io::pipe()?;
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("holdfast-judge".to_owned()).spawn(move || for_thread.run(waker))?;
        Ok(Self { shared, wake, thread: Some(thread) })
    }

    /// The descriptor to watch for reading.
    #[cfg(unix)]
    pub fn descriptor(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.wake)
    }

    /// Whether a batch may be given now.
    pub fn is_idle(&self) -> bool {
        !self.shared.lock().busy
    }

    /// Has `batch` judged. One that comes while another is judged is dropped, which refuses nobody: deadlines do.
    pub fn judge(&self, batch: Batch) {
        let mut state = self.shared.lock();
        if !state.busy {
            state.busy = true;
            state.batch = Some(batch);
            drop(state);
            self.shared.work.notify_one();
        }
    }

    /// Takes the verdicts. Never blocks.
    pub fn take_verdicts(&self) -> Vec<Verdict> {
        let mut state = self.shared.lock();
        if state.busy && state.batch.is_none() && !state.verdicts.is_empty() {
            state.busy = false;
            // The byte was written under this lock, before the verdicts could be seen: the read finds it.
            let _drained = (&self.wake).read(&mut [0]);
        }
        std::mem::take(&mut state.verdicts)
    }
}

impl Drop for Judges {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, mut waker: io::PipeWriter) {
        while let Some(batch) = self.next_batch() {
            // A panic costs the chains of this batch their verdicts, and nothing else.
            let verdicts = catch_unwind(AssertUnwindSafe(|| batch.judge())).unwrap_or_default();
            let mut state = self.lock();
            if verdicts.is_empty() {
                state.busy = false;
            } else {
                state.verdicts = verdicts;
                // One byte into an empty pipe: this cannot block, and the reader outlives the thread.
                let _written = waker.write(&[1]);
            }
        }
    }

    fn next_batch(&self) -> Option<Batch> {
        let idle = |state: &mut State| state.batch.is_none() && !state.closing;
        let mut state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        if state.closing { None } else { state.batch.take() }
    }

    /// No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
