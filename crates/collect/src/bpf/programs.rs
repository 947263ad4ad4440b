//! The programs of one collector, each loaded when it is first needed.

use halfopen_evidence::Missing;

use super::kernel::KernelTypes;
use super::{HolderTable, SynQueues, TaskTable};
use crate::privilege;

/// Programs that are loaded, or why they are not.
#[derive(Debug, Default)]
pub struct Programs {
    kernel: Loaded<KernelTypes>,
    syn_queues: Loaded<SynQueues>,
    holders: Loaded<HolderTable>,
    tasks: Loaded<TaskTable>,
}

/// What came of loading something, if that was tried.
type Loaded<T> = Option<Result<T, Missing>>;

impl Programs {
    /// Those of a collector that is not to load any.
    #[must_use]
    pub fn refused() -> Self {
        Self { kernel: Some(Err(Missing::needs(privilege::BPF_ALLOWED))), ..Self::default() }
    }

    /// The reader of SYN queues.
    pub(crate) fn syn_queues(&mut self) -> Result<&mut SynQueues, Missing> {
        once(&mut self.kernel, &mut self.syn_queues, SynQueues::load)
    }

    /// What finds the processes that hold sockets.
    pub(crate) fn holders(&mut self) -> Result<&mut HolderTable, Missing> {
        once(&mut self.kernel, &mut self.holders, HolderTable::load)
    }

    /// What reads the threads of a process.
    pub(crate) fn tasks(&mut self) -> Result<&mut TaskTable, Missing> {
        once(&mut self.kernel, &mut self.tasks, TaskTable::load)
    }

    /// The same, if it was loaded before.
    pub(crate) fn loaded_tasks(&mut self) -> Option<&mut TaskTable> {
        self.tasks.as_mut()?.as_mut().ok()
    }
}

/// What is loaded with the kernel's types, if it was not tried before.
fn once<'a, T>(
    kernel: &mut Loaded<KernelTypes>,
    loaded: &'a mut Loaded<T>,
    load: impl FnOnce(&KernelTypes) -> Result<T, Missing>,
) -> Result<&'a mut T, Missing> {
    let kernel = kernel.get_or_insert_with(KernelTypes::read);
    let load = || load(kernel.as_ref().map_err(Clone::clone)?);
    loaded.get_or_insert_with(load).as_mut().map_err(|why| why.clone())
}
