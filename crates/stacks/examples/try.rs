use std::collections::BTreeSet;
use halfopen_collect::proc::{ProcRoot, read_process};
use halfopen_evidence::Pid;
fn main() {
    let pid = Pid(std::env::args().nth(1).unwrap().parse().unwrap());
    let root = ProcRoot::default();
    let t = std::time::Instant::now();
    let mut p = read_process(&root, pid, &BTreeSet::new()).known().unwrap();
    let a = t.elapsed();
    halfopen_stacks::complete(&root, &mut p, halfopen_stacks::Options { lines: std::env::args().nth(2).is_some(), ..Default::default() });
    let b = t.elapsed();
    let n = p.threads.get().unwrap().len();
    for th in p.threads.get().unwrap() {
        if n > 100 && th.tid.0 % 100 != 0 { continue }
        println!("{} {} {:?}", th.tid, th.name, th.activity);
        match th.stack.get() {
            Some(s) => { for f in &s.frames { println!("   {:x} {} {} {:?}", f.address, f.function.as_deref().unwrap_or("?"), f.module, f.line.as_ref().map(|l| format!("{}:{}", l.file_name(), l.line))); } println!("   {:?}", s.end) }
            None => println!("   {}", th.stack.missing().unwrap()),
        }
    }
    println!("{n} threads, {a:?} {b:?}");
    let mut ends = std::collections::BTreeMap::new();
    for th in p.threads.get().unwrap() { *ends.entry(format!("{:?}", th.stack.get().map(|s| s.end))).or_insert(0)+=1; }
    println!("{ends:?}");
}
