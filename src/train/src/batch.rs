//! Batches: which images a step sees, and how they become tensors. Order and
//! augmentation depend on (seed, epoch, image id) alone, whatever the number
//! of threads.

use std::sync::mpsc;

use burn::tensor::{Device, Tensor, TensorData};
use dygl::data::prepare::Resized;
use dygl::data::{DataError, Dataset, Training};
use dygl::random::Stream;
use dygl::spec::protocol::{Protocol, Train};
use rayon::prelude::*;

use crate::augment;

/// Prepared batches that may wait for the trainer.
const AHEAD: usize = 2;

/// A batch as plain numbers: it crosses threads, tensors need not.
#[derive(Debug)]
pub struct Batch {
    pub images: TensorData,
    pub targets: TensorData,
}

impl Batch {
    /// Images [B, 3, S, S] and targets [B, 1, S, S].
    pub fn to_device(self, device: &Device) -> (Tensor<4>, Tensor<4>) {
        (Tensor::from_data(self.images, device), Tensor::from_data(self.targets, device))
    }
}

/// The ids of an epoch (0-based) by step.
pub fn order(images: Training<'_>, seed: u64, epoch: usize, train: &Train) -> Vec<Vec<String>> {
    order_of(images.ids(), seed, epoch, train)
}

fn order_of(ids: &[String], seed: u64, epoch: usize, train: &Train) -> Vec<Vec<String>> {
    let wanted = if train.images_per_epoch > 0 { train.images_per_epoch } else { ids.len() };
    let mut drawn: Vec<String> = Vec::with_capacity(wanted + ids.len());
    while drawn.len() < wanted && !ids.is_empty() {
        let pass = (drawn.len() / ids.len()).to_string();
        let mut shuffled = ids.to_vec();
        Stream::new(seed, "order", &[&epoch.to_string(), &pass]).shuffle(&mut shuffled);
        drawn.append(&mut shuffled);
    }
    drawn.truncate(wanted);
    let mut steps: Vec<Vec<String>> = drawn.chunks(train.batch_size).map(<[String]>::to_vec).collect();
    let is_short = steps.last().is_some_and(|last| last.len() < train.batch_size);
    if train.drop_last && is_short && steps.len() > 1 {
        steps.pop();
    }
    steps
}

/// Stacks prepared images: images [B, 3, S, S] normalised, targets [B, 1, S, S].
pub fn stack(prepared: &[Resized], protocol: &Protocol, threshold: u8) -> Batch {
    let size = protocol.image.size;
    let plane = size * size;
    let mut images = vec![0.0; prepared.len() * 3 * plane];
    let mut targets = vec![0.0; prepared.len() * plane];
    for ((resized, image), target) in
        prepared.iter().zip(images.chunks_exact_mut(3 * plane)).zip(targets.chunks_exact_mut(plane))
    {
        resized.write_input(&protocol.image, image);
        resized.write_target(protocol.image.training_masks, threshold, target);
    }
    Batch {
        images: TensorData::new(images, [prepared.len(), 3, size, size]),
        targets: TensorData::new(targets, [prepared.len(), 1, size, size]),
    }
}

/// Calls `each` with the augmented batches of an epoch in order, preparing
/// the next ones meanwhile. `each` says whether to go on.
///
/// # Errors
/// An image cannot be loaded, or `each` fails.
pub fn for_each<E: From<DataError>>(
    dataset: &Dataset,
    steps: &[Vec<String>],
    seed: u64,
    epoch: usize,
    protocol: &Protocol,
    mut each: impl FnMut(usize, Batch) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Result<Batch, DataError>>(AHEAD);
        scope.spawn(move || {
            for ids in steps {
                let prepared: Result<Vec<Resized>, DataError> = ids
                    .par_iter()
                    .map(|id| Ok(augment::augment(&dataset.load(id)?, id, seed, epoch, protocol)))
                    .collect();
                let batch = prepared.map(|images| stack(&images, protocol, dataset.mask_threshold()));
                let failed = batch.is_err();
                // The trainer hangs up when it has failed.
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        for (step, batch) in receiver.iter().enumerate() {
            each(step, batch?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use dygl::spec::protocol::Precision;

    use super::*;

    fn train(batch_size: usize, drop_last: bool, images_per_epoch: usize) -> Train {
        Train { epochs: 1, batch_size, drop_last, images_per_epoch, precision: Precision::F32 }
    }

    fn ids() -> Vec<String> {
        (0..10).map(|i| i.to_string()).collect()
    }

    #[test]
    fn an_epoch_sees_each_image_once_in_an_order_of_its_own() {
        let first = order_of(&ids(), 42, 0, &train(4, false, 0));
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let mut seen: Vec<String> = first.concat();
        seen.sort();
        assert_eq!(seen, ids());
        assert_eq!(first, order_of(&ids(), 42, 0, &train(4, false, 0)));
        assert_ne!(first, order_of(&ids(), 42, 1, &train(4, false, 0)));
        assert_ne!(first, order_of(&ids(), 43, 0, &train(4, false, 0)));
    }

    #[test]
    fn short_batches_and_short_epochs_are_as_asked() {
        assert_eq!(order_of(&ids(), 1, 0, &train(4, true, 0)).concat().len(), 8);
        assert_eq!(order_of(&ids(), 1, 0, &train(4, false, 6)).concat().len(), 6);
        // More than there are: whole passes, each in an order of its own.
        let long = order_of(&ids(), 1, 0, &train(4, false, 25)).concat();
        assert_eq!(long.len(), 25);
        assert_ne!(long[..10], long[10..20]);
        assert!(ids().iter().all(|id| long.iter().filter(|drawn| *drawn == id).count() >= 2));
        // A dataset smaller than a batch still trains.
        assert_eq!(order_of(&ids(), 1, 0, &train(16, true, 0)).concat().len(), 10);
    }
}
