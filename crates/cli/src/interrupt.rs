//! Ctrl-C: the first one ends the window early and the report is made of what there is; the second
//! one ends the process.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static LISTENING: Once = Once::new();
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Begins to listen for Ctrl-C, if that was not done before. Where it is not possible, Ctrl-C ends the
/// process as usual.
pub(crate) fn listen() {
    LISTENING.call_once(|| {
        let listened = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
        if let Err(error) = listened {
            eprintln!("halfopen: Ctrl-C will end it at once: {error}");
        }
    });
}

/// Whether Ctrl-C was pressed.
pub(crate) fn pressed() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
