//! Tests the histogram of latencies.

use std::time::Duration;

use super::latency::{LatencyHistogram, POWERS, STEPS, bucket, upper_end};

#[test]
fn percentiles_are_within_two_percent() {
    let mut histogram = LatencyHistogram::default();
    assert_eq!(histogram.percentile(0.5), None);
    for micros in 1..=100_000 {
        histogram.record(Duration::from_micros(micros), 1);
    }
    for (part, micros) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.000_1, 10.0)] {
        let found = histogram.percentile(part).unwrap().as_secs_f64() * 1e6;
        assert!((found / micros - 1.0).abs() < 0.02, "{part}: {found}");
    }
    assert_eq!(histogram.percentile(1.0), Some(Duration::from_micros(100_000)));
    assert_eq!(histogram.max(), Duration::from_micros(100_000));
}

#[test]
fn every_latency_lies_in_its_bucket() {
    for micros in (0..200).chain([255, 256, 4_095, 4_096, 1 << 20, (1 << 31) + 7]) {
        let at = bucket(Duration::from_micros(micros));
        assert!(upper_end(at) >= Duration::from_micros(micros), "{micros}");
        let below = at.checked_sub(1).map(upper_end);
        assert!(below.is_none_or(|end| end < Duration::from_micros(micros)), "{micros}");
    }
    let long = Duration::from_secs(1 << 40);
    assert_eq!(bucket(long), STEPS * (POWERS + 1) - 1);
}

#[test]
fn merged_histograms_count_both() {
    let (mut one, mut other) = (LatencyHistogram::default(), LatencyHistogram::default());
    one.record(Duration::from_millis(1), 9);
    other.record(Duration::from_millis(8), 1);
    one.merge(&other);
    assert_eq!(one.max(), Duration::from_millis(8));
    assert!(one.percentile(0.9).unwrap() < Duration::from_micros(1_020));
    assert_eq!(one.percentile(0.91), Some(Duration::from_millis(8)));
}
