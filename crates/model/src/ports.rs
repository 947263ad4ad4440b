//! Local ports that `connect()` may choose from.

use std::fmt;
use std::str::FromStr;

/// `net.ipv4.ip_local_port_range`. [`Self::reserved`] counts what `ip_local_reserved_ports` takes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// First port of the range.
    pub low: u16,
    /// Last port of the range.
    pub high: u16,
}

/// The text was not a port range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePortRangeError;

impl PortRange {
    /// Ports in the range.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.high as u32 - self.low as u32 + 1
    }

    /// A range has at least one port.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Whether the port lies in the range.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.low <= port && port <= self.high
    }

    /// How many ports of the range a reservation list takes away. The list is the sysctl's text:
    /// `8080,9148-9200`.
    pub fn reserved(self, list: &str) -> Result<u32, ParsePortRangeError> {
        let mut taken: u32 = 0;
        for entry in list.trim().split(',').filter(|entry| !entry.is_empty()) {
            let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
            let first: u16 = first.trim().parse().map_err(|_| ParsePortRangeError)?;
            let last: u16 = last.trim().parse().map_err(|_| ParsePortRangeError)?;
            let (low, high) = (first.max(self.low), last.min(self.high));
            taken = taken.saturating_add((u32::from(high) + 1).saturating_sub(u32::from(low)));
        }
        Ok(taken.min(self.len()))
    }
}

impl FromStr for PortRange {
    type Err = ParsePortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ports = text.split_whitespace().map(str::parse::<u16>);
        match (ports.next(), ports.next(), ports.next()) {
            (Some(Ok(low)), Some(Ok(high)), None) if low <= high => Ok(Self { low, high }),
            _ => Err(ParsePortRangeError),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

impl fmt::Display for ParsePortRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a list or range of ports")
    }
}

impl std::error::Error for ParsePortRangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_text_is_read() {
        let range: PortRange = "32768\t60999\n".parse().expect("a range");
        assert_eq!(range, PortRange { low: 32768, high: 60999 });
        assert_eq!(range.len(), 28232);
        for text in ["", "1", "2 1", "1 2 3", "-1 5", "1 70000"] {
            assert_eq!(text.parse::<PortRange>(), Err(ParsePortRangeError), "{text:?}");
        }
    }

    #[test]
    fn reserved_ports_count_only_inside_the_range() {
        let range = PortRange { low: 100, high: 199 };
        assert_eq!(range.reserved(""), Ok(0));
        assert_eq!(range.reserved("50-109,150,199-300\n"), Ok(12));
        assert_eq!(range.reserved("1-65535"), Ok(100));
        assert_eq!(range.reserved("a"), Err(ParsePortRangeError));
    }
}
