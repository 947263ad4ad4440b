//! A ladder as SVG, by itself or inside a page.

use std::fmt::Write as _;

use super::ladder::{Ladder, Rung, Step};
use super::ladder_points::Reach;
use crate::handshakes::words::{counted, span};
use crate::markup::escaped;

const WIDTH: u32 = 720;
const LEFT: u32 = 110;
const RIGHT: u32 = 690;
const TOP: u32 = 84;
const ROW: u32 = 30;
const NOTE: u32 = 16;

/// Colours for light and dark. Trouble also has its words, so colour is not all that tells it.
const STYLE: &str = "\
.bg{fill:#fff}.ink{fill:#1b1f24}.dim{fill:#59636e}.bad{fill:#b3261e}.line{stroke:#8c959f}\
.arrow{stroke:#1b1f24}.alarm{stroke:#b3261e}\
@media(prefers-color-scheme:dark){.bg{fill:#14181d}.ink{fill:#e6edf3}.dim{fill:#9aa4af}\
.bad{fill:#ff8a80}.line{stroke:#59636e}.arrow{stroke:#e6edf3}.alarm{stroke:#ff8a80}}";

/// The drawing as a document of its own.
pub(super) fn document(ladder: &Ladder) -> String {
    draw(ladder, &format!("<style>{STYLE}</style>\n"), "ladder")
}

/// The drawing inside a page, which has the style; `id` is its own there.
pub(super) fn inline(ladder: &Ladder, id: &str) -> String {
    draw(ladder, "", id)
}

/// The style for a page with drawings.
pub(super) const fn style() -> &'static str {
    STYLE
}

fn draw(ladder: &Ladder, style: &str, id: &str) -> String {
    let height = TOP + ladder.steps.iter().map(height_of).sum::<u32>() + 20;
    let title = format!("{} to {}", ladder.client, ladder.server);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
         font-family=\"system-ui,sans-serif\" font-size=\"13\">\n\
         <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}</desc>\n{style}\
         <rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n",
        escaped(&title),
        escaped(&described(ladder)),
    );
    text(&mut svg, 16, 26, "ink", "font-size=\"15\" font-weight=\"600\"", &ladder.outcome);
    text(&mut svg, LEFT, 56, "ink", "text-anchor=\"start\" font-weight=\"600\"", &ladder.client);
    text(&mut svg, RIGHT, 56, "ink", "text-anchor=\"end\" font-weight=\"600\"", &ladder.server);
    let [client, server] = &ladder.roles;
    text(&mut svg, LEFT, 73, "dim", "text-anchor=\"start\"", client);
    text(&mut svg, RIGHT, 73, "dim", "text-anchor=\"end\"", server);
    let mut y = TOP;
    for step in &ladder.steps {
        let next = y + height_of(step);
        let dashes = if matches!(step, Step::Rung(_)) { "" } else { " stroke-dasharray=\"2 4\"" };
        for x in [LEFT, RIGHT] {
            let _ = writeln!(svg, "<path class=\"line\" d=\"M{x} {y}V{next}\"{dashes}/>");
        }
        let middle = u32::midpoint(LEFT, RIGHT);
        match step {
            Step::Rung(rung) => arrow(&mut svg, rung, y),
            Step::Gap(ns) => {
                text(
                    &mut svg,
                    middle,
                    y + 18,
                    "dim",
                    "text-anchor=\"middle\"",
                    &format!("{} later", span(*ns)),
                );
            }
            Step::Omitted(count) => {
                let words = format!("{} not drawn", counted(*count, "segment"));
                text(&mut svg, middle, y + 18, "dim", "text-anchor=\"middle\"", &words);
            }
        }
        y = next;
    }
    svg.push_str("</svg>\n");
    svg
}

const fn height_of(step: &Step) -> u32 {
    match step {
        Step::Rung(rung) if rung.note.is_some() => ROW + NOTE,
        Step::Rung(_) | Step::Gap(_) | Step::Omitted(_) => ROW,
    }
}

fn arrow(svg: &mut String, rung: &Rung, y: u32) {
    let line = y + 22;
    let (stroke, fill) = if rung.is_trouble { ("alarm", "bad") } else { ("arrow", "ink") };
    let (begin, end) = if rung.from_client { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
    let middle = u32::midpoint(LEFT, RIGHT);
    let (from, to) = match rung.reach {
        Reach::Through => (begin, end),
        Reach::Left => (begin, middle),
        Reach::Came => (middle, end),
    };
    let head = if rung.from_client { to - 9 } else { to + 9 };
    let (up, down) = (line - 4, line + 4);
    let _ = writeln!(
        svg,
        "<path class=\"{stroke}\" stroke-width=\"1.5\" fill=\"none\" \
         d=\"M{from} {line}H{to}M{head} {up}L{to} {line}L{head} {down}\"/>"
    );
    if rung.reach != Reach::Through {
        let (left, right) = (middle - 5, middle + 5);
        let (up, down) = (line - 5, line + 5);
        let _ = writeln!(
            svg,
            "<path class=\"{stroke}\" stroke-width=\"1.5\" d=\"M{left} {up}L{right} {down}M{left} {down}L{right} {up}\"/>"
        );
    }
    let at = if rung.at_ns == 0 { "0".to_owned() } else { span(rung.at_ns) };
    text(svg, LEFT - 12, line + 4, "dim", "text-anchor=\"end\"", &at);
    let (x, anchor) = if rung.from_client {
        (LEFT + 14, "text-anchor=\"start\"")
    } else {
        (RIGHT - 14, "text-anchor=\"end\"")
    };
    text(svg, x, line - 5, fill, anchor, &rung.label);
    if let Some(note) = &rung.note {
        let fill = if rung.is_trouble { "bad" } else { "dim" };
        text(
            svg,
            x,
            line + 15,
            fill,
            &format!("{anchor} font-size=\"12\" font-style=\"italic\""),
            note,
        );
    }
}

/// What the drawing shows, for those who do not see it.
fn described(ladder: &Ladder) -> String {
    let rungs = ladder.steps.iter().filter_map(|step| match step {
        Step::Rung(rung) => Some(rung),
        Step::Gap(_) | Step::Omitted(_) => None,
    });
    let sentences: Vec<String> = rungs
        .map(|rung| {
            let who = if rung.from_client { "client" } else { "server" };
            let note = rung.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
            format!("{}: {who} sends {}{note}", span(rung.at_ns), rung.label)
        })
        .collect();
    format!("{}. {}.", ladder.outcome, sentences.join("; "))
}

fn text(svg: &mut String, x: u32, y: u32, class: &str, style: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" {style}>{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::super::ladder::{self, tests::ignored};
    use super::*;

    #[test]
    fn a_drawing_says_in_words_what_it_shows() {
        let svg = document(&ladder::ladder(&ignored(), None));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(
            svg.contains("server sends SYN-ACK  seq 0 ack 1 (sent again, although acknowledged)")
        );
        assert_eq!(svg.matches("class=\"alarm\"").count(), 3);
    }
}
