//! Samples and sweeps as comma-separated values (RFC 4180), with a header line.

use halfopen_sim::Run;

use super::sweep::Point;

/// The header of [`samples`].
const SAMPLES: &str = "at_us,host,port,listener,depth,limit,requests,accepted,drops";

/// The header of [`sweep`]; the first column is the value.
const SWEEP: &str = "verdict,findings,room,peak,accepted,dropped_syns,dropped_third_acks,started,\
                     connected,failed,waiting,p50_us,p99_us,p999_us,error";

/// The queues over time, a line per listener and sample.
pub(super) fn samples(run: &Run) -> String {
    let mut text = format!("{SAMPLES}\n");
    for sample in &run.samples {
        for queue in &sample.queues {
            let host = run.hosts.get(queue.host).map_or("", |host| host.name.as_str());
            text.push_str(&format!(
                "{},{},{},{},{},{},{},{},{}\n",
                sample.at_us,
                field(host),
                queue.port,
                queue.listener,
                queue.depth,
                queue.limit,
                queue.requests,
                queue.accepted,
                queue.drops
            ));
        }
    }
    text
}

/// A line per value.
pub(super) fn sweep(key: &str, points: &[Point]) -> String {
    let mut text = format!("{},{SWEEP}\n", field(key));
    for point in points {
        let value = field(&point.value);
        text.push_str(&match &point.outcome {
            Err(why) => format!("{value}{}{}\n", ",".repeat(15), field(&why.to_string())),
            Ok(f) => {
                let us = |us: Option<u64>| us.map_or_else(String::new, |us| us.to_string());
                let verdict = format!("{:?}", f.status).to_lowercase();
                format!(
                    "{value},{verdict},{},{},{},{},{},{},{},{},{},{},{},{},{},\n",
                    f.findings.join(" "),
                    f.room,
                    f.peak,
                    f.accepted,
                    f.syns,
                    f.third_acks,
                    f.started,
                    f.connected,
                    f.failed,
                    f.waiting,
                    us(f.p50_us),
                    us(f.p99_us),
                    us(f.p999_us),
                )
            }
        });
    }
    text
}

/// A field, in quotes where it needs them.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use halfopen_sim::SimError;

    use super::*;

    #[test]
    fn each_line_of_a_sweep_has_as_many_fields_as_the_header() {
        let failed = Point {
            value: "1".to_owned(),
            outcome: Err(SimError::UnknownCounter("no, \"never\"".to_owned())),
        };
        let text = sweep("backlog", &[failed]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].matches(',').count(), 15);
        assert_eq!(lines[1], "1,,,,,,,,,,,,,,,\"the kernel has no counter no, \"\"never\"\"\"");
    }
}
