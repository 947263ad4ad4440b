//! The system calls that rustix does not wrap: all of the crate's `unsafe`.

use std::ffi::{CString, c_int, c_short, c_void};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Leaves the namespaces of the parent for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: only flags for network and user namespaces are passed here; the danger of this call
    // is with CLONE_FILES, by which threads would see different descriptor tables.
    unsafe { unshare_unsafe(flags & (UnshareFlags::NEWNET | UnshareFlags::NEWUSER)) }
}

/// Closes every descriptor but the standard ones: a program may have been started with others open,
/// and they would count against a scenario's limit. To be called before anything else is opened.
pub(crate) fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet. By number, since the function
    // is missing from older C libraries; older kernels answer ENOSYS, and the descriptors stay.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
}

/// A TUN device of that name in this network namespace; it lasts as long as the descriptor.
pub(crate) fn open_tun(name: &str) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let tun = rustix::fs::open("/dev/net/tun", flags, rustix::fs::Mode::empty())?;
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = interface_flags(libc::IFF_TUN | libc::IFF_NO_PI)?;
    interface_ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &mut request)?;
    Ok(tun)
}

/// Gives an interface that is switched on an address: in a /24 over IPv4, in a /64 over IPv6.
pub(crate) fn set_address(name: &str, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => set_ipv4_address(name, address),
        IpAddr::V6(address) => add_ipv6_address(name, address),
    }
}

fn set_ipv4_address(name: &str, address: Ipv4Addr) -> io::Result<()> {
    let control = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_addr = socket_address(address);
    interface_ioctl(control.as_raw_fd(), libc::SIOCSIFADDR, &mut request)?;
    request.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::new(255, 255, 255, 0));
    interface_ioctl(control.as_raw_fd(), libc::SIOCSIFNETMASK, &mut request)
}

fn add_ipv6_address(name: &str, address: Ipv6Addr) -> io::Result<()> {
    let control = socket(AddressFamily::INET6, SocketType::DGRAM, None)?;
    let index = rustix::net::netdevice::name_to_index(&control, name)?;
    let mut request = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: address.octets() },
        ifr6_prefixlen: 64,
        ifr6_ifindex: c_int::try_from(index).map_err(io::Error::other)?,
    };
    interface_ioctl(control.as_raw_fd(), libc::SIOCSIFADDR, &mut request)
}

/// Switches an interface on.
pub(crate) fn set_up(name: &str) -> io::Result<()> {
    let control = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = interface_flags(libc::IFF_UP)?;
    interface_ioctl(control.as_raw_fd(), libc::SIOCSIFFLAGS, &mut request)
}

/// TCP_DEFER_ACCEPT, in seconds.
pub(crate) fn set_defer_accept(socket: impl AsFd, seconds: c_int) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// Lets every packet that is received come with the time at which the kernel saw it.
pub(crate) fn set_timestamps(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// How many packets a packet socket had no room for since this was asked last.
pub(crate) fn packets_dropped(socket: impl AsFd) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut size = option_size::<libc::tpacket_stats>()?;
    let value: *mut libc::tpacket_stats = &raw mut statistics;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the option's value is a tpacket_stats, which lives over the call, and its size is
    // passed.
    checked(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            value.cast::<c_void>(),
            &raw mut size,
        )
    })?;
    Ok(statistics.tp_drops)
}

/// What a packet socket says of a packet besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketOrigin {
    /// How many bytes were put into the buffer.
    pub(crate) length: usize,
    /// The kind of hardware it crossed (ARPHRD_…).
    pub(crate) hardware: u16,
    /// Whether this host sent it.
    pub(crate) outgoing: bool,
    /// The Ethernet protocol (ETH_P_…).
    pub(crate) protocol: u16,
    /// When the kernel saw it, since 1970.
    pub(crate) at: Duration,
}

/// Space for control messages, aligned as their headers must be.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// The next packet of a packet socket that gives timestamps.
pub(crate) fn receive_packet(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<PacketOrigin> {
    let mut control = Control([0; 128]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: both are plain data, for which zero is a value.
    let (mut address, mut message): (libc::sockaddr_ll, libc::msghdr) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = option_size::<libc::sockaddr_ll>()?;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: the message points to an address, a buffer and a space for control messages that live
    // over the call, each with its size.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    Ok(PacketOrigin {
        length,
        hardware: address.sll_hatype,
        outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
        protocol: u16::from_be(address.sll_protocol),
        at: timestamp(&message).ok_or_else(|| io::Error::other("a packet without its time"))?,
    })
}

fn timestamp(message: &libc::msghdr) -> Option<Duration> {
    // SAFETY: the kernel has filled in the control messages of this header, and CMSG_FIRSTHDR and
    // CMSG_NXTHDR stay within them; SCM_TIMESTAMPNS carries a timespec, read without alignment.
    let time = unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        loop {
            let found = header.as_ref()?;
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
                break libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    };
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

fn set_option(socket: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    let size = option_size::<c_int>()?;
    let value: *const c_int = &raw const value;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the options used here have an int as their value, which lives over the call, and its
    // size is passed.
    checked(unsafe { libc::setsockopt(fd, level, name, value.cast::<c_void>(), size) })
}

fn option_size<T>() -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)
}

/// Waits in select(2) until a descriptor can be read.
pub(crate) fn select_readable(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    if usize::try_from(fd).map_or(true, |fd| fd >= libc::FD_SETSIZE) {
        return Err(io::Error::other("the descriptor is too large for select"));
    }
    // SAFETY: an fd_set is a plain bit set, for which zero is a value; `fd` is below FD_SETSIZE, so
    // FD_SET stays inside; the other sets and the timeout may be null.
    let ready = unsafe {
        let mut read: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(fd, &raw mut read);
        let null = std::ptr::null_mut();
        libc::select(fd + 1, &raw mut read, null, null, std::ptr::null_mut())
    };
    checked(ready.min(0))
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    let name = CString::new(name)?;
    // SAFETY: an ifreq is plain data, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.as_bytes_with_nul();
    if bytes.len() > request.ifr_name.len() {
        return Err(io::Error::other("the interface's name is too long"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    Ok(request)
}

fn interface_ioctl<R, T: InterfaceRequest>(fd: RawFd, ioctl: R, request: &mut T) -> io::Result<()>
where
    R: TryInto<libc::Ioctl>,
{
    let ioctl = ioctl.try_into().map_err(|_| io::Error::other("no such ioctl"))?;
    let request: *mut T = request;
    // SAFETY: the ioctls used here (TUNSETIFF, SIOCSIF…) read and write one ifreq, or one in6_ifreq on
    // an IPv6 socket, which is borrowed for the call.
    checked(unsafe { libc::ioctl(fd, ioctl, request) })
}

/// What the ioctls of interfaces take.
trait InterfaceRequest {}
impl InterfaceRequest for libc::ifreq {}
impl InterfaceRequest for libc::in6_ifreq {}

/// The field for flags is narrower than the constants are.
fn interface_flags(flags: c_int) -> io::Result<c_short> {
    c_short::try_from(flags).map_err(io::Error::other)
}

/// A `sockaddr_in` with port 0 as the `sockaddr` of an ifreq: the address follows the port.
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let [a, b, c, d] = address.octets().map(|byte| libc::c_char::from_ne_bytes([byte]));
    let sa_family = AddressFamily::INET.as_raw();
    libc::sockaddr { sa_family, sa_data: [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0] }
}

fn checked(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
