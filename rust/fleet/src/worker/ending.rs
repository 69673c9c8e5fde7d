//! Time, and how connections, crowds and the run end.

use std::cmp::Reverse;
use std::net::Shutdown;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use mio::Events;

use super::company::is_expected;
use super::{LEAVING, Live, Stage, Worker};
use crate::error::Error;
use crate::kinds::Expected;
use crate::plan::Stay;
use crate::stats::{Second, count};

impl Worker {
    pub(super) fn look_at_timers(&mut self, now: Instant) {
        while let Some(Reverse((at, index, generation))) =
            self.timers.peek().copied().filter(|Reverse((at, ..))| *at <= now)
        {
            self.timers.pop();
            let Some(live) = self.live(index).filter(|live| live.generation == generation) else { continue };
            if live.drips.is_some() {
                self.drip(index);
            }
            let Some(live) = self.live(index) else { continue };
            if now >= live.due {
                self.due(index, now);
            } else if at < live.due && live.drips.is_none() {
                let due = live.due;
                self.set_timer(index, due);
            }
        }
    }

    pub(super) fn due(&mut self, index: usize, now: Instant) {
        let Some(live) = self.live(index) else { return };
        match live.stage {
            Stage::Dialling => self.conclude(index, "connect_timeout"),
            Stage::Asking => {
                let ending = live.device.timeout();
                self.conclude(index, ending);
            }
            Stage::Watching => {
                let held_back =
                    !live.reads && !live.pending.is_empty() && now - live.last_sent > Duration::from_secs(1);
                self.conclude(index, if held_back { "held_back" } else { "tolerated" });
            }
            Stage::Leaving => self.remove(index),
            Stage::Open => {
                let (crowd, silent) = (live.crowd, now - live.last_sent);
                if !self.leave_if_done(index, now) {
                    if self.companies[crowd].ping_every().is_some_and(|every| silent >= every) {
                        self.step(index, |device, output, _| device.ping(output));
                    }
                    self.set_due(index, now);
                }
            }
        }
    }

    /// When an open device has something to do: a ping, or leaving.
    pub(super) fn set_due(&mut self, index: usize, now: Instant) {
        let patience = self.shared.plan.patience;
        let Some(live) = self.live(index) else { return };
        let (crowd, last_sent, leaves_at) = (live.crowd, live.last_sent, live.leaves_at);
        let ping = self.companies[crowd].ping_every().map(|every| last_sent + every);
        let leaves = leaves_at.map(|at| if at > now { at } else { at + patience });
        let Some(due) = [ping, leaves].into_iter().flatten().min() else { return };
        if let Some(live) = self.live(index) {
            live.due = due;
        }
        self.set_timer(index, due);
    }

    pub(super) fn set_timer(&mut self, index: usize, at: Instant) {
        if let Some(generation) = self.live(index).map(|live| live.generation) {
            self.timers.push(Reverse((at, index, generation)));
        }
    }

    /// Whether it has left: its time is over and its messages are acknowledged, or the hub had long enough for them.
    pub(super) fn leave_if_done(&mut self, index: usize, now: Instant) -> bool {
        let patience = self.shared.plan.patience;
        let Some(live) = self.live(index).filter(|live| live.stage == Stage::Open) else { return false };
        let Some(leaves_at) = live.leaves_at.filter(|at| *at <= now) else { return false };
        let (crowd, published, waits) = (live.crowd, live.published, !live.in_flight.is_empty());
        let messages = self.companies[crowd].crowd.publish.map_or(0, |publish| publish.messages);
        let overdue = now >= leaves_at + patience;
        if (waits || published < messages) && !overdue {
            return false;
        }
        if waits {
            count(&mut self.companies[crowd].stats.lost, "acknowledgement_timeout");
        }
        self.leave(index, now);
        true
    }

    pub(super) fn leave(&mut self, index: usize, now: Instant) {
        let Some(live) = self.live(index) else { return };
        let crowd = live.crowd;
        live.stage = Stage::Leaving;
        live.due = now + LEAVING;
        self.companies[crowd].stats.open -= 1;
        self.step(index, |device, output, _| device.leave(output));
        if let Some(live) = self.live(index) {
            let _closing = live.socket.shutdown(Shutdown::Write);
        }
        self.set_timer(index, now + LEAVING);
    }

