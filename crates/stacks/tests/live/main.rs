//! Programs that are built for the purpose, get stuck, and are looked at.

mod frames;
mod hostile;
mod locks;
mod rust_locks;
mod stopping;
mod target;
mod undisturbed;
