//! Targets that most debuggers fail on, and ones that mean harm.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use halfopen_evidence::{CallTarget, Process, StackEnd};

use super::target::{Build, Program, Running, call, eventually, file, functions, thread, threads};

const BUILD: Build = Build("gcc", &["-O2", "-pthread"]);

/// A target whose waiter sits in a mutex, and the waiter.
fn stuck(program: &Program) -> (Running, u32) {
    let mut running = program.start(&["normal"]);
    let waiter = running.numbers_until(&["waiter", "ready"])["waiter"];
    let whole = |process: &Process| {
        let stack = thread(process, waiter).stack.get();
        stack.is_some_and(|stack| functions(stack).contains(&"wait_for_it"))
    };
    eventually("it waits", || {
        let looked = running.look();
        if whole(&looked) { Ok(()) } else { Err(Box::new(looked)) }
    });
    (running, waiter)
}

#[test]
fn a_stopped_process_shows_what_it_was_in() {
    let Some(program) = BUILD.program("waits.c") else { return };
    let (running, waiter) = stuck(&program);
    running.signal("-STOP");
    let looked = eventually("it stops", || {
        let looked = running.look();
        // Its threads stop one after the other.
        let is_still = call(thread(&looked, waiter)).is_some();
        if looked.is_stopped() && is_still { Ok(looked) } else { Err(looked.state) }
    });
    let thread = thread(&looked, waiter);
    assert!(matches!(call(thread).expect("a call").target, CallTarget::Lock { .. }));
    assert_eq!(thread.stack.get().expect("a stack").end, StackEnd::Root);
    running.signal("-CONT");
}

#[test]
fn a_process_whose_first_thread_has_exited_is_still_unwound() {
    let Some(program) = BUILD.program("waits.c") else { return };
    let mut running = program.start(&["main-ended"]);
    let waiter = running.numbers_until(&["waiter", "ready"])["waiter"];
    eventually("it waits", || {
        let looked = running.look();
        let whole = thread(&looked, waiter).stack.get().map(|stack| stack.end);
        if looked.state == 'Z' && whole == Some(StackEnd::Root) {
            Ok(())
        } else {
            Err(Box::new(looked))
        }
    });
}

#[test]
fn a_program_that_was_replaced_on_disk_is_still_named() {
    let Some(program) = BUILD.program("waits.c") else { return };
    let (running, waiter) = stuck(&program);
    std::fs::remove_file(&program.path).expect("to delete it");
    std::fs::write(&program.path, b"\x7fELF something else").expect("to write another");
    let looked = running.look();
    let stack = thread(&looked, waiter).stack.get().expect("a stack").clone();
    // Who may not use map_files has only the file that has the path now, and is told nothing of it.
    let named = functions(&stack).contains(&"wait_for_it");
    assert!(named || stack.end == StackEnd::Lost, "{stack:#?}");
    assert!(matches!(
        call(thread(&looked, waiter)).expect("a call").target,
        CallTarget::Lock { .. }
    ));
}

#[test]
fn a_program_that_was_cut_short_on_disk_costs_its_own_names() {
    let Some(program) = BUILD.program("waits.c") else { return };
    // A program that runs cannot be opened for writing. A library that it maps can.
    let library = program.path.with_file_name("libcut.so");
    let source = file("library.c");
    let built = Command::new("gcc")
        .args(["-O2", "-shared", "-fPIC"])
        .arg(source)
        .arg("-o")
        .arg(&library)
        .status();
    assert!(built.is_ok_and(|status| status.success()));
    let mut command = Command::new(&program.path);
    // It must not itself look for a symbol in what was cut off.
    command.arg("normal").env("LD_PRELOAD", &library).env("LD_BIND_NOW", "1");
    let mut running = Running::start(&mut command);
    let waiter = running.numbers_until(&["waiter", "ready"])["waiter"];
    let cut = std::fs::OpenOptions::new().write(true).open(&library).expect("the library");
    for length in [100, 0] {
        cut.set_len(length).expect("to cut it");
        eventually("owners are still told", || {
            let looked = running.look();
            match call(thread(&looked, waiter)).map(|call| &call.target) {
                Some(CallTarget::Lock { .. }) => Ok(()),
                other => Err(other.cloned()),
            }
        });
    }
}

#[test]
fn a_name_with_escapes_and_newlines_stays_one_name() {
    let Some(program) = BUILD.program("waits.c") else { return };
    let strange = program.path.with_file_name("a\n7f31-7f32 r-xp \u{1b}[31m (deleted)");
    std::fs::copy(&program.path, &strange).expect("a copy");
    std::fs::set_permissions(&strange, PermissionsExt::from_mode(0o755)).expect("a program");
    let mut running = Running::start(Command::new(&strange).arg("normal"));
    let waiter = running.numbers_until(&["waiter", "ready"])["waiter"];
    eventually("it waits", || {
        let looked = running.look();
        let stack = thread(&looked, waiter).stack.get().cloned();
        let named =
            stack.as_ref().is_some_and(|stack| functions(stack).contains(&"handle_request"));
        if named && threads(&looked).len() == 2 { Ok(()) } else { Err(stack) }
    });
}

#[test]
fn memory_that_blocks_its_reader_costs_the_stack_behind_it_only() {
    let Some(program) = BUILD.program("blocked_page.c") else { return };
    let mut running = program.start(&[]);
    let told = running.numbers_until(&["waiter", "idle", "blocked", "ready"]);
    if told["blocked"] == 0 {
        return println!("SKIPPED: memory that blocks: needs userfaultfd(2)");
    }
    let calls = |process: &Process, tid: u32| {
        let functions = thread(process, tid).stack.get().map(functions).unwrap_or_default();
        // A compiler may have given it another ending.
        functions.iter().filter(|name| name.starts_with("deeper") || **name == "idles").count()
    };
    eventually("both are seen", || {
        let looked = running.look();
        let idle_ends = thread(&looked, told["idle"]).stack.get().map(|stack| stack.end);
        let is_whole = calls(&looked, told["idle"]) == 1 && idle_ends == Some(StackEnd::Root);
        // Nine in all: those this side of the page.
        let deeper = calls(&looked, told["waiter"]);
        if is_whole && (1..9).contains(&deeper) { Ok(()) } else { Err(Box::new(looked)) }
    });
}
