//! What a worker is given to do, with everything that it is done with.

use std::path::Path;

use dygl_datasets::Dataset;
use dygl_exec::job::Job;

use crate::device::Backend;

/// A job, the folder that its files go into, its images and its device.
#[derive(Debug, Clone, Copy)]
pub struct Assignment<'a> {
    pub job: &'a Job,
    pub folder: &'a Path,
    pub dataset: &'a Dataset,
    pub backend: &'a Backend,
}