    /// What crowds do as a whole: begin another round, end their stay, finish.
    pub(super) fn look_at_crowds(&mut self, now: Instant) {
        for crowd in 0..self.companies.len() {
            let company = &mut self.companies[crowd];
            if company.stats.finished {
                continue;
            }
            if company.started == company.count && company.live == 0 {
                company.next_round();
                continue;
            }
            let Stay::All(duration) = company.crowd.stay else { continue };
            if company.expected != Expected::Served || !company.is_all_up() {
                continue;
            }
            if company.leaves_at.is_none() {
                company.leaves_at =
                    Some(duration.map_or(now + Duration::from_secs(u32::MAX.into()), |time| now + time));
                let open = company.open.clone();
                for (index, _) in open {
                    self.fill(index);
                }
            }
            if self.companies[crowd].leaves_at.is_some_and(|at| at <= now) {
                let open = std::mem::take(&mut self.companies[crowd].open);
                for (index, generation) in open {
                    if let Some(live) = self.live(index).filter(|live| live.generation == generation) {
                        live.leaves_at.get_or_insert(now);
                        if !self.leave_if_done(index, now) {
                            self.set_due(index, now);
                        }
                    }
                }
            }
        }
    }

    /// Lets everyone leave who is in, drops who is not, and waits a little for the hub to close.
    pub(super) fn stop(&mut self, events: &mut Events) -> Result<(), Error> {
        let now = Instant::now();
        for index in 0..self.lives.len() {
            match self.live(index).map(|live| live.stage) {
                Some(Stage::Open) => self.leave(index, now),
                Some(Stage::Dialling | Stage::Asking | Stage::Watching) => self.conclude(index, "interrupted"),
                Some(Stage::Leaving) | None => {}
            }
        }
        for company in &mut self.companies {
            company.round = usize::try_from(company.crowd.rounds).unwrap_or(usize::MAX);
            company.started = company.count;
            company.stats.finished = true;
        }
        while Instant::now() < now + LEAVING && self.companies.iter().any(|company| company.live > 0) {
            self.wait(events, Instant::now())?;
            self.look_at_timers(Instant::now());
        }
        for index in 0..self.lives.len() {
            self.remove(index);
        }
        Ok(())
    }

    /// The connection is over: an outcome if it was not in yet, a loss if it was.
    pub(super) fn conclude(&mut self, index: usize, ending: &str) {
        let now = Instant::now();
        let Some(live) = self.live(index) else { return };
        let (crowd, stage, asked) = (live.crowd, live.stage, live.asked);
        match stage {
            Stage::Leaving => {}
            Stage::Open => {
                let stats = &mut self.companies[crowd].stats;
                stats.open -= 1;
                count(&mut stats.lost, ending);
            }
            Stage::Dialling | Stage::Asking | Stage::Watching => {
                let expected = self.companies[crowd].expected;
                if expected != Expected::Served && !["tolerated", "left", "interrupted"].contains(&ending) {
                    self.companies[crowd].stats.reaction.record(now - asked);
                }
                self.count_outcome(crowd, ending);
            }
        }
        self.remove(index);
    }

    pub(super) fn count_outcome(&mut self, crowd: usize, ending: &str) {
        let company = &mut self.companies[crowd];
        count(&mut company.round_stats().outcomes, ending);
        company.stats.under_way -= 1;
        company.stats.as_expected += u64::from(is_expected(company.expected, ending));
        if ending != "connected" {
            self.second(crowd, Instant::now()).failed += 1;
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        if let Some(mut live) = self.lives.get_mut(index).and_then(Option::take) {
            // Closing takes it out of the poll as well; a failure here would change nothing.
            let _gone = self.poll.registry().deregister(&mut live.socket);
            self.companies[live.crowd].live -= 1;
            self.free.push(index);
        }
    }

    pub(super) fn live(&mut self, index: usize) -> Option<&mut Live> {
        self.lives.get_mut(index).and_then(Option::as_mut)
    }

    pub(super) fn second(&mut self, crowd: usize, now: Instant) -> &mut Second {
        let elapsed = usize::try_from((now - self.shared.began).as_secs()).unwrap_or(0);
        let stats = &mut self.companies[crowd].stats;
        let open = stats.open;
        if stats.seconds.len() <= elapsed {
            stats.seconds.resize(elapsed + 1, Second { open, ..Second::default() });
        }
        let second = &mut stats.seconds[elapsed];
        second.open = open;
        second
    }

    pub(super) fn report(&mut self, now: Instant) {
        self.reported = now;
        for crowd in 0..self.companies.len() {
            self.second(crowd, now);
        }
        let stats = self.companies.iter().map(|company| company.stats.clone()).collect();
        *self.shared.stats[self.thread].lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}
