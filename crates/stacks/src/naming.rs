//! From addresses in memory to the frames that people read.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_collect::proc::ProcessImage;
use halfopen_evidence::{Frame, Stack};

use crate::module::Module;
use crate::symbols::{self, Named};
use crate::walk::Walk;

/// What is at every address that some stack of a process has.
pub(crate) struct Naming(BTreeMap<u64, Vec<Frame>>);

impl Naming {
    /// Looks up each address once, however many stacks have it.
    pub(crate) fn of<'w>(
        walks: impl Iterator<Item = &'w Walk>,
        modules: &mut [Module],
        image: &ProcessImage,
        lines: bool,
    ) -> Self {
        let addresses: BTreeSet<u64> =
            walks.flat_map(|walk| walk.addresses.iter().copied()).collect();
        let nameless = |&address: &u64| (address, vec![nameless(String::new(), address)]);
        let mut frames: BTreeMap<u64, Vec<Frame>> = addresses.iter().map(nameless).collect();
        for module in modules {
            let inside: Vec<u64> = addresses.range(module.range.clone()).copied().collect();
            if !inside.is_empty() {
                frames.append(&mut frames_in(module, image, &inside, lines));
            }
        }
        Self(frames)
    }

    /// A stack with names.
    pub(crate) fn stack(&self, walk: &Walk) -> Stack {
        let frames = walk.addresses.iter().filter_map(|address| self.0.get(address)).flatten();
        Stack { frames: frames.cloned().collect(), end: walk.end }
    }
}

fn frames_in(
    module: &mut Module,
    image: &ProcessImage,
    addresses: &[u64],
    lines: bool,
) -> BTreeMap<u64, Vec<Frame>> {
    let stated = |address: u64| address.wrapping_sub(module.bias);
    let mut wanted: Vec<u64> = addresses.iter().copied().map(stated).collect();
    wanted.sort_unstable();
    let mut names = symbols::name(&mut *module.input, &wanted, lines);
    if let Some(mut debug) = module.debug_file(image) {
        names.append(&mut symbols::name(&mut debug, &wanted, lines));
    }
    let frames_at = |&address: &u64| {
        let nameless = nameless(module.name.clone(), stated(address));
        let frames = match names.remove(&stated(address)) {
            Some(named) => named.into_iter().map(|named| with_name(&nameless, named)).collect(),
            None => vec![nameless],
        };
        (address, frames)
    };
    addresses.iter().map(frames_at).collect()
}

fn nameless(module: String, address: u64) -> Frame {
    Frame { function: None, module, address, line: None }
}

fn with_name(nameless: &Frame, Named { function, line }: Named) -> Frame {
    Frame { function, line, ..nameless.clone() }
}
