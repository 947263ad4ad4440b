//! The interfaces of the namespace: what each needs for a version of IP.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::host::LOOK;
use crate::ip_version::IpVersion;
use crate::namespace::set_sysctls;
use crate::sys;

/// Where the kernel lists IPv6 addresses (net/ipv6/addrconf.c `if6_seq_show`).
const ADDRESSES: &str = "/proc/thread-self/net/if_inet6";

/// The flag of an address that cannot be used yet (IFA_F_TENTATIVE of linux/if_addr.h).
const TENTATIVE: u8 = 0x40;

/// How long an address may take until it can be used.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sees to it that the loopback interface has its address.
pub(crate) fn prepare_loopback(ip: IpVersion) -> Result<()> {
    match ip {
        IpVersion::V4 => Ok(()),
        IpVersion::V6 if !Path::new(ADDRESSES).exists() => bail!("this kernel has no IPv6"),
        // A host may have switched it off for all namespaces.
        IpVersion::V6 => {
            set_sysctls(&[("net.ipv6.conf.lo.disable_ipv6".to_owned(), "0".to_owned())])?;
            await_address(ip.loopback())
        }
    }
}

/// Switches an interface on and gives it the address of this host on the wire.
pub(crate) fn set_up(name: &str, ip: IpVersion) -> Result<()> {
    let setting = |path: String, value: &str| (path, value.to_owned());
    match ip {
        IpVersion::V4 => {
            sys::set_up(name)?;
            sys::set_address(name, ip.near()).context("no address for it")?;
            // A namespace takes these from the host; the strict mode would drop what has no way back
            // before the listener sees it (fib_validate_source).
            let no_filter = |of: &str| setting(format!("net.ipv4.conf.{of}.rp_filter"), "0");
            set_sysctls(&[no_filter("all"), no_filter(name)])
        }
        IpVersion::V6 => {
            // Nobody here is a router.
            let of = |what: &str, value| setting(format!("net.ipv6.conf.{name}.{what}"), value);
            set_sysctls(&[of("disable_ipv6", "0"), of("accept_ra", "0")])?;
            sys::set_up(name)?;
            sys::set_address(name, ip.near()).context("no address for it")?;
            await_address(ip.near())
        }
    }
}

/// Waits until the kernel lets an address be used: that takes a work of its own even where nobody is
/// asked whether he has it too (addrconf_dad_work).
fn await_address(address: IpAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listing = fs::read_to_string(ADDRESSES).with_context(|| ADDRESSES.to_owned())?;
        if is_usable(&listing, address) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{address} cannot be used after {PATIENCE:?}");
        }
        thread::sleep(LOOK);
    }
}

fn is_usable(listing: &str, address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let digits: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let line = listing.lines().find(|line| line.starts_with(&digits));
    let flags = line.and_then(|line| line.split_ascii_whitespace().nth(4));
    flags.and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|f| f & TENTATIVE == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_usable_when_it_is_there_and_not_tentative() {
        let listing = |flags: &str| {
            format!(
                "00000000000000000000000000000001 01 80 10 80       lo\n\
                 fd770000000000000000000000000001 02 40 00 {flags}     tun0\n"
            )
        };
        let near = IpVersion::V6.near();
        assert!(is_usable(&listing("80"), near));
        assert!(!is_usable(&listing("c0"), near));
        assert!(!is_usable(&listing("80"), IpVersion::V6.far()));
        assert!(is_usable(&listing("c0"), IpVersion::V6.loopback()));
    }
}
