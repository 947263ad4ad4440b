//! That looking changes nothing in who is looked at.

use super::target::{Build, Running, eventually, has, output_of};

/// Calls that were interrupted, and beats of the target's heart.
fn told(running: &mut Running) -> (u64, u64) {
    let answer = running.ask();
    let (interrupted, beats) = answer.split_once(' ').expect("two numbers");
    (interrupted.parse().expect("a number"), beats.parse().expect("a number"))
}

#[test]
fn no_call_of_a_target_is_interrupted_by_fifty_looks() {
    let build = Build("gcc", &["-O2", "-pthread"]);
    let Some(program) = build.program("undisturbed.c") else { return };
    let mut running = program.start(&[]);
    assert_eq!(running.line(), "ready");
    eventually("it beats", || match told(&mut running) {
        (0, beats) if beats > 2 => Ok(()),
        other => Err(other),
    });
    for _ in 0..50 {
        running.look();
    }
    let (interrupted, beats) = told(&mut running);
    assert_eq!(interrupted, 0);
    eventually("it goes on", || match told(&mut running) {
        (0, later) if later > beats => Ok(()),
        other => Err(other),
    });
    // That the target would notice: a debugger's look interrupts it.
    if has("eu-stack", "an interruption by a debugger") {
        let pid = running.pid().to_string();
        output_of("eu-stack", &["-q", "-p", &pid]).expect("its stacks");
        eventually("eu-stack was noticed", || match told(&mut running) {
            (0, beats) => Err(beats),
            _ => Ok(()),
        });
    }
}
