//! From a packet to what it shows of TCP.
//!
//! Headers are read one after the other, through tunnels, until there is a TCP segment or an ICMP error
//! about one. Lengths on the wire are kept apart from lengths in the capture, so that a packet which
//! the capture cut is told from one that contradicts itself, and padding is no payload.
//!
//! Left out: checksums (offload makes them wrong in captures), reassembly (the first fragment has what
//! handshakes need), encryption.

mod fast;
mod icmp;
mod ip;
mod layer;
mod link;
mod nflog;
mod scope;
mod tcp;
#[cfg(test)]
pub(crate) mod tests;
mod tunnel;
mod wireless;

use crate::container::{LinkType, Packet};
use crate::observed::Observed;
use crate::warning::{Problem, Warnings};
use ip::{Form, Ip};
use layer::{Layer, Stop};
use scope::Path;

pub use scope::Scopes;

/// Headers of one packet that are followed, however they nest.
const MAX_HEADERS: usize = 24;

/// Reads packets. It keeps the names of VLANs and tunnels, counts, and the first warnings.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    tunnels: Tunnels,
    scopes: Scopes,
    counts: Counts,
    unread_link: Option<LinkType>,
    warnings: Warnings,
}

/// Which tunnels are looked into; all of them unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnels {
    /// IPv4 or IPv6 in IPv4 or IPv6, also over UDP (AYIYA).
    pub ip_in_ip: bool,
    /// GRE, with keys or without, of IP or Ethernet; also over UDP.
    pub gre: bool,
    /// VXLAN.
    pub vxlan: bool,
    /// Geneve.
    pub geneve: bool,
    /// Mirrored traffic: ERSPAN I, II and III. It comes in GRE.
    pub erspan: bool,
    /// GTP-U, of mobile networks.
    pub gtp: bool,
    /// Teredo.
    pub teredo: bool,
}

/// What the packets were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those with a TCP segment.
    pub segments: u64,
    /// ICMP errors about one.
    pub icmp_errors: u64,
    /// Fragments without a TCP header.
    pub fragments: u64,
    /// Cut by the capture before it could be seen what they are.
    pub cut: u64,
    /// Of a link type that is not read.
    pub unread_link: u64,
    /// Whose headers contradict themselves.
    pub malformed: u64,
    /// Everything else.
    pub other: u64,
}

/// How a packet contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ended on the wire before its headers do.
    #[error("the packet is shorter than its headers")]
    Short,
    /// Neither version 4 nor 6, or not the one that was announced.
    #[error("the IP header has an impossible version")]
    IpVersion,
    /// Its length is less than 20 or more than that of the packet.
    #[error("the IPv4 header has an impossible length")]
    Ipv4Header,
    /// Its length is less than 20 or more than that of the packet.
    #[error("the TCP header has an impossible length")]
    TcpHeader,
    /// More headers in headers than are followed.
    #[error("headers nest too deep")]
    Nesting,
}

