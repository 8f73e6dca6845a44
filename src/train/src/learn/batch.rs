//! Batches: which images a step sees, and how they become tensors. Order and
//! augmentation depend on (seed, epoch, image id) alone, whatever the number
//! of threads.

use std::convert::Infallible;
use std::sync::mpsc;

use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::random::Stream;
use dygl_datasets::{DataError, Dataset};
use dygl_pixels::Training;
use dygl_pixels::augment;
use dygl_pixels::prepare::{Form, Resized, Writer};
use dygl_spec::protocol::{Protocol, Train};
use rayon::prelude::*;

/// Prepared batches that may wait for the trainer.
const AHEAD: usize = 2;
/// Threads that make batches, in turns.
const MAKERS: usize = 2;

/// A batch as plain numbers: it crosses threads, tensors need not.
#[derive(Debug)]
pub struct Batch {
    /// `[B, 3, S, S]`, f32, normalised.
    pub images: TensorData,
    /// `[B, 1, S, S]`, f32, in 0..1.
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
pub fn stack(prepared: &[Resized], protocol: &Protocol) -> Batch {
    let Ok(batch) = assemble(prepared.len(), protocol.image.size, |index, input, target| {
        prepared[index].write_input(&protocol.image, input);
        prepared[index].write_target(protocol.image.training_masks, target);
        Ok::<(), Infallible>(())
    });
    batch
}

/// Makes a batch of `count` images, several at once: `write` gets an index and
/// the places of that image and its target.
fn assemble<E: Send>(
    count: usize,
    size: usize,
    write: impl Fn(usize, &mut [f32], &mut [f32]) -> Result<(), E> + Sync,
) -> Result<Batch, E> {
    let plane = size * size;
    let mut images = vec![0.0; count * 3 * plane];
    let mut targets = vec![0.0; count * plane];
    images
        .par_chunks_exact_mut(3 * plane)
        .zip(targets.par_chunks_exact_mut(plane))
        .enumerate()
        .try_for_each(|(index, (input, target))| write(index, input, target))?;
    Ok(Batch {
        images: TensorData::new(images, [count, 3, size, size]),
        targets: TensorData::new(targets, [count, 1, size, size]),
    })
}

/// One augmented batch of an epoch.
///
/// # Errors
/// An image cannot be loaded.
pub fn augmented(
    dataset: &Dataset,
    ids: &[String],
    seed: u64,
    epoch: usize,
    protocol: &Protocol,
) -> Result<Batch, DataError> {
    let form = Form::of(protocol);
    let writer = Writer::new(&protocol.image);
    assemble(ids.len(), protocol.image.size, |index, input, target| {
        let id = &ids[index];
        dataset.look(id, form, |picture| {
            augment::augment_into(picture, (id, seed, epoch), protocol, &writer, input, target);
        })
    })
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
    each: impl FnMut(usize, Batch) -> Result<(), E>,
) -> Result<(), E> {
    ahead(steps.len(), |step| augmented(dataset, &steps[step], seed, epoch, protocol), each)
}

/// Makes things on threads of their own and calls `each` with them in order.
/// Two makers take turns, so that no thread idles while the last image of a
/// batch is prepared. They are [`AHEAD`] of `each` and have one more each in the
/// making, never further: with the one in use that is the memory of five
/// batches (16 images of 224 pixels take 13 MB). Making goes through rayon's
/// pool, which the `flex` backend computes in too: a run never has more threads
/// at work than its job allows, and `each` waits only where nothing is ready.
fn ahead<T: Send, M: Send, E: From<M>>(
    count: usize,
    make: impl Fn(usize) -> Result<T, M> + Sync,
    mut each: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let make = &make;
        let lines: [_; MAKERS] = std::array::from_fn(|first| {
            let (sender, receiver) = mpsc::sync_channel::<Result<T, M>>(AHEAD / MAKERS);
            scope.spawn(move || {
                for step in (first..count).step_by(MAKERS) {
                    let made = make(step);
                    let failed = made.is_err();
                    // `each` hangs up when it has failed.
                    if sender.send(made).is_err() || failed {
                        return;
                    }
                }
            });
            receiver
        });
        for step in 0..count {
            let Ok(made) = lines[step % MAKERS].recv() else { break };
            each(step, made?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use dygl_datasets::pack::Cache;
    use dygl_spec::protocol::{CropFrom, Precision};

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

    #[test]
    fn the_maker_is_ahead_but_never_far() {
        let made = AtomicUsize::new(0);
        let make = |step: usize| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok::<usize, String>(step)
        };
        let mut seen = Vec::new();
        let mut furthest = 0;
        let outcome: Result<(), String> = ahead(20, make, |step, thing| {
            // Time enough to run away, were it not held.
            std::thread::sleep(Duration::from_millis(5));
            furthest = furthest.max(made.load(Ordering::SeqCst) - step);
            seen.push(thing);
            Ok(())
        });
        assert_eq!((outcome, seen), (Ok(()), (0..20).collect()));
        // In use, waiting, and one in the making.
        assert_eq!(furthest, 1 + AHEAD + MAKERS);
    }

    #[test]
    fn a_failure_on_either_side_ends_both() {
        let make = |step: usize| if step == 3 { Err("unreadable".to_owned()) } else { Ok(step) };
        let mut seen = 0;
        let outcome: Result<(), String> = ahead(10, make, |_, _| {
            seen += 1;
            Ok(())
        });
        assert_eq!((outcome, seen), (Err("unreadable".to_owned()), 3));
        let made = AtomicUsize::new(0);
        let make = |step: usize| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok::<usize, String>(step)
        };
        let outcome: Result<(), String> =
            ahead(1000, make, |step, _| if step == 1 { Err("diverged".to_owned()) } else { Ok(()) });
        assert_eq!(outcome, Err("diverged".to_owned()));
        assert!(made.load(Ordering::SeqCst) <= 1 + 1 + AHEAD + MAKERS + 1);
    }

    #[test]
    fn a_batch_does_not_depend_on_the_pack() {
        let folder = tempfile::tempdir().expect("folder");
        let name = dygl_spec::name::Named::parse("phantom-polyp,count=6,size=40,seed=1").expect("a name");
        let dataset = Dataset::open(&name, &dygl_datasets::Registry::at(folder.path())).expect("drawn");
        for from in [CropFrom::Resized, CropFrom::Stored] {
            let mut protocol = dygl_spec::testing::protocol();
            protocol.augment.crop.probability = 0.7;
            protocol.augment.crop.from = from;
            protocol.image.size = 32;
            let packed = Cache::at(folder.path()).attach(&dataset, Form::of(&protocol), "", &|_, _| {});
            let packed = packed.expect("attached").dataset;
            assert!(packed.pack().is_some());
            for epoch in 0..5 {
                let [plain, served] = [&dataset, &packed]
                    .map(|set| augmented(set, set.ids(), 3, epoch, &protocol).expect("made"));
                assert_eq!(plain.images.as_bytes(), served.images.as_bytes());
                assert_eq!(plain.targets.as_bytes(), served.targets.as_bytes());
            }
        }
    }
}
