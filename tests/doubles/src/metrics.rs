//! A dataset of Analytics Engine: what was written, and its limits.

use std::cell::{Cell, RefCell};

use octo_sts_worker::ports::{Metrics, MetricsError, Point};

/// A stored point.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// `index1`
    pub index: String,
    /// `blob1` and so on.
    pub blobs: Vec<String>,
    /// `double1` and so on.
    pub doubles: Vec<f64>,
}

/// The binding `METRICS`.
#[derive(Debug, Default)]
pub struct Dataset {
    /// In order.
    pub points: RefCell<Vec<Kept>>,
    /// It takes no point.
    pub fails: Cell<bool>,
}

impl Dataset {
    /// Everything that was written as text.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let points = self.points.borrow();
        points.iter().flat_map(|point| point.blobs.iter().chain([&point.index]).cloned()).collect()
    }
}

impl Metrics for Dataset {
    /// <https://developers.cloudflare.com/analytics/analytics-engine/limits/>
    fn write(&self, point: &Point<'_>) -> Result<(), MetricsError> {
        if self.fails.get() {
            return Err(MetricsError("the dataset is full".to_owned()));
        }
        assert!(point.blobs.len() <= 20 && point.doubles.len() <= 20, "so many columns");
        assert!(point.index.len() <= 96, "{}", point.index);
        assert!(point.blobs.iter().map(|blob| blob.len()).sum::<usize>() <= 16 * 1024);
        assert!(point.doubles.iter().all(|double| double.is_finite()));
        self.points.borrow_mut().push(Kept {
            index: point.index.to_owned(),
            blobs: point.blobs.iter().map(ToString::to_string).collect(),
            doubles: point.doubles.to_vec(),
        });
        Ok(())
    }
}
