//! Handshakes, a line each, in columns that stay where they are.

use halfopen_diagnose::report::layout::{Ink, Page};
use halfopen_diagnose::words::{harmless, located};

use crate::handshakes::found::Found;
use crate::handshakes::words::{clock, date, span};
use crate::handshakes::{class, notes, tables};

/// From so many columns on, addresses have all the room that IPv4 takes.
const WIDE: usize = 100;

/// Lines of handshakes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    width: usize,
    colour: bool,
}

impl Lines {
    /// For so many columns.
    pub(super) const fn new(width: usize, colour: bool) -> Self {
        Self { width, colour }
    }

    /// The header.
    pub(super) fn header(self) -> String {
        let mut page = Page::new(self.width, self.colour);
        let address = self.address();
        let line = format!(
            "{:>6} {:12} {:17} {:>8} {:>address$} > server",
            "#", "UTC", "outcome", "connect", "client"
        );
        page.put(Ink::Dim, &line);
        page.blank();
        page.finish()
    }

    /// A day, where one begins.
    pub(super) fn day(self, began_ns: i64) -> String {
        let mut page = Page::new(self.width, self.colour);
        page.put(Ink::Dim, &format!("{:>6} {}", "", date(began_ns)));
        page.blank();
        page.finish()
    }

    /// A handshake.
    pub(super) fn line(self, found: &Found) -> String {
        let handshake = &found.handshake;
        let mut page = Page::new(self.width, self.colour);
        let class = class::of(handshake.outcome);
        let ink = tables::ink(class::gravity(handshake.outcome));
        page.put(Ink::Dim, &format!("{:>6} ", found.number));
        page.put(Ink::Plain, &format!("{} ", clock(handshake.began_ns)));
        page.put(ink, &format!("{:17}", class.short));
        let connect = handshake.stages.connect_ns.map_or_else(|| "-".to_owned(), span);
        let address = self.address();
        let client = handshake.client.to_string();
        let server = handshake.server;
        page.put(Ink::Plain, &format!(" {connect:>8} {client:>address$} > {server}"));
        let notes = notes(found);
        if !notes.is_empty() {
            page.put(Ink::Plain, &format!("  {}", harmless(&notes.join(" · "))));
        }
        page.blank();
        page.finish()
    }

    const fn address(self) -> usize {
        if self.width < WIDE { 15 } else { 21 }
    }
}

/// What does not fit into columns.
fn notes(found: &Found) -> Vec<String> {
    let handshake = &found.handshake;
    let mut notes = notes::of(handshake);
    if let Some(crossing) = &found.crossing {
        notes.extend(crossing.located.iter().map(|&it| located(it).to_owned()));
        notes.extend(crossing.translated.map(|(client, server)| format!("as {client} > {server}")));
    }
    if !handshake.scope.is_empty() {
        notes.push(handshake.scope.clone());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshakes::fixture;

    #[test]
    fn columns_stay_where_they_are_and_nothing_raw_reaches_the_terminal() {
        let mut some = fixture::some();
        some[0].handshake.scope = "vlan \u{1b}[2J".to_owned();
        let lines = Lines::new(80, false);
        let mut text = lines.header() + &lines.day(some[0].handshake.began_ns);
        text.extend(some.iter().map(|found| lines.line(found)));
        insta::assert_snapshot!(text);
    }
}
