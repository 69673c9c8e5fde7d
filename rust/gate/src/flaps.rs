//! Devices whose sessions end again and again, by their own doing: they are told to wait.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::Limits;

/// Why sessions of a device end by its own doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flap {
    /// It pushes itself out: two clones with one key do, for ever (M03).
    TakenOver,
    /// It says what nobody may say: firmware that does not expect to be closed comes back at once.
    Broken,
}

impl Flap {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TakenOver => "taken_over_too_often",
            Self::Broken => "closed_too_often",
        }
    }
}

/// Of a device: how often, since when, and how the last time.
#[derive(Debug)]
struct Count {
    times: usize,
    began_ms: u64,
    last: Flap,
}

/// Those that have done so lately. Only a device that has proven its key is counted, so that nobody can shut out another (I15).
#[derive(Debug, Default)]
pub(crate) struct Flaps(HashMap<Arc<str>, Count>);

impl Flaps {
    pub(crate) fn count(&mut self, device_id: &Arc<str>, flap: Flap, limits: &Limits, now_ms: u64) {
        let anew = || Count { times: 0, began_ms: now_ms, last: flap };
        let count = self.0.entry(Arc::clone(device_id)).or_insert_with(anew);
        if now_ms.saturating_sub(count.began_ms) >= limits.take_overs_ms {
            *count = anew();
        }
        (count.times, count.last) = (count.times.saturating_add(1), flap);
    }

    /// What the device does too often.
    pub(crate) fn of(&self, device_id: &str, limits: &Limits, now_ms: u64) -> Option<Flap> {
        let count = self.0.get(device_id)?;
        let lately = now_ms.saturating_sub(count.began_ms) < limits.take_overs_ms;
        (lately && count.times > limits.take_overs_count_max).then_some(count.last)
    }

    pub(crate) fn forget_old(&mut self, limits: &Limits, now_ms: u64) {
        self.0.retain(|_, count| now_ms.saturating_sub(count.began_ms) < limits.take_overs_ms);
    }
}
