//! The programs of one collector, each loaded when it is first needed.

use halfopen_evidence::Missing;

use super::kernel::KernelTypes;
use super::{HolderTable, SynQueues, TaskTable};
use crate::privilege;

/// Programs that are loaded, or why they are not.
#[derive(Debug, Default)]
pub struct Programs {
    kernel: Option<Result<KernelTypes, Missing>>,
    syn_queues: Option<Result<SynQueues, Missing>>,
    holders: Option<Result<HolderTable, Missing>>,
    tasks: Option<Result<TaskTable, Missing>>,
}

impl Programs {
    /// Those of a collector that is not to load any.
    #[must_use]
    pub fn refused() -> Self {
        Self { kernel: Some(Err(Missing::needs(privilege::BPF_ALLOWED))), ..Self::default() }
    }

    /// The reader of SYN queues.
    pub(crate) fn syn_queues(&mut self) -> Result<&mut SynQueues, Missing> {
        let kernel = self.kernel.get_or_insert_with(KernelTypes::read);
        let load = || SynQueues::load(kernel.as_ref().map_err(Clone::clone)?);
        self.syn_queues.get_or_insert_with(load).as_mut().map_err(|why| why.clone())
    }

    /// What finds the processes that hold sockets.
    pub(crate) fn holders(&mut self) -> Result<&mut HolderTable, Missing> {
        let kernel = self.kernel.get_or_insert_with(KernelTypes::read);
        let load = || HolderTable::load(kernel.as_ref().map_err(Clone::clone)?);
        self.holders.get_or_insert_with(load).as_mut().map_err(|why| why.clone())
    }

    /// What reads the threads of a process.
    pub(crate) fn tasks(&mut self) -> Result<&mut TaskTable, Missing> {
        let kernel = self.kernel.get_or_insert_with(KernelTypes::read);
        let load = || TaskTable::load(kernel.as_ref().map_err(Clone::clone)?);
        self.tasks.get_or_insert_with(load).as_mut().map_err(|why| why.clone())
    }

    /// The same, if it was loaded before.
    pub(crate) fn loaded_tasks(&mut self) -> Option<&mut TaskTable> {
        self.tasks.as_mut()?.as_mut().ok()
    }
}
