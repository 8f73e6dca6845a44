//! What a worker is given to do, with everything that it is done with.

use std::path::Path;

use dygl_datasets::Dataset;
use dygl_exec::job::Job;

use crate::device::Backend;

/// A job, the folder that its files go into, its images and its device.
#[derive(Debug, Clone, Copy)]
pub struct Assignment<'a> {
    /// The task, its cell, and the digests that must hold.
    pub job: &'a Job,
    /// Holds `job.json`; weights, scores and events are left in it.
    pub folder: &'a Path,
    /// The cell's images, packed where the store can hold them.
    pub dataset: &'a Dataset,
    /// Computes everything of the job; its numerics class is the one that the job names.
    pub backend: &'a Backend,
}
