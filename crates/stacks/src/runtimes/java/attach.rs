//! The attach protocol of HotSpot (src/hotspot/os/linux/attachListener_linux.cpp).
//!
//! A virtual machine listens on `/tmp/.java_pidN`, where N is its own pid as it knows it. It opens
//! that socket when it gets SIGQUIT and finds a file `/tmp/.attach_pidN` that its user or root has
//! made; without the file it would take the signal for the wish to print a dump where it prints.
//! It answers only to its own user and group, and newer ones to root; so whoever is privileged
//! becomes that user, on a thread of its own.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use halfopen_collect::in_time;
use halfopen_collect::proc::parse::{Mapping, Status};
use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{Missing, Pid, Process, Reading};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Gid, Signal, Uid, getegid, geteuid, kill_process, pidfd_send_signal};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use super::hotspot;

/// The most that is taken of an answer, in bytes: a dump of 2000 threads has 1.3 MB.
const ANSWER_MAX: usize = 64 << 20;

/// How often it is looked whether the socket is there.
const POLL: Duration = Duration::from_millis(5);

/// What is read of the process before and after the conversation may take so long besides.
const GRACE: Duration = Duration::from_secs(1);

/// Version 1 of the protocol, the command, and its three arguments: `-l` for the synchronizers that
/// threads own.
const REQUEST: &[u8] = b"1\0threaddump\0-l\0\0\0";

/// The text of the thread dump of a process.
///
/// # Errors
/// If it is no HotSpot virtual machine, may or must not be asked, or does not answer in time.
pub(super) fn thread_dump(
    root: &ProcRoot,
    process: &Process,
    patience: Duration,
) -> Result<Vec<u8>, Missing> {
    let (root, started) = (root.clone(), process.start_ticks);
    let ask = move |pid| {
        let deadline = Instant::now() + patience;
        Jvm::open(root.clone(), pid, started)?.thread_dump(deadline)
    };
    let answers = in_time(patience + GRACE, 1, &BTreeSet::from([process.pid]), ask);
    answers.into_values().next().unwrap_or_else(|| Err(no_answer()))
}

/// A virtual machine that can be asked.
struct Jvm {
    root: ProcRoot,
    pid: Pid,
    image: ProcessImage,
    mappings: Vec<Mapping>,
    status: Status,
    /// `/tmp` as it sees it.
    tmp: OwnedFd,
    /// Its pid as it knows it.
    own_pid: u32,
    user: Uid,
    group: Gid,
}

impl Jvm {
    fn open(root: ProcRoot, pid: Pid, started: u64) -> Result<Self, Missing> {
        if !root.numbers_as_we_do() {
            return Err(Missing::unreadable("signals would go to another pid namespace"));
        }
        let image = match ProcessImage::open(&root, pid) {
            Reading::Known(image) => image,
            Reading::Missing(why) => return Err(why),
        };
        if image.stat()?.start_ticks != started {
            return Err(Missing::Vanished);
        }
        let mappings = image.mappings()?;
        hotspot::check_is_hotspot(&image, &mappings)?;
        let status = hotspot::check_runs(&root, &image)?;
        let (Some(user), Some(group)) = (status.euid, status.egid) else {
            return Err(Missing::unreadable("Uid and Gid in status"));
        };
        Ok(Self {
            tmp: image.dir_in_root("tmp")?,
            root,
            pid,
            image,
            mappings,
            // A kernel without pid namespaces does not tell it.
            own_pid: status.innermost_pid.unwrap_or(pid.0),
            status,
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
        })
    }

    fn thread_dump(&self, deadline: Instant) -> Result<Vec<u8>, Missing> {
        self.become_its_user()?;
        let stream = match self.connect(deadline)? {
            Some(stream) => stream,
            None => self.make_it_listen(deadline)?,
        };
        converse(stream, deadline)
    }

    /// Gives up all privileges of this thread, for good.
    fn become_its_user(&self) -> Result<(), Missing> {
        let Self { user, group, .. } = *self;
        if (geteuid(), getegid()) == (user, group) {
            return Ok(());
        }
        set_thread_res_gid(group, group, group)
            .and_then(|()| set_thread_res_uid(user, user, user))
            .map_err(|_| Missing::needs("root, or to be the user that the Java VM runs as"))
    }

