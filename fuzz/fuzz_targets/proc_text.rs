//! The texts of `/proc`, of which processes write parts themselves: names, paths, states.

#![no_main]

use halfopen_collect::proc::parse;
use halfopen_evidence::label_of_cgroup;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = parse::stat(text);
    let _ = parse::status(text);
    let _ = parse::open_files_limit(text);
    let _ = parse::file_nr(text);
    let _ = parse::schedstat(text);
    let _ = parse::syscall(text);
    let _ = parse::kernel_stack(text);
    let _ = parse::cpu_stat(text);
    let _ = parse::cpu_max(text);
    let _ = parse::cfs_quota(text, text);
    if let Ok(path) = std::str::from_utf8(text) {
        let _ = label_of_cgroup(path);
    }
    for line in text.split(|&byte| byte == b'\n') {
        let _ = parse::epoll_entry(line);
        let _ = parse::mapping(line);
        let _ = parse::uring_poll_opcode(line);
        let _ = parse::socket_link(line);
        let _ = parse::number(line);
    }
});
