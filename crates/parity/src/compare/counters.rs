//! Which counters are compared: those that the model has, of the tables that an account tells.

use std::collections::BTreeMap;

use halfopen_model::{Counter, CounterTable};

/// Counters of the model that are not compared, each with the reason. A counter that the model has and
/// never moves, and that is not named here, must not be moved by the kernel either.
pub const NOT_COMPARED: &[(Counter, &str)] =
    &[(Counter::TcpPureAcks, "the fast path depends on windows, which the model does not have")];

/// The counters that differ, by their name, with the kernel's value and the model's.
pub(super) fn differing(
    kernel: &BTreeMap<String, u64>,
    model: &BTreeMap<String, u64>,
) -> Vec<(String, u64, u64)> {
    let compared = |counter: &&Counter| {
        counter.table() != CounterTable::Ip
            && !NOT_COMPARED.iter().any(|(other, _)| other == *counter)
    };
    let value = |of: &BTreeMap<String, u64>, name: &str| of.get(name).copied().unwrap_or(0);
    let both = Counter::ALL.iter().filter(compared).map(|counter| {
        let name = format!("{}.{counter}", counter.table().name());
        let (kernel, model) = (value(kernel, &name), value(model, &name));
        (name, kernel, model)
    });
    both.filter(|(_, kernel, model)| kernel != model).collect()
}
