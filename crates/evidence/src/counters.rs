//! SNMP counters of one namespace at one time.

use std::collections::BTreeMap;

use halfopen_model::{Counter, CounterTable};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Missing, Reading};

/// The counters of [`Counter`] that the kernel has. They count since the namespace was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<Counter, u64>);

impl Counters {
    /// The value of a counter; missing if this kernel does not have it.
    pub fn reading(&self, counter: Counter) -> Reading<u64> {
        self.0.get(&counter).map_or(Missing::NotOnThisKernel.into(), |&value| Reading::Known(value))
    }

    /// Sets a counter.
    pub fn set(&mut self, counter: Counter, value: u64) {
        self.0.insert(counter, value);
    }

    /// By how much a counter rose since `earlier`. Missing if either look lacks it. A counter that
    /// fell belongs to another namespace with a reused number and reads as missing too.
    pub fn since(&self, earlier: &Self, counter: Counter) -> Reading<u64> {
        let (before, after) = match earlier.reading(counter).zip(self.reading(counter)) {
            Reading::Known(pair) => pair,
            Reading::Missing(why) => return why.into(),
        };
        after.checked_sub(before).map_or(Missing::Vanished.into(), Reading::Known)
    }

    /// Every counter that was read.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        self.0.iter().map(|(&counter, &value)| (counter, value))
    }
}

impl FromIterator<(Counter, u64)> for Counters {
    fn from_iter<I: IntoIterator<Item = (Counter, u64)>>(counters: I) -> Self {
        Self(counters.into_iter().collect())
    }
}

/// Written as `{"TcpExt.ListenDrops": 3}`; names that this version does not know are skipped.
impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.iter()
                .map(|(counter, value)| (format!("{}.{counter}", counter.table().name()), value)),
        )
    }
}

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, u64>::deserialize(deserializer)?;
        named
            .into_iter()
            .filter_map(|(name, value)| match name.split_once('.') {
                None => Some(Err(de::Error::custom(format_args!("{name:?} is not TABLE.COUNTER")))),
                Some((table, counter)) => {
                    let table = [CounterTable::Tcp, CounterTable::TcpExt, CounterTable::Ip]
                        .into_iter()
                        .find(|known| known.name() == table)?;
                    Counter::find(table, counter).map(|counter| Ok((counter, value)))
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_needs_both_looks_and_a_fall_is_no_rise() {
        let before = Counters::from_iter([(Counter::ListenDrops, 5), (Counter::TcpTimeouts, 9)]);
        let after = Counters::from_iter([(Counter::ListenDrops, 7), (Counter::TcpTimeouts, 1)]);
        assert_eq!(after.since(&before, Counter::ListenDrops), Reading::Known(2));
        assert_eq!(after.since(&before, Counter::TcpTimeouts), Missing::Vanished.into());
        assert_eq!(after.since(&before, Counter::ListenOverflows), Missing::NotOnThisKernel.into());
    }

    #[test]
    fn counters_are_written_with_their_kernel_names() {
        let counters = Counters::from_iter([(Counter::ListenDrops, 5), (Counter::IpInReceives, 1)]);
        let text = serde_json::to_string(&counters).expect("counters to JSON");
        assert_eq!(text, r#"{"TcpExt.ListenDrops":5,"Ip.InReceives":1}"#);
        assert_eq!(serde_json::from_str::<Counters>(&text).expect("and back"), counters);
        let later: Counters =
            serde_json::from_str(r#"{"TcpExt.Unheard":1}"#).expect("unknown names");
        assert_eq!(later, Counters::default());
    }
}
