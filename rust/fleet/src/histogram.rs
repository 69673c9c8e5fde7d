//! Counts of durations in buckets that grow with them: 32 to each power of two, so a value is known to 3 %, in 10 KiB.

use std::time::Duration;

const BITS: u32 = 5;
const PER_OCTAVE: u64 = 1 << BITS;

/// Durations in microseconds, from 1 to 2³² (71 minutes); what is longer counts as that.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_us: u64,
    max_us: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        let bucket = bucket(us);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.sum_us += us;
        self.max_us = self.max_us.max(us);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum_us += other.sum_us;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// All of them together.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// The longest.
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// Buckets that are not empty, in order: the longest duration that falls into each, and how many did.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let filled = (0u64..).zip(&self.counts).filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (longest(bucket), *count)).collect()
    }
}

/// Up to 2 × 32 each value has its own bucket; above, the five bits behind the first one decide.
fn bucket(us: u64) -> usize {
    let octave = us.checked_ilog2().unwrap_or(0).saturating_sub(BITS);
    usize::try_from(u64::from(octave) * PER_OCTAVE + (us >> octave)).unwrap_or(usize::MAX)
}

fn longest(bucket: u64) -> u64 {
    let octave = (bucket / PER_OCTAVE).saturating_sub(1);
    ((bucket - octave * PER_OCTAVE + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_that_ends_at_or_just_above_it() {
        let values = (0..5_000).chain((12..32).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        for us in values {
            let end = longest(bucket(us) as u64);
            assert!(end >= us && end - us <= us / 32, "{us} in {end}");
            assert!(us == 0 || bucket(us) >= bucket(us - 1));
        }
    }

    #[test]
    fn histograms_add_up() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(10));
        other.record(Duration::from_micros(10));
        other.record(Duration::from_hours(100));
        one.add(&other);
        assert_eq!((one.total(), one.max_us()), (3, u64::from(u32::MAX)));
        assert_eq!(one.buckets(), [(10, 2), (u64::from(u32::MAX), 1)]);
    }
}
