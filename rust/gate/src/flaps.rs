//! Devices whose sessions end again and again, by their own doing: they are told to wait.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::Limits;

/// Why sessions of a device end by its own doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flap {
    /// It pushes itself out: two clones with one key do, for ever (M03).
    TakenOver,
    /// It says in MQTT what nobody may say: firmware that does not expect to be closed comes back at once. What breaks TLS is not counted:
    /// anybody on the way may have said it.
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

/// Of a device: how often, since when.
#[derive(Debug, Default)]
struct Count {
    taken_over: usize,
    broken: usize,
    began_ms: u64,
}

/// Those that have done so lately. Only what a device says that has proven its key counts, so that nobody shuts out another (I15).
#[derive(Debug, Default)]
pub(crate) struct Flaps(HashMap<Arc<str>, Count>);

impl Flaps {
    pub(crate) fn count(&mut self, device_id: &Arc<str>, flap: Flap, limits: &Limits, now_ms: u64) {
        let anew = || Count { began_ms: now_ms, ..Count::default() };
        let count = self.0.entry(Arc::clone(device_id)).or_insert_with(anew);
        if now_ms.saturating_sub(count.began_ms) >= limits.take_overs_ms {
            *count = anew();
        }
        let times = match flap {
            Flap::TakenOver => &mut count.taken_over,
            Flap::Broken => &mut count.broken,
        };
        *times = times.saturating_add(1);
    }

    /// What the device does too often, if it would push somebody out now, and if not.
    pub(crate) fn of(&self, device_id: &str, pushes_out: bool, limits: &Limits, now_ms: u64) -> Option<Flap> {
        let count = self.0.get(device_id)?;
        let lately = now_ms.saturating_sub(count.began_ms) < limits.take_overs_ms;
        let too_often = |times| lately && times > limits.take_overs_count_max;
        let taken_over = (pushes_out && too_often(count.taken_over)).then_some(Flap::TakenOver);
        taken_over.or_else(|| too_often(count.broken).then_some(Flap::Broken))
    }

    /// It has another key now: what was done by the one before is not its doing.
    pub(crate) fn forget(&mut self, device_id: &str) {
        self.0.remove(device_id);
    }

    pub(crate) fn forget_old(&mut self, limits: &Limits, now_ms: u64) {
        self.0.retain(|_, count| now_ms.saturating_sub(count.began_ms) < limits.take_overs_ms);
    }
}
