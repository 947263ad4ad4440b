//! How packets begin: the registry's numbers, and the names of those that are not read here.

use std::fmt;

/// The number of a link type, as registered at tcpdump.org/linktypes.html.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

impl LinkType {
    /// The registry's name of a type whose packets are not read, if it is one that captures are seen with.
    #[must_use]
    pub const fn name_if_not_read(self) -> Option<&'static str> {
        Some(match self.0 {
            6 => "IEEE802_5, token ring",
            100 => "ATM_RFC1483",
            107 => "FRELAY, frame relay",
            117 => "PFLOG",
            119 => "IEEE802_11_PRISM",
            122 => "IP_OVER_FC, Fibre Channel",
            123 => "SUNATM",
            130..=137 | 232..=234 | 238 => "of Juniper",
            144 => "LINUX_IRDA",
            147..=162 => "USER, of private use",
            163 => "IEEE802_11_AVS",
            187 | 201 => "BLUETOOTH_HCI_H4",
            189 | 220 => "USB_LINUX",
            192 => "PPI",
            195 | 230 => "IEEE802_15_4",
            197 => "ERF",
            226 => "IPNET",
            227 => "CAN_SOCKETCAN",
            240 | 241 => "NETANALYZER",
            249 => "USBPCAP",
            252 => "WIRESHARK_UPPER_PDU",
            253 => "NETLINK",
            274 => "ETHERNET_MPACKET",
            _ => return None,
        })
    }
}

/// `253 (NETLINK)`, or the number alone.
impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name_if_not_read() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_prints_its_number_and_its_name() {
        assert_eq!(LinkType(253).to_string(), "253 (NETLINK)");
        assert_eq!(LinkType(150).to_string(), "150 (USER, of private use)");
        assert_eq!(LinkType(9999).to_string(), "9999");
    }
}