    /// Connects to its socket; `None` if it listens on none.
    fn connect(&self, deadline: Instant) -> Result<Option<UnixStream>, Missing> {
        let name = format!(".java_pid{}", self.own_pid);
        let stat = match statat(&self.tmp, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(&name, errno)),
        };
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        if !is_socket || stat.st_uid != self.user.as_raw() {
            return Err(Missing::unreadable(format_args!("{name} is no socket of its Java VM")));
        }
        // The path that it has for the process may be another file's here.
        let path = format!("/proc/self/fd/{}/{name}", self.tmp.as_raw_fd());
        let flags = SocketFlags::CLOEXEC;
        let connected =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).and_then(|socket| {
                for direction in [Timeout::Send, Timeout::Recv] {
                    set_socket_timeout(&socket, direction, Some(left(deadline)))?;
                }
                connect(&socket, &SocketAddrUnix::new(path)?)?;
                Ok(socket)
            });
        match connected {
            Ok(socket) => Ok(Some(UnixStream::from(socket))),
            // An earlier process with its number has left it behind.
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(None),
            Err(Errno::AGAIN) => Err(no_answer()),
            Err(errno) => Err(failed(&name, errno)),
        }
    }

    /// Makes it open its socket, and connects to it.
    fn make_it_listen(&self, deadline: Instant) -> Result<UnixStream, Missing> {
        hotspot::check_lets_attach(&self.image, &self.mappings)?;
        hotspot::check_takes_sigquit(&self.status)?;
        let _wish = Wish::leave(self)?;
        // Again, as late as can be.
        hotspot::check_takes_sigquit(&hotspot::check_runs(&self.root, &self.image)?)?;
        self.send_sigquit().map_err(|errno| failed("SIGQUIT", errno))?;
        while Instant::now() < deadline {
            if let Some(stream) = self.connect(deadline)? {
                return Ok(stream);
            }
            thread::sleep(POLL);
        }
        Err(no_answer())
    }

    fn send_sigquit(&self) -> Result<(), Errno> {
        match pidfd_send_signal(self.image.as_pidfd(), Signal::QUIT) {
            // Before Linux 5.1 a process can be named by its number only.
            Err(Errno::NOSYS) => {
                let pid = i32::try_from(self.pid.0).ok().and_then(rustix::process::Pid::from_raw);
                kill_process(pid.ok_or(Errno::SRCH)?, Signal::QUIT)
            }
            sent => sent,
        }
    }
}

/// The file that says that SIGQUIT is a wish to attach. It is removed when this is dropped.
struct Wish<'j> {
    jvm: &'j Jvm,
    name: String,
}

impl<'j> Wish<'j> {
    fn leave(jvm: &'j Jvm) -> Result<Self, Missing> {
        let name = format!(".attach_pid{}", jvm.own_pid);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(&jvm.tmp, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(_) => Ok(Self { jvm, name }),
            Err(Errno::EXIST) => Err(Missing::unreadable(format_args!(
                "somebody else is attaching to its Java VM, or has left {name} behind in its /tmp"
            ))),
            Err(errno) => Err(failed(&name, errno)),
        }
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        // If it cannot be removed, it is gone already.
        let _ = unlinkat(self.jvm.tmp.as_fd(), &self.name, AtFlags::empty());
    }
}

/// Asks, and reads the answer: a line with a number, 0 for success, and the text.
fn converse(mut stream: UnixStream, deadline: Instant) -> Result<Vec<u8>, Missing> {
    let unanswered = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => no_answer(),
        _ => Missing::unreadable(format_args!("the Java VM: {error}")),
    };
    stream.write_all(REQUEST).map_err(unanswered)?;
    let answer = read_until(&mut stream, deadline).map_err(unanswered)?;
    match answer.strip_prefix(b"0\n") {
        Some(text) => Ok(text.to_vec()),
        None => {
            let said = String::from_utf8_lossy(&answer[..answer.len().min(200)]);
            Err(Missing::unreadable(format_args!("the Java VM refused: {}", said.trim())))
        }
    }
}

/// What is sent until the other side closes or there is too much of it.
fn read_until(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while Instant::now() < deadline {
        stream.set_read_timeout(Some(left(deadline)))?;
        let size = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..size]);
        if size == 0 || answer.len() >= ANSWER_MAX {
            return Ok(answer);
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// Never nothing, which the kernel would take for no bound at all.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn no_answer() -> Missing {
    Missing::unreadable("the Java VM did not answer in time: it may be unable to reach a safepoint")
}

fn failed(name: &str, errno: Errno) -> Missing {
    Missing::unreadable(format_args!("{name}: {errno}"))
}
