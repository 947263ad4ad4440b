//! Lines over two axes as SVG. A library would bring fonts and bitmaps with it; this needs a page of
//! code, and says in words (`title`, `desc`) what it shows, for those who do not see it.
//!
//! Colours are those of Okabe and Ito, which people tell apart however they see colours; lines differ
//! in their dashes too.

use std::fmt::Write as _;

use crate::markup::escaped;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 48.0;

const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const DASHES: [&str; 6] = ["", "7 4", "2 3", "10 3 2 3", "4 2", "1 2"];

/// Lines over two axes.
#[derive(Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// An axis.
#[derive(Debug)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) logarithmic: bool,
    pub(super) ticks: Vec<(f64, String)>,
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Whether a value holds until the next one.
    pub(super) stepped: bool,
    pub(super) points: Vec<(f64, f64)>,
}

impl Axis {
    /// From 0 to a number, with round numbers beside it.
    pub(super) fn linear(label: &str, high: f64, text: impl Fn(f64) -> String) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = round_step(high / 5.0);
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= high * 1.000_1 {
            ticks.push((at, text(at)));
            at += step;
        }
        Self { label: label.to_owned(), low: 0.0, high, logarithmic: false, ticks }
    }

    /// Powers of ten around these bounds.
    pub(super) fn powers(label: &str, low: f64, high: f64, text: impl Fn(f64) -> String) -> Self {
        let low = 10_f64.powf(low.max(1.0).log10().floor());
        let high = 10_f64.powf(high.max(low * 10.0).log10().ceil());
        let mut ticks = Vec::new();
        let mut at = low;
        while at <= high * 1.000_1 {
            ticks.push((at, text(at)));
            at *= 10.0;
        }
        Self { label: label.to_owned(), low, high, logarithmic: true, ticks }
    }

    fn share(&self, at: f64) -> f64 {
        let scaled = |at: f64| if self.logarithmic { at.max(self.low).log10() } else { at };
        let (low, high) = (scaled(self.low), scaled(self.high));
        ((scaled(at) - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].into_iter().find(|round| round * power >= least * 0.999_9);
    power * round.unwrap_or(10.0)
}

/// The plots, one below the other, as one document.
pub(super) fn document(title: &str, about: &str, plots: &[Plot]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a handful of plots")]
    let height = HEIGHT * plots.len() as f64 + 48.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title about\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <title id=\"title\">{title}</title>\n<desc id=\"about\">{about}</desc>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"16\" y=\"42\" fill=\"#555\">{about}</text>\n",
        title = escaped(title),
        about = escaped(about),
    );
    let mut top = 48.0;
    for plot in plots {
        let _ = writeln!(svg, "<g transform=\"translate(0 {top})\">");
        plot.draw(&mut svg);
        svg.push_str("</g>\n");
        top += HEIGHT;
    }
    svg.push_str("</svg>\n");
    svg
}

impl Plot {
    fn draw(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        text(svg, LEFT, 22.0, "font-weight=\"bold\"", &self.title);
        for (at, label) in &self.x.ticks {
            let x = self.place_x(*at);
            rule(svg, (x, TOP), (x, bottom));
            text(svg, x, bottom + 16.0, "text-anchor=\"middle\"", label);
        }
        for (at, label) in &self.y.ticks {
            let y = self.place_y(*at);
            rule(svg, (LEFT, y), (right, y));
            text(svg, LEFT - 6.0, y + 4.0, "text-anchor=\"end\"", label);
        }
        let middle = f64::midpoint(LEFT, right);
        text(svg, middle, bottom + 36.0, "text-anchor=\"middle\" fill=\"#555\"", &self.x.label);
        let turned = format!(
            "text-anchor=\"middle\" fill=\"#555\" transform=\"rotate(-90 14 {y})\"",
            y = f64::midpoint(TOP, bottom)
        );
        text(svg, 14.0, f64::midpoint(TOP, bottom), &turned, &self.y.label);
        let mut key = LEFT;
        for (at, line) in self.lines.iter().enumerate() {
            let style = format!(
                "fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"",
                COLOURS[at % COLOURS.len()],
                DASHES[at % DASHES.len()]
            );
            let _ = writeln!(svg, "<path d=\"M{key:.0} 42h26\" {style}/>");
            text(svg, key + 32.0, 46.0, "", &line.name);
            #[expect(clippy::cast_precision_loss, reason = "the length of a name")]
            let width = line.name.chars().count() as f64 * 6.6;
            key += 32.0 + width + 20.0;
            let _ = writeln!(svg, "<path d=\"{}\" {style}/>", self.path(line));
        }
    }

    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        for (at, &(x, y)) in line.points.iter().enumerate() {
            let (x, y) = (self.place_x(x), self.place_y(y));
            let _ = match (at, line.stepped) {
                (0, _) => write!(path, "M{x:.1} {y:.1}"),
                (_, true) => write!(path, "H{x:.1}V{y:.1}"),
                (_, false) => write!(path, "L{x:.1} {y:.1}"),
            };
        }
        path
    }

    fn place_x(&self, at: f64) -> f64 {
        LEFT + self.x.share(at) * (WIDTH - RIGHT - LEFT)
    }

    fn place_y(&self, at: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(at) * (HEIGHT - BOTTOM - TOP)
    }
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(svg, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"#ddd\"/>");
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_axis() {
        let labels = |axis: &Axis| axis.ticks.iter().map(|(_, l)| l.clone()).collect::<Vec<_>>();
        let linear = Axis::linear("x", 6.0, |at| at.to_string());
        assert_eq!(labels(&linear), ["0", "2", "4", "6"]);
        let powers = Axis::powers("y", 40.0, 1_034_000.0, |at| at.to_string());
        assert_eq!((powers.low, powers.high), (10.0, 10_000_000.0));
        assert_eq!(powers.ticks.len(), 7);
        assert!((powers.share(10_000.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn steps_hold_until_the_next_value() {
        let axis = || Axis::linear("", 10.0, |at| at.to_string());
        let line =
            Line { name: "n".to_owned(), stepped: true, points: vec![(0.0, 0.0), (10.0, 10.0)] };
        let plot = Plot { title: "t".to_owned(), x: axis(), y: axis(), lines: Vec::new() };
        assert_eq!(plot.path(&line), "M70.0 252.0H780.0V62.0");
    }
}
