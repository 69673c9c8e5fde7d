//! How many lines about refusals may still be written, and what was kept back.

use std::collections::BTreeMap;

/// A bucket of lines that fills with time.
#[derive(Debug)]
pub(crate) struct LineQuota {
    /// Thousandths of a line.
    left: u64,
    burst: u64,
    per_second: u64,
    filled_at_ms: u64,
    suppressed: BTreeMap<String, u64>,
    told_at_ms: u64,
}

/// How long suppressed lines are counted before the count is told.
const TELL_MS: u64 = 1_000;

impl LineQuota {
    pub(crate) fn new(burst: u64, per_second: u64) -> Self {
        let left = burst.saturating_mul(1_000);
        Self { left, burst, per_second, filled_at_ms: 0, suppressed: BTreeMap::new(), told_at_ms: 0 }
    }

    /// Whether a line about `code` may be written; one that may not is counted.
    pub(crate) fn take(&mut self, code: &str) -> bool {
        if let Some(left) = self.left.checked_sub(1_000) {
            self.left = left;
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
        let room = self.burst.saturating_mul(1_000);
        self.left = self.left.saturating_add(passed.saturating_mul(self.per_second)).min(room);
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
        let mut quota = LineQuota::new(500, 50);
        let (mut written, mut told) = (0u64, 0u64);
        for now_ms in 0..60_000 {
            // 10^5 failing handshakes a minute, and some.
            for _ in 0..2 {
                written += u64::from(quota.take("tls_error"));
            }
            if now_ms % 100 == 0 {
                told += quota.pass(now_ms).map_or(0, |codes| codes["tls_error"]);
            }
        }
        told += quota.pass(61_000).map_or(0, |codes| codes["tls_error"]);
        assert!((3_400..3_600).contains(&written), "{written}");
        assert_eq!(written + told, 120_000);
    }
}
