//! The learning rate as a pure function of the position in the training, so
//! that resuming needs no state.

use dygl_spec::protocol::{Optimizer, Schedule, ScheduleUnit};

/// Linear warm-up, then polynomial decay (section 4.1 of the paper).
#[derive(Debug, Clone)]
pub struct LearningRate {
    peak: f64,
    start: f64,
    power: f64,
    unit: ScheduleUnit,
    steps_per_epoch: usize,
    warmup_epochs: usize,
    epochs: usize,
}

impl LearningRate {
    /// The rates of a training of that many epochs, of that many optimizer steps each.
    pub fn new(optimizer: &Optimizer, schedule: &Schedule, epochs: usize, steps_per_epoch: usize) -> Self {
        Self {
            peak: optimizer.learning_rate,
            start: schedule.warmup_start,
            power: schedule.power,
            unit: schedule.unit,
            steps_per_epoch,
            warmup_epochs: schedule.warmup_epochs,
            epochs,
        }
    }

    /// The rate of a step (0-based within its 0-based epoch).
    ///
    /// With t the steps (or epochs) done, W those of the warm-up and T all:
    /// `peak (s + (1 - s) t / W)` for t < W, else `peak (1 - (t - W) / (T - W))^power`.
    pub fn at(&self, epoch: usize, step: usize) -> f64 {
        let (done, scale) = match self.unit {
            ScheduleUnit::Step => (epoch * self.steps_per_epoch + step, self.steps_per_epoch),
            ScheduleUnit::Epoch => (epoch, 1),
        };
        let (done, warmup, total) =
            (done as f64, (self.warmup_epochs * scale) as f64, (self.epochs * scale) as f64);
        if done < warmup {
            self.peak * (self.start + (1.0 - self.start) * done / warmup)
        } else {
            let part = (done - warmup) / (total - warmup).max(1.0);
            self.peak * libm::pow((1.0 - part).max(0.0), self.power)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(unit: ScheduleUnit) -> LearningRate {
        LearningRate {
            peak: 1e-3,
            start: 0.1,
            power: 0.9,
            unit,
            steps_per_epoch: 4,
            warmup_epochs: 2,
            epochs: 10,
        }
    }

    #[test]
    fn it_starts_low_peaks_after_the_warm_up_and_ends_near_zero() {
        let by_step = rate(ScheduleUnit::Step);
        assert!((by_step.at(0, 0) - 1e-4).abs() < 1e-12);
        assert!((by_step.at(1, 0) - 5.5e-4).abs() < 1e-12);
        assert!((by_step.at(2, 0) - 1e-3).abs() < 1e-12);
        let last = 1e-3 * (1.0f64 / 32.0).powf(0.9);
        assert!((by_step.at(9, 3) - last).abs() < 1e-12);
        let by_epoch = rate(ScheduleUnit::Epoch);
        assert_eq!(by_epoch.at(5, 0), by_epoch.at(5, 3));
        assert!((by_epoch.at(6, 0) - 1e-3 * 0.5f64.powf(0.9)).abs() < 1e-12);
    }

    #[test]
    fn no_warm_up_begins_at_the_peak() {
        let rate = LearningRate { warmup_epochs: 0, ..rate(ScheduleUnit::Step) };
        assert!((rate.at(0, 0) - 1e-3).abs() < 1e-15);
    }
}
