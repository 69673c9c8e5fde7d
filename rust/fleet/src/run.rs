//! A run: its threads, what can be asked of it meanwhile, and how it ends.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::pack::Devices;
use crate::plan::Plan;
use crate::stats::CrowdStats;
use crate::wardrobe::Wardrobe;
use crate::worker::{Shared, Worker};

/// Devices that are connecting, on threads of their own.
pub struct Run {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<(), Error>>>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").field("plan", &self.shared.plan).finish_non_exhaustive()
    }
}

impl Run {
    /// Begins `plan` with the devices of the file at `path`. `issuer_key`, PKCS #8, is needed for new certificates alone.
    ///
    /// # Errors
    /// `fleet_file_failed`, `bad_fleet_file`, `bad_fleet`, `no_such_device`, `unknown_misbehaviour`, `no_poll`.
    pub fn start(plan: Plan, path: &Path, issuer_key: Option<&[u8]>) -> Result<Self, Error> {
        let threads = plan.threads.clamp(1, 256);
        // Every crowd is there from the first snapshot on, however long a thread takes to begin.
        let nothing = vec![CrowdStats::default(); plan.crowds.len()];
        let stats = (0..threads).map(|_| Mutex::new(nothing.clone())).collect();
        let shared = Arc::new(Shared { plan, began: Instant::now(), stop: AtomicBool::new(false), stats });
        let workers = (0..threads).map(|thread| {
            let wardrobe = Wardrobe::new(Devices::open(path)?, issuer_key.map(<[u8]>::to_vec))?;
            Worker::new(Arc::clone(&shared), thread, wardrobe)
        });
        let workers = workers.collect::<Result<Vec<_>, _>>()?;
        let spawn = |mut worker: Worker| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let result = worker.run();
                if result.is_err() {
                    shared.stop.store(true, Ordering::Relaxed); // one that cannot go on ends them all
                }
                result
            })
        };
        let threads = workers.into_iter().map(spawn).collect();
        Ok(Self { shared, threads })
    }

    /// Asks all devices to leave; the run ends within a few seconds.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Figures of all crowds, in the plan's order, as of a tenth of a second ago; whole once the run has finished.
    pub fn snapshot(&self) -> Vec<CrowdStats> {
        let mut sums: Vec<CrowdStats> = Vec::new();
        for stats in &self.shared.stats {
            let stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
            if sums.is_empty() {
                sums.clone_from(&stats);
            } else {
                sums.iter_mut().zip(stats.iter()).for_each(|(sum, more)| sum.add(more));
            }
        }
        sums
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What ended a thread before its time.
    pub fn join(&mut self) -> Result<(), Error> {
        let ended = |thread: JoinHandle<Result<(), Error>>| {
            thread.join().unwrap_or_else(|_| Err(Error::new("no_poll", "a thread has panicked")))
        };
        let results: Vec<_> = self.threads.drain(..).map(ended).collect();
        results.into_iter().collect()
    }
}
