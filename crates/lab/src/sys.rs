//! The system calls that rustix does not wrap: all of the crate's `unsafe`.

use std::ffi::{CString, c_int, c_short, c_void};
use std::io;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

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

/// Gives an interface an IPv4 address in a /24.
pub(crate) fn set_address(name: &str, address: Ipv4Addr) -> io::Result<()> {
    let control = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_addr = socket_address(address);
    interface_ioctl(control.as_raw_fd(), libc::SIOCSIFADDR, &mut request)?;
    request.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::new(255, 255, 255, 0));
    interface_ioctl(control.as_raw_fd(), libc::SIOCSIFNETMASK, &mut request)
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
    let value: *const c_int = &raw const seconds;
    let size = libc::socklen_t::try_from(size_of::<c_int>()).map_err(io::Error::other)?;
    // SAFETY: the option's value is an int, which lives over the call, and its size is passed.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            value.cast::<c_void>(),
            size,
        )
    };
    checked(done)
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

fn interface_ioctl<R>(fd: RawFd, ioctl: R, request: &mut libc::ifreq) -> io::Result<()>
where
    R: TryInto<libc::Ioctl>,
{
    let ioctl = ioctl.try_into().map_err(|_| io::Error::other("no such ioctl"))?;
    let request: *mut libc::ifreq = request;
    // SAFETY: the ioctls used here (TUNSETIFF, SIOCSIF…) read and write one ifreq, which is borrowed
    // for the call.
    checked(unsafe { libc::ioctl(fd, ioctl, request) })
}

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
