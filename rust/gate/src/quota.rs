//! How many lines about refusals may still be written, and what was kept back.

use std::collections::BTreeMap;

/// Whose lines. Each has a share that the others cannot use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Whoever has proven nothing: anybody.
    Strangers,
    /// Whoever has proven its key on a good path.
    Proven,
    /// Of these, what somebody must hear of (`trust.md` §3.2).
    Alarms,
}

/// Tenths of the lines that are for strangers, for others, and for alarms.
const TENTHS: [u64; 3] = [8, 1, 1];

/// Buckets of lines that fill with time.
#[derive(Debug)]
pub(crate) struct LineQuota {
    buckets: [Bucket; 3],
    filled_at_ms: u64,
    suppressed: BTreeMap<String, u64>,
    told_at_ms: u64,
}

#[derive(Debug)]
struct Bucket {
    /// In millionths of a line, like what it holds at the most.
    left: u64,
    burst: u64,
    per_ms: u64,
}

const LINE: u64 = 1_000_000;

/// How long suppressed lines are counted before the count is told.
const TELL_MS: u64 = 1_000;

impl LineQuota {
    pub(crate) fn new(burst: u64, per_second: u64) -> Self {
        let buckets = TENTHS.map(|tenths| {
            let share = |lines: u64| lines.saturating_mul(LINE / 10).saturating_mul(tenths);
            let burst = share(burst).max(LINE);
            Bucket { left: burst, burst, per_ms: share(per_second) / 1_000 }
        });
        Self { buckets, filled_at_ms: 0, suppressed: BTreeMap::new(), told_at_ms: 0 }
    }

    /// Whether a line about `code` may be written; one that may not is counted.
    pub(crate) fn take(&mut self, share: Share, code: &str) -> bool {
        let [strangers, proven, alarms] = &mut self.buckets;
        let bucket = match share {
            Share::Strangers => strangers,
            Share::Proven => proven,
            Share::Alarms => alarms,
        };
        if let Some(left) = bucket.left.checked_sub(LINE) {
            bucket.left = left;
            return true;
        }
        let count = self.suppressed.entry(code.to_owned()).or_default();
        *count = count.saturating_add(1);
        false
    }

    /// Time has passed. Answers what was kept back, by code, when it is time to tell.
    pub(crate) fn pass(&mut self, now_ms: u64) -> Option<BTreeMap<String, u64>> {
        let passed = now_ms.saturating_sub(self.filled_at_ms);
        self.filled_at_ms = now_ms;
        for bucket in &mut self.buckets {
            bucket.left = bucket.left.saturating_add(passed.saturating_mul(bucket.per_ms)).min(bucket.burst);
        }
        if self.suppressed.is_empty() || now_ms < self.told_at_ms.saturating_add(TELL_MS) {
            return None;
        }
        self.told_at_ms = now_ms;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x07_a_crowd_writes_a_burst_then_a_trickle_and_all_the_rest_is_counted() {
        let shares = [
            (Share::Strangers, "tls_error", 2_700..2_900),
            (Share::Proven, "client_id_mismatch", 340..360),
            (Share::Alarms, "identity_pinned", 340..360),
        ];
        for (share, code, wanted) in shares {
            let mut quota = LineQuota::new(500, 50);
            let (mut written, mut told) = (0u64, 0u64);
            for now_ms in 0..60_000 {
                // 10^5 failing handshakes a minute, and some.
                for _ in 0..2 {
                    written += u64::from(quota.take(share, code));
                }
                if now_ms % 100 == 0 {
                    told += quota.pass(now_ms).map_or(0, |codes| codes[code]);
                }
            }
            told += quota.pass(61_000).map_or(0, |codes| codes[code]);
            assert!(wanted.contains(&written), "{written} of {code}");
            assert_eq!(written + told, 120_000);
        }
    }

    #[test]
    fn x07_the_shares_are_no_more_together_than_the_whole_and_nobody_has_none() {
        let mut quota = LineQuota::new(500, 50);
        let all = [Share::Strangers, Share::Proven, Share::Alarms];
        let lines = all.map(|share| (0..1_000).filter(|_| quota.take(share, "x")).count());
        assert_eq!(lines, [400, 50, 50]);
        quota.pass(1_000);
        assert_eq!(all.map(|share| (0..1_000).filter(|_| quota.take(share, "x")).count()), [40, 5, 5]);
        let mut quota = LineQuota::new(1, 1);
        assert!(all.iter().all(|share| quota.take(*share, "x")));
        quota.pass(10_000);
        assert!(all.iter().all(|share| quota.take(*share, "x")));
    }
}