/// The header that comes next, and what begins with it.
#[derive(Debug)]
enum Next<'a> {
    Ethernet(Layer<'a>),
    EtherType(u16, Layer<'a>),
    Ppp(Layer<'a>),
    /// Of either version.
    Ip(Layer<'a>),
    Ipv4(Layer<'a>),
    Ipv6(Layer<'a>),
    /// What an IP packet carries.
    Body(Ip<'a>),
}

/// What is remembered on the way inwards.
struct Walk {
    tunnels: Tunnels,
    path: Path,
}

impl Decoder {
    /// Looks into all tunnels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks into these.
    #[must_use]
    pub fn with_tunnels(tunnels: Tunnels) -> Self {
        Self { tunnels, ..Self::default() }
    }

    /// What a packet shows.
    ///
    /// # Errors
    /// If its headers contradict themselves. That is counted, and a warning if it is among the first.
    pub fn decode(&mut self, packet: &Packet<'_>) -> Result<Observed, Malformed> {
        let Some((mut segment, options)) = fast::segment(packet) else {
            return self.decode_any(*packet);
        };
        self.counts.segments += 1;
        if !options.is_empty() {
            segment.options = tcp::options(options);
        }
        Ok(Observed::Segment(segment))
    }

    /// Adds what a packet shows to what others showed; nothing is added if it contradicts itself. For
    /// many packets: a value that is handed on is written more than once.
    ///
    /// # Errors
    /// As [`Self::decode`].
    #[inline(always)]
    pub fn decode_into(
        &mut self,
        packet: &Packet<'_>,
        seen: &mut Vec<Observed>,
    ) -> Result<(), Malformed> {
        if let Some((segment, options)) = fast::segment(packet) {
            self.counts.segments += 1;
            seen.push(Observed::Segment(segment));
            if !options.is_empty()
                && let Some(Observed::Segment(segment)) = seen.last_mut()
            {
                segment.options = tcp::options(options);
            }
            return Ok(());
        }
        seen.push(self.decode_any(*packet)?);
        Ok(())
    }

    /// The names of scopes.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What the packets were so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The first link type that could not be read.
    #[must_use]
    pub const fn unread_link(&self) -> Option<LinkType> {
        self.unread_link
    }

    /// The first malformed packets.
    #[must_use]
    pub const fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Takes the packet itself, so that its parts need not lie in memory unless this is called.
    #[inline(never)]
    fn decode_any(&mut self, packet: Packet<'_>) -> Result<Observed, Malformed> {
        match self.general(&packet) {
            Ok(observed) => {
                match observed {
                    Observed::Segment(_) => self.counts.segments += 1,
                    Observed::IcmpError(_) => self.counts.icmp_errors += 1,
                    Observed::Other => self.counts.other += 1,
                }
                return Ok(observed);
            }
            Err(Stop::Other) => self.counts.other += 1,
            Err(Stop::Cut) => self.counts.cut += 1,
            Err(Stop::Fragment) => self.counts.fragments += 1,
            Err(Stop::Link) => {
                self.counts.unread_link += 1;
                self.unread_link = self.unread_link.or(Some(packet.link));
            }
            Err(Stop::Malformed(how)) => {
                self.counts.malformed += 1;
                self.warnings.push(packet.record, packet.offset, Problem::Malformed(how));
                return Err(how);
            }
        }
        Ok(Observed::Other)
    }

    /// The general way, for packets of every shape.
    fn general(&mut self, packet: &Packet<'_>) -> Result<Observed, Stop> {
        let wire = packet.captured.len().max(packet.original_len as usize);
        let mut walk = Walk { tunnels: self.tunnels, path: Path::default() };
        let mut next = link::begin(packet.link, Layer { bytes: packet.captured, wire })?;
        for _ in 0..MAX_HEADERS {
            next = match next {
                Next::Ethernet(frame) => link::ethernet(frame)?,
                Next::EtherType(number, body) => link::ether_type(&mut walk, number, body)?,
                Next::Ppp(frame) => link::ppp(frame)?,
                Next::Ip(packet) => Next::Body(Ip::of(packet)?),
                Next::Ipv4(packet) => Next::Body(Ip::v4(packet, Form::Whole)?),
                Next::Ipv6(packet) => Next::Body(Ip::v6(packet, Form::Whole)?),
                Next::Body(ip) => match ip.protocol {
                    ip::TCP => {
                        let scope = self.scopes.number(&walk.path);
                        return tcp::segment(packet, scope, &ip).map(Observed::Segment);
                    }
                    ip::ICMP | ip::ICMPV6 => {
                        let scope = self.scopes.number(&walk.path);
                        let error = icmp::error(packet, scope, &ip);
                        // What is quoted may be cut or rewritten on its way; that is nobody's fault.
                        return error.map(Observed::IcmpError).map_err(|_| Stop::Other);
                    }
                    ip::IPV4 if walk.tunnels.ip_in_ip => Next::Ipv4(ip.body),
                    ip::IPV6 if walk.tunnels.ip_in_ip => Next::Ipv6(ip.body),
                    ip::GRE if walk.tunnels.gre => tunnel::gre(&mut walk, ip.body)?,
                    ip::UDP => tunnel::udp(&mut walk, ip.body)?,
                    _ => return Err(Stop::Other),
                },
            };
        }
        Err(Stop::Malformed(Malformed::Nesting))
    }
}

impl Tunnels {
    /// None of them.
    pub const NONE: Self = Self {
        ip_in_ip: false,
        gre: false,
        vxlan: false,
        geneve: false,
        erspan: false,
        gtp: false,
        teredo: false,
    };
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            ip_in_ip: true,
            gre: true,
            vxlan: true,
            geneve: true,
            erspan: true,
            gtp: true,
            teredo: true,
        }
    }
}
