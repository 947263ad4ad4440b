//! From addresses in memory to the frames that people read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use halfopen_collect::in_time;
use halfopen_collect::proc::ProcessImage;
use halfopen_evidence::{Frame, Stack};

use crate::complete::WORKERS;
use crate::module::Module;
use crate::perf_map::PerfMap;
use crate::symbols::{self, Named};
use crate::walk::Walk;

/// What is at every address that some stack of a process has.
pub(crate) struct Naming(BTreeMap<u64, Vec<Frame>>);

impl Naming {
    /// Looks up each address once, however many stacks have it. What cannot be looked up in time
    /// stays without a name.
    pub(crate) fn of(
        addresses: BTreeSet<u64>,
        modules: Vec<Module>,
        image: &Arc<ProcessImage>,
        lines: bool,
        patience: Duration,
    ) -> Self {
        let mut frames = BTreeMap::new();
        for &address in &addresses {
            frames.insert(address, vec![nameless(String::new(), address)]);
        }
        for module in &modules {
            for &address in addresses.range(module.range.clone()) {
                frames.insert(address, vec![nameless(module.name.clone(), module.stated(address))]);
            }
        }
        let in_no_file = |frames: &[Frame]| frames.iter().all(|frame| frame.module.is_empty());
        let generated: Vec<u64> = frames
            .iter()
            .filter_map(|(&address, frames)| in_no_file(frames).then_some(address))
            .collect();
        let image = Arc::clone(image);
        // The last is what is in no module.
        let numbers = (0..=modules.len()).collect();
        let modules: Vec<Mutex<Module>> = modules.into_iter().map(Mutex::new).collect();
        let named = in_time(patience, WORKERS, &numbers, move |at| {
            let Some(module) = modules.get(at) else { return generated_frames(&image, &generated) };
            let mut module = module.lock().unwrap_or_else(PoisonError::into_inner);
            let inside: Vec<u64> = addresses.range(module.range.clone()).copied().collect();
            frames_in(&mut module, &image, &inside, lines)
        });
        frames.extend(named.into_values().flatten());
        Self(frames)
    }

    /// Names of the functions at an address, those that were inlined into another before it.
    pub(crate) fn functions(&self, address: u64) -> impl Iterator<Item = &str> {
        let frames = self.0.get(&address).into_iter().flatten();
        frames.filter_map(|frame| frame.function.as_deref())
    }

    /// A stack with names.
    pub(crate) fn stack(&self, walk: &Walk) -> Stack {
        let frames = walk.addresses.iter().flat_map(|&address| self.at(address));
        Stack { frames: frames.cloned().collect(), end: walk.end }
    }

    /// The frames of one address: a function, and before it those that were inlined into it.
    pub(crate) fn at(&self, address: u64) -> &[Frame] {
        self.0.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn frames_in(
    module: &mut Module,
    image: &ProcessImage,
    addresses: &[u64],
    lines: bool,
) -> BTreeMap<u64, Vec<Frame>> {
    if addresses.is_empty() {
        return BTreeMap::new();
    }
    let mut wanted: Vec<u64> = addresses.iter().map(|&address| module.stated(address)).collect();
    wanted.sort_unstable();
    let mut names = symbols::name(&mut *module.input, &wanted, lines);
    if let Some(mut debug) = module.debug_file(image) {
        names.append(&mut symbols::name(&mut debug, &wanted, lines));
    }
    let frames_at = |&address: &u64| {
        let stated = module.stated(address);
        let nameless = nameless(module.name.clone(), stated);
        let named = names.remove(&stated)?;
        Some((address, named.into_iter().map(|named| with_name(&nameless, named)).collect()))
    };
    addresses.iter().filter_map(frames_at).collect()
}

/// Names what is in no file, where the runtime that made it says what it is.
fn generated_frames(image: &ProcessImage, addresses: &[u64]) -> BTreeMap<u64, Vec<Frame>> {
    if addresses.is_empty() {
        return BTreeMap::new();
    }
    let names = PerfMap::open(image).map(|map| map.names(addresses)).unwrap_or_default();
    let frame = |(address, name): (u64, String)| {
        let named = Named { function: Some(name), line: None };
        (address, vec![with_name(&nameless(String::new(), address), named)])
    };
    names.into_iter().map(frame).collect()
}

fn nameless(module: String, address: u64) -> Frame {
    Frame { function: None, module, address, line: None }
}

fn with_name(nameless: &Frame, Named { function, line }: Named) -> Frame {
    Frame { function, line, ..nameless.clone() }
}
